"""One-time recovery links for people whose password stayed with Bitrix24.Network: mailed, or listed for somebody.

The kernel makes the word, for one identified person at a time (``CUser::SendUserInfo``), and queues a letter with it.
A link counts as made only when this very call left its row in ``b_event``: the call itself says nothing, and handlers
may stop it silently. For a list the row is of an event that has no template, so no queue can mail it, and it goes as
soon as it is read. Source: behaviour.md 1, 2.1 and 7.
"""

from __future__ import annotations

import csv
import datetime
import io
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from . import kernel, php, users
from .serialized import SerializedError, unserialize
from .site import Portal

EVENT: Final = "USER_PASS_REQUEST"
LISTED: Final = "ENCAJA_RECOVERY_LINK"
"""Event of links that are listed; there is no template for it."""
HEAD: Final = {
    "en": ("id", "login", "name", "mail", "link", "valid until"),
    "es": ("id", "usuario", "nombre", "correo", "enlace", "válido hasta"),
}
LIFETIME: Final = 2880
"""Minutes that a link is valid where no group's policy says less (``CHECKWORD_TIMEOUT``)."""
SHORT: Final = 1440
"""A lifetime below it, in minutes, is told: whoever does not read their mail today needs another link."""
_EVERYONE: Final = 2
_TEXTS: Final = {
    "en": "The portal has moved. Set a password of your own; the link is valid for {} {}.",
    "es": "El portal se ha trasladado. Ponga una contraseña propia; el enlace vale {} {}.",
}


UNSENT: Final = frozenset("0EF")
"""States of a letter that the queue gave up: no template, an exception, failed."""


def due(portal: Portal, *, without_mail: bool, again: bool = False) -> list[users.User]:
    """Who is still to get a link: those whose mark was cleared, who have set no password and had no link yet.

    Those whose letter the queue could not send are among them.

    Args:
        portal: the portal.
        without_mail: also those who have no address.
        again: also those whose link has expired.
    """
    had = _had(portal, again=again)
    return [user for user in waiting(portal) if user.id not in had and (user.email or without_mail)]


def waiting(portal: Portal) -> list[users.User]:
    """People who have to set a password by a link, whether they had one or not."""
    pending = frozenset(users.pending_recovery(portal))
    return [user for user in users.read_users(portal, pending) if user.id in pending and user.reason == "recovery"]


def lifetimes(portal: Portal, people: Iterable[int]) -> dict[int, int]:
    """Minutes that a link of each user is valid: the least of their groups; everybody is in the second."""
    timeouts = {}
    for row in portal.database.rows("SELECT ID, SECURITY_POLICY FROM b_group WHERE ACTIVE = 'Y'"):
        minutes = str(_unserialized(row["SECURITY_POLICY"]).get("CHECKWORD_TIMEOUT") or "")
        if minutes.isdecimal() and 0 < int(minutes) < LIFETIME:
            timeouts[int(row["ID"])] = int(minutes)
    found = dict.fromkeys(people, timeouts.pop(_EVERYONE, LIFETIME))
    for row in portal.database.rows("SELECT USER_ID, GROUP_ID FROM b_user_group") if timeouts else []:
        if row["USER_ID"] in found and row["GROUP_ID"] in timeouts:
            found[row["USER_ID"]] = min(found[row["USER_ID"]], timeouts[row["GROUP_ID"]])
    return found


def sent_states(portal: Portal) -> Counter[str]:
    """Letters of the last run by their state in the queue: ``N`` waits, ``Y`` sent, those of ``UNSENT`` lost."""
    return Counter(_letters(portal).values())


def expired(portal: Portal) -> set[int]:
    """Users who had a link that is no longer valid."""
    noted = _noted(portal)
    minutes = lifetimes(portal, noted)
    return {number for number, when in noted.items() if when + minutes[number] * 60 < time.time()}


def conditions(portal: Portal, people: Sequence[users.User]) -> list[str]:
    """What has to be known before these people are sent a link, each as a sentence."""
    told = []
    short = {number: minutes for number, minutes in lifetimes(portal, [user.id for user in people]).items()
             if minutes < SHORT}  # fmt: skip
    if short:
        told.append(
            f"links of {len(short)} people are valid for {min(short.values())} minutes only (their groups' security"
            " policy): tell them the hour, and send another with settle_recovery_again"
        )
    addresses: dict[str, list[int]] = {}
    for user in people:
        addresses.setdefault(user.email.lower(), []).append(user.id)
    shared = [numbers for address, numbers in addresses.items() if address and len(numbers) > 1]
    if shared:
        named = "; ".join(", ".join(map(str, numbers)) for numbers in shared[:5])
        told.append(f"users share an address, and each gets a letter of their own there: {named}")
    if portal.option("main", "captcha_restoring_password", "N") == "Y":
        told.append("whoever asks for another link by themselves has to read a picture (captcha_restoring_password)")
    only = php.read_define(portal.dbconn, "ONLY_EMAIL")
    if only:
        told.append("ONLY_EMAIL in dbconn.php: letters to any other address are dropped and count as sent; remove it")
    if any("custom_mail" in portal.text(portal.root / base / "php_interface/init.php") for base in ("local", "bitrix")):
        told.append("php_interface/init.php names custom_mail, which gets every letter: see that it delivers them")
    return told


def mail(portal: Portal, domain: str, *, again: bool = False) -> dict[str, Any]:
    """Queue a recovery letter for every user who is due one; each is noted at once, so that no user gets two.

    Args:
        portal: the portal.
        domain: the portal's host name.
        again: also for those whose link has expired.

    Returns:
        How many are in the queue (``sent``), why others are not (``refused``, by user id), and how long the shortest
        link is valid (``minutes``; 0 when there is none).
    """
    people = due(portal, without_mail=False, again=again)
    sent = _had(portal, again=again)
    _note(portal, sent, recovery_mails_after=_newest(portal))
    templates = {
        row["SITE_ID"]
        for row in portal.database.rows(
            "SELECT s.SITE_ID FROM b_event_message m JOIN b_event_message_site s ON s.EVENT_MESSAGE_ID = m.ID"
            " WHERE m.EVENT_NAME = %s AND m.ACTIVE = 'Y'", EVENT
        )
    }  # fmt: skip
    sites = _sites(portal, people)
    refused = {
        str(user.id): f"site {sites[user.id]} has no active template {EVENT}, without which the letter is not sent"
        for user in people
        if sites[user.id] not in templates
    }
    count = 0
    for user, fields in _ask(portal, domain, [user for user in people if str(user.id) not in refused], EVENT):
        if not fields:
            refused[str(user.id)] = _NOTHING
            continue
        count += 1
        sent[user.id] = time.time()
        _note(portal, sent)
    shortest = min(lifetimes(portal, [user.id for user in people]).values(), default=0)
    return {"sent": count, "refused": refused, "minutes": shortest}


def listed(portal: Portal, url: str) -> tuple[list[tuple[users.User, str]], dict[str, str]]:
    """A link for every user who is due one, and who was refused; nothing is mailed."""
    portal.database.execute("DELETE FROM b_event WHERE EVENT_NAME = %s", LISTED)  # of a run that was killed
    links: list[tuple[users.User, str]] = []
    refused: dict[str, str] = {}
    people = due(portal, without_mail=True, again=True)
    for user, fields in _ask(portal, url.partition("://")[2], people, LISTED):
        if word := str(fields.get("CHECKWORD") or ""):
            links.append((user, link(url, user, word)))
        else:
            refused[str(user.id)] = _NOTHING
    portal.database.execute("DELETE FROM b_event WHERE EVENT_NAME = %s", LISTED)
    return links, refused


def note_listed(portal: Portal, people: Iterable[int]) -> None:
    """The list with these people's links is written: they are not due any more."""
    now = time.time()
    _note(portal, {**_had(portal, again=False), **dict.fromkeys(people, now)})


def link(url: str, user: users.User, word: str) -> str:
    """The address at which a person sets a new password with the one-time word."""
    words = {"change_password": "yes", "USER_LOGIN": user.login, "USER_CHECKWORD": word}
    return f"{url}/auth/?{urlencode({**words, **({'lang': user.language} if user.language else {})})}"


def as_csv(portal: Portal, links: Iterable[tuple[users.User, str]], language: str = "en", former: str = "") -> str:
    """The links as a table; its holder can set these people's passwords.

    Args:
        portal: the portal, whose policies say how long the links are valid.
        links: people and addresses.
        language: of the head.
        former: the table as it was; people who have no new link keep theirs.
    """
    links = list(links)
    minutes = lifetimes(portal, [user.id for user, _ in links])
    now = datetime.datetime.now(datetime.UTC)
    new = {
        str(user.id): [
            str(user.id), *map(users.plain_cell, (user.login, user.name, user.email)), address,
            f"{now + datetime.timedelta(minutes=minutes[user.id]):%Y-%m-%d %H:%M} UTC",
        ]
        for user, address in links
    }  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD["es" if language == "es" else "en"])
    kept = [row for row in list(csv.reader(io.StringIO(former)))[1:] if row and row[0] not in new]
    writer.writerows([*kept, *new.values()])
    return text.getvalue()


_NOTHING: Final = (
    "the kernel queued nothing for them: a handler of OnBeforeSendUserInfo stops it, or they have a mark again"
)


def _ask(
    portal: Portal, host: str, people: Sequence[users.User], event: str
) -> Iterator[tuple[users.User, dict[Any, Any]]]:
    """Each person with the fields of the row that the kernel left for them; empty when it left none."""
    if not people:
        return
    by_id = {user.id: user for user in people}
    minutes, sites = lifetimes(portal, by_id), _sites(portal, people)
    rows = [
        {
            "id": user.id,
            "site": sites[user.id],
            "text": _text(user.language, minutes[user.id]),
        }
        for user in people
    ]
    last, made = _newest(portal), dict[int, dict[Any, Any]]()
    listing = portal.root.resolve().parent / ".encaja-recovery.json"
    for number in kernel.send_recovery(portal.root, host, rows, event=event, listing=listing):
        for row in portal.database.rows(
            "SELECT ID, C_FIELDS FROM b_event WHERE EVENT_NAME = %s AND ID > %s ORDER BY ID", event, last
        ):
            last, fields = int(row["ID"]), _unserialized(row["C_FIELDS"])
            made[_number(fields)] = fields
        yield by_id[number], made.pop(number, {})


def _text(language: str, minutes: int) -> str:
    spanish = language == "es"
    span = (
        (minutes // 60, "horas" if spanish else "hours")
        if minutes >= 120
        else (minutes, "minutos" if spanish else "minutes")
    )
    return _TEXTS["es" if spanish else "en"].format(*span)


def _sites(portal: Portal, people: Iterable[users.User]) -> dict[int, str]:
    """The site that each is asked for, which becomes theirs: the one they have, else the default one."""
    active = [str(site["LID"]) for site in portal.sites]
    own = {row["ID"]: row["LID"] for row in portal.database.rows("SELECT ID, LID FROM b_user")}
    return {user.id: own[user.id] if own.get(user.id) in active else active[0] for user in people}


def _noted(portal: Portal) -> dict[int, float]:
    noted = portal.state().get("recovery_sent", {})
    # Earlier versions noted only who had a link, not when.
    return {
        int(number): float(when)
        for number, when in (noted if isinstance(noted, dict) else dict.fromkeys(noted, 0)).items()
    }


def _note(portal: Portal, sent: Mapping[int, float], **more: Any) -> None:
    portal.note(recovery_sent={str(number): when for number, when in sent.items()}, **more)


def _had(portal: Portal, *, again: bool) -> dict[int, float]:
    """Who had a link and when (Unix time): noted, or in the queue because the last run died before noting it."""
    letters = _letters(portal)
    lost = {number for number, state in letters.items() if state in UNSENT}
    had = {**dict.fromkeys(letters, time.time()), **_noted(portal)}
    gone = lost | (expired(portal) if again else set())
    return {number: when for number, when in had.items() if number not in gone}


def _letters(portal: Portal) -> dict[int, str]:
    """The newest letter of each user since the last run began: its state in the queue."""
    after = portal.state().get("recovery_mails_after")
    if after is None:
        return {}
    rows = portal.database.rows(
        "SELECT C_FIELDS, SUCCESS_EXEC FROM b_event WHERE EVENT_NAME = %s AND ID > %s ORDER BY ID", EVENT, after
    )
    return {number: str(row["SUCCESS_EXEC"]) for row in rows if (number := _number(_unserialized(row["C_FIELDS"])))}


def _newest(portal: Portal) -> int:
    return portal.database.count("SELECT MAX(ID) FROM b_event")


def _number(fields: Mapping[Any, Any]) -> int:
    number = str(fields.get("USER_ID", ""))
    return int(number) if number.isdecimal() else 0


def _unserialized(text: object) -> dict[Any, Any]:
    try:
        value = unserialize(str(text or ""))
    except SerializedError:
        return {}
    return value if isinstance(value, dict) else {}
