"""What becomes of a portal's REST applications and webhooks after a move, and the box's registration at the vendor.

A webhook is checked by the portal itself and lives on. An application's token is checked by the vendor's OAuth service,
which knows the portal by ``rest.service_client_id``: those of the cloud's portal are dead in the box, local ones as
well, until they are made or installed again. Outgoing webhooks are called by the same service.
Source: behaviour.md 2.3 and 9.
"""

# ruff: noqa: S608  names of tables are constants of this module

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import EncajaError
from . import kernel, packed, php, silence
from .serialized import SerializedError
from .site import Portal
from .users import plain_cell

CLIENT: Final = ("service_client_id", "service_client_secret")
"""Options of ``rest`` by which the vendor's service knows the portal. Former pairs stay as ``<time> <name>``."""
LOCAL: Final = "L"
"""``b_rest_app.STATUS`` of an application made for this portal alone; all others come from the vendor's market."""
FATES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "lives": ("works", "", "funciona", ""),
    "off": ("was switched off in the cloud", "", "ya estaba desactivado en la nube", ""),
    "closed": ("refused until the cloud's module row is gone", "run playbook settle",
               "rechazado hasta quitar la fila del módulo de la nube", "ejecute el playbook settle"),
    "owner": ("refused: its owner is not active", "activate the owner, or make it anew for somebody else",
              "rechazado: su propietario no está activo", "active al propietario o créelo de nuevo para otra persona"),
    "register": ("works once the box is registered at the vendor", "run playbook register, with the box's licence",
                 "funcionará cuando la caja esté registrada en el proveedor",
                 "ejecute el playbook register, con la licencia de la caja"),
    "remake": ("dead: the vendor knows it as the cloud's", "delete it, add it again in the developer section, give its"
               " program the new client_id and client_secret, and run its installation",
               "muerto: el proveedor lo conoce como de la nube", "bórrelo, añádalo de nuevo en la sección de"
               " desarrolladores, dé a su programa los nuevos client_id y client_secret, y ejecute su instalación"),
    "install": ("dead until it is installed again", "install it from the market again",
                "muerto hasta instalarlo de nuevo", "instálelo de nuevo desde el mercado"),
    "buy": ("dead until it is bought and installed again", "buy it for the box, or a subscription, and install it",
            "muerto hasta comprarlo e instalarlo de nuevo",
            "cómprelo para la caja, o una suscripción, e instálelo"),
}  # fmt: skip
"""What becomes of one, and what it takes: in English, then in Spanish."""
KINDS: Final = {"webhook": "webhook entrante", "outgoing": "webhook saliente", "application": "aplicación"}
NAMED: Final = 5
"""Names that a line shows; the others are counted."""
HEAD: Final = {
    "en": ("kind", "id", "name", "state", "what to do", "goes with it"),
    "es": ("clase", "id", "nombre", "estado", "qué hacer", "va con ello"),
}
TEMPLATES: Final = "b_bp_workflow_template"
_ACTIVITIES: Final = "b_bp_rest_activity"
_HANGING: Final[Mapping[str, tuple[str, str, str]]] = {
    "b_rest_event": ("APP_ID", "handlers of events", "controladores de eventos"),
    "b_rest_placement": ("APP_ID", "placements", "ubicaciones"),
    _ACTIVITIES: ("APP_ID", "workflow steps and robots", "pasos de procesos y robots"),
    "b_bp_rest_provider": ("APP_ID", "senders in workflows", "remitentes en procesos"),
    "b_im_bot": ("APP_ID", "bots", "bots"),
    "b_im_command": ("APP_ID", "commands of bots", "comandos de bots"),
    "b_messageservice_rest_app": ("APP_ID", "SMS providers", "proveedores de SMS"),
    "b_imconnectors_custom_connectors": ("REST_APP_ID", "open channel connectors", "conectores de canales abiertos"),
    "b_sale_pay_system_rest_handlers": ("APP_ID", "handlers of pay systems", "controladores de sistemas de pago"),
    TEMPLATES: ("", "templates with its steps", "plantillas con sus pasos"),
}
"""What hangs from an application: the column that names it, by id or client, and what it is in English and Spanish."""
_STEP: Final = re.compile(r'"Type";s:\d+:"([^"]+)"')


def cloud_note(portal: Portal, *, off: bool) -> dict[str, Any]:
    """What is to be remembered when the cloud's applications are left behind; what comes later is the box's.

    Args:
        portal: the portal.
        off: whether the cloud's applications are switched off, so that one that is on was installed again.
    """
    noted: dict[str, Any] | None = portal.state().get("cloud_rest")
    if noted is not None:
        return {**noted, "off": bool(noted["off"]) or off}
    rows = portal.database.rows("SELECT ID FROM b_rest_app") if portal.has("b_rest_app") else []
    return {"applications": [row["ID"] for row in rows], "off": off}


def is_registered(portal: Portal) -> bool:
    """Whether the vendor's service knows the box; the pair that came with the backup is the cloud's."""
    return portal.state().get("cloud_rest") is not None and bool(portal.option("rest", CLIENT[0]))


def register(portal: Portal, domain: str, scheme: str, user: str = kernel.USER) -> Portal:
    """Have the kernel register the box, and return the portal as it is then.

    Raises:
        EncajaError: the portal has no licence of its own, is not settled, or has no new pair afterwards.
    """
    path = portal.root / "bitrix" / "license_key.php"
    key = php.read_variable(portal.text(path), "LICENSE_KEY")
    if not isinstance(key, str) or not key or key.upper() in {"DEMO", "******"}:
        raise EncajaError(
            "a portal without a licence cannot be registered", str(path), "set encaja_licence_key, settle"
        )
    if portal.state().get("cloud_rest") is None:
        raise EncajaError("the portal is not settled yet", str(portal.root), "run playbook settle first")
    said = kernel.register(portal.root, domain, scheme, user)
    now = Portal(portal.root, portal.state_directory)
    if not is_registered(now):
        raise EncajaError(
            f"the vendor's service did not register the portal{f': {said}' if said else ''}", domain,
            "see that the licence's key is right and that the host reaches the vendor (oauth.bitrix.info), or have an"
            " administrator open Applications in the portal",
        )  # fmt: skip
    return now


def inventory(portal: Portal) -> list[dict[str, Any]]:
    """Incoming webhooks, outgoing ones and applications, each with its ``fate`` (a key of ``FATES``).

    Keys: ``kind`` (of ``KINDS``), ``id``, ``name``, ``active``, ``fate``, ``works_in_box``, ``cure``, ``hanging``
    (number of rows by table); of an application also ``code``, ``client``, ``status`` and ``templates`` (names of the
    workflows and robots whose steps are the application's, and stay broken as long as it is dead).
    """
    found = [*_webhooks(portal), *_outgoing(portal), *_applications(portal)]
    for row in found:
        row["works_in_box"] = row["fate"] in {"lives", "register", "closed"}
        row["cure"] = FATES[row["fate"]][1]
    return found


def summary(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many of which kind have which fate, and the templates that are broken by it, with some names."""
    told: dict[tuple[str, str], list[str]] = {}
    broken: set[str] = set()
    for row in rows:
        if row["fate"] in {"remake", "install", "buy"}:
            broken.update(row.get("templates", ()))
        told.setdefault((row["fate"], row["kind"]), []).append(str(row["name"]))
    return "; ".join(
        f"{len(names)} {kind} {FATES[fate][0]}: {', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''}"
        for (fate, kind), names in told.items()
    ) + (f"; templates with dead steps: {', '.join(sorted(broken)[:NAMED])}" if broken else "")


def as_csv(rows: Iterable[Mapping[str, Any]], language: str = "en") -> str:
    """Each of them with what becomes of it, for an administrator; without secrets."""
    spanish = language == "es"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD["es" if spanish else "en"])
    for row in rows:
        words = FATES[row["fate"]][2:] if spanish else FATES[row["fate"]][:2]
        kind = KINDS[row["kind"]] if spanish else row["kind"]
        hanging = ", ".join(
            f"{count} {_HANGING[table][2 if spanish else 1]}" for table, count in row["hanging"].items()
        )
        if names := row.get("templates"):
            hanging += f": {', '.join(map(plain_cell, names[:NAMED]))}{' …' if len(names) > NAMED else ''}"
        writer.writerow([kind, row["id"], plain_cell(row["name"]), *words, hanging])
    return text.getvalue()


def _webhooks(portal: Portal) -> list[dict[str, Any]]:
    if not portal.has("b_rest_ap"):
        return []
    rows = portal.database.rows(
        "SELECT h.ID, h.TITLE, h.ACTIVE, u.ACTIVE AS OWNER FROM b_rest_ap h LEFT JOIN b_user u ON u.ID = h.USER_ID"
        " ORDER BY h.ID"
    )
    return [
        {
            "kind": "webhook", "id": row["ID"], "name": row["TITLE"] or f"webhook {row['ID']}",
            "active": row["ACTIVE"] == "Y", "hanging": {},
            "fate": "off" if row["ACTIVE"] != "Y" else "owner" if row["OWNER"] != "Y"
            else "closed" if "bitrix24" in portal.modules else "lives",
        }
        for row in rows
    ]  # fmt: skip


def _outgoing(portal: Portal) -> list[dict[str, Any]]:
    rows = [
        row
        for table in _with_silenced(portal, "b_rest_event")
        for row in portal.database.rows(
            f"SELECT ID, EVENT_NAME, EVENT_HANDLER FROM {table} WHERE COALESCE(APP_ID, 0) = 0 AND EVENT_HANDLER <> ''"
        )
    ]
    return [
        {
            # The path of an address may be a secret.
            "kind": "outgoing", "id": row["ID"],
            "name": f"{row['EVENT_NAME']} to {urlsplit(row['EVENT_HANDLER']).hostname or '?'}",
            "active": True, "hanging": {}, "fate": "lives" if is_registered(portal) else "register",
        }
        for row in sorted(rows, key=lambda row: int(row["ID"]))
    ]  # fmt: skip


def _with_silenced(portal: Portal, table: str) -> list[str]:
    """The table, and the one to which its rows are away until the release."""
    return [name for name in (table, silence.AWAY + table) if portal.has(name)]


def _applications(portal: Portal) -> list[dict[str, Any]]:
    if not portal.has("b_rest_app"):
        return []
    noted = portal.state().get("cloud_rest") or {}
    of_cloud = frozenset(noted.get("applications", ()))
    hanging, templates = _hanging(portal), _templates(portal)
    found = []
    for row in portal.database.rows("SELECT ID, CLIENT_ID, CODE, APP_NAME, ACTIVE, STATUS FROM b_rest_app ORDER BY ID"):
        active, local = row["ACTIVE"] == "Y", row["STATUS"] == LOCAL
        if noted and (row["ID"] not in of_cloud or (active and not local and noted.get("off"))):
            fate = "off" if not active else "lives" if is_registered(portal) else "register"
        elif local:
            fate = "remake"
        else:
            fate = "install" if row["STATUS"] == "F" else "buy"
        used = sorted(templates.get(str(row["ID"]), set()) | templates.get(row["CLIENT_ID"], set()))
        counts = hanging.get(str(row["ID"]), Counter()) + hanging.get(row["CLIENT_ID"], Counter())
        found.append(
            {
                "kind": "application", "id": row["ID"], "name": row["APP_NAME"] or row["CODE"], "active": active,
                "fate": fate, "code": row["CODE"], "client": row["CLIENT_ID"], "status": row["STATUS"],
                "hanging": {**counts, **({TEMPLATES: len(used)} if used else {})},
                "templates": [name for _, name in used],
            }
        )  # fmt: skip
    return found


def _hanging(portal: Portal) -> dict[str, Counter[str]]:
    """Rows that hang from an application, by its id or client: they stay broken or mute as long as it is dead."""
    found: dict[str, Counter[str]] = {}
    for table, (column, *_) in _HANGING.items():
        for name in _with_silenced(portal, table) if column and portal.has(table, column) else ():
            for row in portal.database.rows(
                f"SELECT {column} AS app, COUNT(*) AS n FROM {name} WHERE {column} IS NOT NULL GROUP BY {column}"
            ):
                found.setdefault(str(row["app"]), Counter())[table] += int(row["n"])
    return found


def _templates(portal: Portal) -> dict[str, set[tuple[int, str]]]:
    """Templates (id and name) with steps of applications, by the application's id or client.

    A step's type ends with the activity's INTERNAL_CODE; a template that cannot be read has none that is known.
    """
    if not (portal.has(_ACTIVITIES, "APP_ID", "INTERNAL_CODE") and portal.has(TEMPLATES, "TEMPLATE")):
        return {}
    codes = {
        str(row["INTERNAL_CODE"]): str(row["APP_ID"])
        for row in portal.database.rows(f"SELECT APP_ID, INTERNAL_CODE FROM {_ACTIVITIES}")
    }
    found: dict[str, set[tuple[int, str]]] = {}
    for row in portal.database.rows(f"SELECT ID, NAME, TEMPLATE FROM {TEMPLATES}") if codes else ():
        value = row["TEMPLATE"] or b""
        try:
            text = packed.read(value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")).text
        except SerializedError:
            continue
        for step in _STEP.findall(text):
            if (app := codes.get(step.rpartition("_")[2]) or codes.get(step)) is not None:
                found.setdefault(app, set()).add((int(row["ID"]), str(row["NAME"] or row["ID"])))
    return found
