"""What is not carried, with its count where the cloud gives one.

Source: apidocs.bitrix24.com, crm/data-types (identifiers of types), crm/universal/user-defined-object-types
(crm.type.list).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from encaja.carryover.context import Context
from encaja.carryover.records.file_fields import ENTITY as FILES
from encaja.rest.client import RestClient
from encaja.rest.command import Answer, Command
from encaja.rest.errors import RefusedError

Bilingual: TypeAlias = dict[str, str]
"""A text in English (``en``) and Spanish (``es``)."""

_TYPES: dict[int, Bilingual] = {
    7: {"en": "quotes", "es": "presupuestos"},
    31: {"en": "invoices", "es": "facturas"},
}
_UNCOUNTED = (
    (
        {"en": "messages of chats and open lines", "es": "mensajes de chats y canales abiertos"},
        {"en": "REST gives a chat only to its members", "es": "REST solo da un chat a sus miembros"},
    ),
    (
        {
            "en": "history of records and of business processes",
            "es": "historial de registros y de procesos de negocio",
        },
        {"en": "REST does not write it", "es": "REST no lo escribe"},
    ),
    (
        {
            "en": "files of the drive that belong to no record",
            "es": "archivos del disco que no pertenecen a ningún registro",
        },
        {"en": "copy the folders", "es": "copie las carpetas"},
    ),
    (
        {
            "en": "photographs of contacts and logos of companies",
            "es": "fotografías de contactos y logotipos de compañías",
        },
        {"en": "copy them by hand", "es": "cópielos a mano"},
    ),
    (
        {"en": "calendars, feed and mailboxes", "es": "calendarios, noticias y buzones"},
        {
            "en": "they come from the backup or from their own servers",
            "es": "vienen de la copia de seguridad o de sus propios servidores",
        },
    ),
)
_BY_HAND = {
    "en": "not carried by this kit: export and import them",
    "es": "este kit no los traspasa: expórtelos e impórtelos",
}
_TIMES = {"en": "times of creation and authors", "es": "horas de creación y autores"}
_NO_TIMES = {
    "en": "REST keeps none here; set carry_over_portal_root",
    "es": "REST no los guarda aquí; indique carry_over_portal_root",
}
_FILES = {"en": "files in fields of records", "es": "archivos en campos de registros"}
_NO_FILES = {
    "en": "they could not be fetched or sent: see the faults",
    "es": "no se pudieron descargar o enviar: véanse los fallos",
}
_ENTITIES = {
    "lead": "prospectos", "deal": "negociaciones", "contact": "contactos", "company": "compañías",
    "activity": "actividades", "requisite": "requisitos", "task": "tareas",
}  # fmt: skip
_REASONS = {
    "what it belongs to is not in the box": "aquello a lo que pertenece no está en la caja",
    "is carried with its task": "se traspasa con su tarea",
}


async def not_carried(context: Context) -> list[dict[str, Any]]:
    """What is not carried, why (both as ``{"en", "es"}``), and how many in the window; None where that is unknown."""
    found: list[dict[str, Any]] = []
    types = _TYPES | await _own_types(context.cloud)
    for title, answer in zip(types.values(), await _counts(context, types), strict=True):
        # An error means that the portal has no such type.
        if answer.error is None and answer.total != 0:
            found.append(_row(title, _BY_HAND, answer.total))
    for (entity, why), names in sorted(context.left.items()):
        found.append(_row(_entity(entity), _reason(why), len(names)))
    for entity, why in sorted(context.refused.items()):
        unlisted = {"en": f"the cloud does not list them: {why}", "es": f"la nube no los enumera: {why}"}
        found.append(_row(_entity(entity), unlisted, None))
    moments = len(context.map.times_to_set())
    if moments:
        found.append(_row(_TIMES, _NO_TIMES, moments))
    files = sum(item.entity == FILES for item in context.map.faults())
    if files:
        found.append(_row(_FILES, _NO_FILES, files))
    found += [_row(what, why, None) for what, why in _UNCOUNTED]
    return found


def _row(what: Bilingual, why: Bilingual, count: int | None) -> dict[str, Any]:
    return {"what": what, "why": why, "count": count}


def _entity(name: str) -> Bilingual:
    return {"en": name, "es": _ENTITIES.get(name, name)}


def _reason(why: str) -> Bilingual:
    return {"en": why, "es": _REASONS.get(why, why)}


async def _own_types(cloud: RestClient) -> dict[int, Bilingual]:
    """Types that the company defined itself, under its own names."""
    try:
        types = await cloud.rest_of(await cloud.call("crm.type.list", {"order": {"id": "ASC"}}), "types")
    except RefusedError:
        return {}
    return {int(item["entityTypeId"]): {"en": str(item["title"]), "es": str(item["title"])} for item in types}


async def _counts(context: Context, numbers: Iterable[int]) -> list[Answer]:
    """How many records there are of types, by one request."""
    filters = {">=createdTime": context.since.isoformat(timespec="seconds")}
    return await context.cloud.batch(
        [Command("crm.item.list", {"entityTypeId": number, "filter": filters, "select": ["id"]}) for number in numbers]
    )
