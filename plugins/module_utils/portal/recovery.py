"""One-time recovery links for people whose password stayed with Bitrix24.Network: mailed, or listed for somebody.

The kernel makes the word and queues the mail, in the person's language. For a list the queued mail is taken out again
and its link is written down, so nothing is sent. Source: portal.md chapters 3 (``b_event``, ``b_user``) and 5 (4).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from . import kernel, users
from .serialized import SerializedError, unserialize
from .site import Portal

EVENT: Final = "USER_PASS_REQUEST"
HEAD: Final = {
    "en": ("id", "login", "name", "mail", "link"),
    "es": ("id", "usuario", "nombre", "correo", "enlace"),
}


def due(portal: Portal, *, without_mail: bool) -> list[users.User]:
    """Who is still to get a link: those whose mark was cleared, who have set no password and had no link yet.

    Args:
        portal: the portal.
        without_mail: also those who have no address.
    """
    waiting = frozenset(users.pending_recovery(portal))
    had = {int(number) for number in portal.state().get("recovery_sent", [])} | queued(portal)
    return [
        user
        for user in users.read_users(portal, waiting)
        if user.id in waiting and user.reason == "recovery" and user.id not in had and (user.email or without_mail)
    ]


def queued(portal: Portal) -> set[int]:
    """Users whose recovery mail is in the queue; by it a run that died between queueing and noting is recognised."""
    last = int(portal.state().get("mail_queue_last_id") or 0)
    rows = portal.database.rows(
        "SELECT C_FIELDS FROM b_event WHERE EVENT_NAME = %s AND ID > %s AND SUCCESS_EXEC = 'N'", EVENT, last
    )
    return {int(fields["USER_ID"]) for row in rows if (fields := _fields(row)).get("USER_ID")}


def mail(portal: Portal, domain: str) -> dict[str, Any]:
    """Queue a recovery mail for every user who is due one; each is noted at once, so that no user gets two."""
    sent: list[int] = []
    refused: dict[str, str] = {}
    for number, problem in _ask(portal, domain, due(portal, without_mail=False)):
        if problem:
            refused[str(number)] = problem
            continue
        sent.append(number)
        portal.note(recovery_sent=sorted({*portal.state().get("recovery_sent", []), number}))
    return {"sent": len(sent), "refused": refused}


def listed(portal: Portal, url: str) -> tuple[list[tuple[users.User, str]], dict[str, str]]:
    """A link for every user who is due one, and who was refused; the mails that the kernel queues are removed."""
    people = {user.id: user for user in due(portal, without_mail=True)}
    links: list[tuple[users.User, str]] = []
    refused: dict[str, str] = {}
    last = portal.database.count("SELECT MAX(ID) FROM b_event")
    for number, problem in _ask(portal, url.partition("://")[2], people.values()):
        if problem:
            refused[str(number)] = problem
            continue
        word = ""
        for row in portal.database.rows(
            "SELECT ID, C_FIELDS FROM b_event WHERE EVENT_NAME = %s AND ID > %s AND SUCCESS_EXEC = 'N'", EVENT, last
        ):
            fields = _fields(row)
            if str(fields.get("USER_ID", number)) == str(number):  # others ask for their own on the log-in page
                portal.database.execute("DELETE FROM b_event WHERE ID = %s", row["ID"])
                word = str(fields.get("CHECKWORD", ""))
        if word:
            links.append((people[number], link(url, people[number], word)))
        else:
            refused[str(number)] = "the kernel queued no mail with a one-time word"
    return links, refused


def link(url: str, user: users.User, word: str) -> str:
    """The address at which a person sets a new password with the one-time word."""
    words = {"change_password": "yes", "USER_LOGIN": user.login, "USER_CHECKWORD": word}
    return f"{url}/auth/?{urlencode({**words, **({'lang': user.language} if user.language else {})})}"


def as_csv(links: Iterable[tuple[users.User, str]], language: str = "en") -> str:
    """The links as a table; its holder can set these people's passwords."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD["es" if language == "es" else "en"])
    for user, address in links:
        writer.writerow([user.id, *map(users.plain_cell, (user.login, user.name, user.email)), address])
    return text.getvalue()


def _ask(portal: Portal, domain: str, people: Iterable[users.User]) -> Iterator[tuple[int, str]]:
    rows = [{"id": user.id, "login": user.login, "email": user.email} for user in people]
    if rows:
        yield from kernel.send_recovery(
            portal.root, domain, rows, portal.root.resolve().parent / ".encaja-recovery.json"
        )


def _fields(row: dict[str, Any]) -> dict[Any, Any]:
    try:
        value = unserialize(row["C_FIELDS"] or "")
    except SerializedError:
        return {}
    return value if isinstance(value, dict) else {}
