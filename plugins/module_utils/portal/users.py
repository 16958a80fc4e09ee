"""Who can log in to the box, who cannot and why, and the cure.

A password log-in finds only users whose ``EXTERNAL_AUTH_ID`` is empty; people of the cloud carry the mark of
Bitrix24.Network, whose passwords are not in the portal. Clearing the mark lets them back in, and a recovery link gives
them a password. Pseudo-users (bots, mail, connectors …) carry marks of their own and are never touched.
Source: portal.md chapters 3 (``b_user``) and 5 (4).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .plan import Plan
from .serialized import SerializedError, unserialize
from .site import Portal

SYSTEM_MARKS: Final = frozenset(
    {"bot", "email", "__controller", "replica", "imconnector", "sale", "saleanonymous", "shop", "call",
     "document_editor", "calendar_sharing", "im_guest", "rest_system", "booking", "sn_guest"}
)  # fmt: skip
NETWORK_MARKS: Final = frozenset({"socservices", "bitrix24net", "bitrix24"})
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "ok": ("can log in", "puede entrar"),
    "inactive": ("is not active", "no está activo"),
    "blocked": ("is blocked", "está bloqueado"),
    "network": ("logs in through Bitrix24.Network only", "solo entra por Bitrix24.Network"),
    "external": ("logs in through another service only", "solo entra por otro servicio"),
    "no_password": ("has no password", "no tiene contraseña"),
    "expired": ("has to set a new password", "debe poner otra contraseña"),
    "recovery": ("waits for a recovery link", "espera un enlace de recuperación"),
}
_LOGIN_LENGTH: Final = 50


@dataclass(frozen=True)
class User:
    """A person of the portal and how the log-in sees them."""

    id: int
    login: str
    email: str
    name: str
    mark: str
    language: str
    employee: bool
    reason: str


def _is_employee(departments: object) -> bool:
    if not isinstance(departments, str) or not departments:
        return False
    try:
        value = unserialize(departments)
    except SerializedError:
        return departments.strip("[] ") not in {"", "0"}
    return bool([item for item in value.values() if item]) if isinstance(value, dict) else bool(value)


def _has_password(value: object) -> bool:
    return isinstance(value, str) and len(value) >= 32


def read_users(portal: Portal, pending: Iterable[int] = ()) -> list[User]:
    """Every real person in ``b_user``, with the one reason that keeps them out (or ``ok``).

    Args:
        portal: the portal.
        pending: users whose mark was cleared and who have not had their recovery link yet.
    """
    waiting = frozenset(pending)
    departments = "u.UF_DEPARTMENT" if portal.has("b_uts_user", "UF_DEPARTMENT") else "NULL"
    join = "LEFT JOIN b_uts_user u ON u.VALUE_ID = b.ID" if departments != "NULL" else ""
    bots = (
        frozenset(row["BOT_ID"] for row in portal.database.rows("SELECT BOT_ID FROM b_im_bot"))
        if portal.has("b_im_bot")
        else frozenset()
    )
    found = []
    for row in portal.database.rows(
        f"SELECT b.ID, b.LOGIN, b.EMAIL, b.NAME, b.LAST_NAME, b.EXTERNAL_AUTH_ID, b.ACTIVE, b.BLOCKED, b.PASSWORD,"  # noqa: S608
        f" b.PASSWORD_EXPIRED, b.LANGUAGE_ID, {departments} AS DEPARTMENTS FROM b_user b {join} ORDER BY b.ID"
    ):
        mark = row["EXTERNAL_AUTH_ID"] or ""
        if mark.lower() in SYSTEM_MARKS or row["ID"] in bots:
            continue
        found.append(
            User(
                row["ID"], row["LOGIN"], row["EMAIL"] or "", f"{row['NAME'] or ''} {row['LAST_NAME'] or ''}".strip(),
                mark, row["LANGUAGE_ID"] or "", _is_employee(row["DEPARTMENTS"]), _reason(row, mark, waiting),
            )
        )  # fmt: skip
    return found


def _reason(row: Mapping[str, Any], mark: str, waiting: frozenset[int]) -> str:
    tests = (
        ("inactive", row["ACTIVE"] != "Y"),
        ("blocked", row["BLOCKED"] == "Y"),
        ("network", mark.lower() in NETWORK_MARKS),
        ("external", bool(mark)),
        ("no_password", not _has_password(row["PASSWORD"]) and row["ID"] not in waiting),
        ("recovery", row["ID"] in waiting),
        ("expired", row["PASSWORD_EXPIRED"] == "Y"),  # noqa: S105  a column, no password
    )
    return next((name for name, applies in tests if applies), "ok")


def pending_recovery(portal: Portal) -> list[int]:
    """Users whose mark was cleared here and who have neither had a link nor set a password since."""
    noted: dict[str, str] = portal.state().get("recovery", {})
    if not noted:
        return []
    marks = ", ".join(["%s"] * len(noted))
    rows = portal.database.rows(f"SELECT ID, PASSWORD FROM b_user WHERE ID IN ({marks})", *map(int, noted))  # noqa: S608
    return [row["ID"] for row in rows if _fingerprint(row["PASSWORD"]) == noted[str(row["ID"])]]


def _fingerprint(password: object) -> str:
    # The end of a hash shows whether it was replaced, and is of no other use.
    return str(password or "")[-6:]


def plan_users(portal: Portal, *, clear_marks: bool, guests: bool = False) -> tuple[Plan, dict[str, str]]:
    """Clear the network mark of real people, so that login and password (after recovery) let them in.

    People without mark and password wait for a recovery link as well.

    Args:
        portal: the portal.
        clear_marks: whether to change anything; without it the users are only counted.
        guests: also people without a department (extranet, guests).

    Returns:
        The plan and, by user id, the fingerprint of the password that each cured user has to replace.
    """
    plan = Plan()
    pending = pending_recovery(portal)
    users = read_users(portal, pending)
    cured: dict[str, str] = {}
    if clear_marks:
        taken = {user.login.lower() for user in users if not user.mark}
        for user in users:
            if user.reason not in {"network", "no_password"} or not (user.employee or guests):
                continue
            if user.reason == "no_password":
                cured[str(user.id)] = ""
                continue
            login = _free_login(user, taken)
            if login is None:
                plan.warnings.append(f"user {user.id} ({user.login}) keeps the network mark: no login is free for them")
                continue
            taken.add(login.lower())
            before = {"EXTERNAL_AUTH_ID": user.mark, "LOGIN": user.login}
            plan.update("b_user", {"ID": user.id}, before, {"EXTERNAL_AUTH_ID": None, "LOGIN": login})
            password = portal.database.value("SELECT PASSWORD FROM b_user WHERE ID = %s", user.id)
            cured[str(user.id)] = _fingerprint(password)
            if not user.email:
                plan.warnings.append(
                    f"user {user.id} ({login}) has no address for a recovery link: set a password by hand"
                )
    counts = Counter(user.reason for user in users)
    plan.report = {
        "people": len(users),
        "reasons": dict(counts),
        "cured": len(plan.rows),
        "waiting_for_recovery": len(pending) + len(cured),
    }
    return plan, cured


def _free_login(user: User, taken: set[str]) -> str | None:
    for login in (user.login, user.email, f"{user.login[: _LOGIN_LENGTH - 12]}-{user.id}"):
        if login and len(login) <= _LOGIN_LENGTH and login.lower() not in taken:
            return login
    return None


def plain_cell(text: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def as_csv(users: Iterable[User], language: str = "en") -> str:
    """The people as a table for an administrator; without secrets."""
    text = io.StringIO()
    writer = csv.writer(text)
    head = (
        ("id", "login", "name", "mail", "employee", "state")
        if language != "es"
        else ("id", "usuario", "nombre", "correo", "empleado", "estado")
    )
    writer.writerow(head)
    for user in users:
        safe = [plain_cell(cell) for cell in (user.login, user.name, user.email)]
        writer.writerow(
            [user.id, *safe, "1" if user.employee else "0", REASONS[user.reason][1 if language == "es" else 0]]
        )
    return text.getvalue()
