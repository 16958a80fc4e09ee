"""Records of a portal by identifier and by origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from encaja.carryover.mapping.entities import ItemKind
from encaja.carryover.source.reader import Reader
from encaja.rest.client import RestClient
from encaja.rest.command import Command

ORIGINATOR = "encaja"
"""What the box keeps as the source of carried records; ``originId`` is then the identifier in the cloud."""
TESTS = "encaja-test"
"""What marks a record as made by a test or a rehearsal."""
_ORIGINS = 25  # of a page of 50, so that doubles show


async def get_items(portal: RestClient, kind: ItemKind, identifiers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Complete records of crm.item.* by identifier; those that do not exist are left out.

    Raises:
        RefusedError: the portal refuses for another reason.
    """
    wanted = [name for name in identifiers if name]
    return {record.id: record.fields for record in await Reader(portal).fetch(kind.entity, wanted)}


def own_origin(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """The origin that a record of the cloud has from another system; it is kept."""
    origin = str(fields.get("originId") or "")
    return (str(fields.get("originatorId") or ""), origin) if origin else None


async def find_carried(
    portal: RestClient, kind: ItemKind, identifiers: Iterable[str]
) -> dict[str, list[dict[str, Any]]]:
    """Records of the box that were carried, by identifier in the cloud; several for one are doubles."""
    wanted = list(identifiers)
    commands = [
        Command(
            "crm.item.list",
            {
                "entityTypeId": kind.type_id,
                "select": ["id", "originId", "createdTime"],
                "filter": {"originatorId": ORIGINATOR, "@originId": wanted[at : at + _ORIGINS]},
                "order": {"id": "ASC"},
                "start": -1,
            },
        )
        for at in range(0, len(wanted), _ORIGINS)
    ]
    found: dict[str, list[dict[str, Any]]] = {}
    for answer in await portal.batch(commands):
        if answer.error:
            raise answer.error
        for item in answer.result["items"]:
            found.setdefault(str(item["originId"]), []).append(item)
    return found


async def find_by_own_origin(
    portal: RestClient, kind: ItemKind, origins: Sequence[tuple[str, str]]
) -> list[list[dict[str, Any]]]:
    """Records of the box with origins of another system, in the order asked for."""
    commands = [
        Command(
            "crm.item.list",
            {
                "entityTypeId": kind.type_id,
                "select": ["id", "createdTime", "title", "name", "lastName"],
                "filter": {"=originatorId": originator, "=originId": origin},
                "order": {"id": "ASC"},
                "start": -1,
            },
        )
        for originator, origin in origins
    ]
    answers = await portal.batch(commands)
    for answer in answers:
        if answer.error:
            raise answer.error
    return [answer.result["items"] for answer in answers]
