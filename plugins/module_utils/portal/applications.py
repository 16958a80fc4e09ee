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
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import EncajaError
from . import kernel, php, silence
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
HEAD: Final = {
    "en": ("kind", "id", "name", "state", "what to do", "goes with it"),
    "es": ("clase", "id", "nombre", "estado", "qué hacer", "va con ello"),
}
_HANGING: Final = (
    "b_rest_event", "b_rest_placement", "b_bp_rest_activity", "b_bp_rest_provider", "b_im_bot", "b_im_command",
)  # fmt: skip


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
    (number of rows by table); of an application also ``code``, ``client`` and ``status``.
    """
    found = [*_webhooks(portal), *_outgoing(portal), *_applications(portal)]
    for row in found:
        row["works_in_box"] = row["fate"] in {"lives", "register", "closed"}
        row["cure"] = FATES[row["fate"]][1]
    return found


def summary(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many of which kind have which fate, with some names."""
    told: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        told.setdefault((row["fate"], row["kind"]), []).append(str(row["name"]))
    return "; ".join(
        f"{len(names)} {kind} {FATES[fate][0]}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
        for (fate, kind), names in told.items()
    )


def as_csv(rows: Iterable[Mapping[str, Any]], language: str = "en") -> str:
    """Each of them with what becomes of it, for an administrator; without secrets."""
    spanish = language == "es"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD["es" if spanish else "en"])
    for row in rows:
        words = FATES[row["fate"]][2:] if spanish else FATES[row["fate"]][:2]
        kind = KINDS[row["kind"]] if spanish else row["kind"]
        hanging = ", ".join(f"{table} ({count})" for table, count in row["hanging"].items())
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
    hanging = _hanging(portal)
    found = []
    for row in portal.database.rows("SELECT ID, CLIENT_ID, CODE, APP_NAME, ACTIVE, STATUS FROM b_rest_app ORDER BY ID"):
        active, local = row["ACTIVE"] == "Y", row["STATUS"] == LOCAL
        if noted and (row["ID"] not in of_cloud or (active and not local and noted.get("off"))):
            fate = "off" if not active else "lives" if is_registered(portal) else "register"
        elif local:
            fate = "remake"
        else:
            fate = "install" if row["STATUS"] == "F" else "buy"
        found.append(
            {
                "kind": "application", "id": row["ID"], "name": row["APP_NAME"] or row["CODE"], "active": active,
                "fate": fate, "code": row["CODE"], "client": row["CLIENT_ID"], "status": row["STATUS"],
                "hanging": dict(hanging.get(str(row["ID"]), Counter()) + hanging.get(row["CLIENT_ID"], Counter())),
            }
        )  # fmt: skip
    return found


def _hanging(portal: Portal) -> dict[str, Counter[str]]:
    """Rows that hang from an application, by its id or client: they stay broken or mute as long as it is dead."""
    found: dict[str, Counter[str]] = {}
    for table in _HANGING:
        for name in _with_silenced(portal, table) if portal.has(table, "APP_ID") else ():
            for row in portal.database.rows(
                f"SELECT APP_ID, COUNT(*) AS n FROM {name} WHERE APP_ID IS NOT NULL GROUP BY APP_ID"
            ):
                found.setdefault(str(row["APP_ID"]), Counter())[table] += int(row["n"])
    return found
