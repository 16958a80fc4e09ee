"""Whether agents, mail and the Messenger really run, by the rows that they leave.

A pass writes ``LAST_EXEC`` and a new ``NEXT_EXEC`` of every agent that succeeded; one that throws keeps ``RUNNING='Y'``
and counts ``RETRY_COUNT``. An agent of a module without files is never run and is not called overdue. A periodic agent
makes up for every time it missed, so one that ran lately may be far behind. Sent mail has ``DATE_EXEC``, and a message
that was worked off is gone. Source: behaviour.md chapter 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from .site import Portal

GRACE_MINUTES: Final = 15
CRASHES: Final = 3
KINDS: Final = {"Y": "periodic", "N": "non-periodic"}
_MESSAGE_COLUMNS: Final = ("QUEUE_ID", "PAYLOAD", "AVAILABLE_AT", "STATUS", "UPDATED_AT")
_NAMED: Final = 5


@dataclass
class Signs:
    """What the rows say now.

    Attributes:
        since: from when on a run counts, by the database's clock.
        active: agents that can run, by kind.
        ran: those of them that succeeded since, by kind.
        due: those that were due at ``since`` and have not been started, by kind.
        started: those that were due at ``since``, and are under way or have failed, by kind.
        overdue: names of agents that neither ran nor were to wait, for longer than the grace time.
        behind: periodic agents that run, and make up for times that they missed.
        crashed: names of agents that failed again and again.
        orphans: active agents of modules that are not there.
        mail_waiting: mails of the queue.
        mail_due: those that were in it at ``since``.
        mail_overdue: those that have been waiting for longer than the grace time.
        mail_sent: mails sent since.
        mail_failed: mails since then that could not be sent, by state.
        messages_due: messages that were due at ``since`` and have not been touched.
        messages_overdue: messages that have been due for longer than the grace time.
        messenger_stopped: whether the Messenger waits for a consumer of the command line.
    """

    since: str
    active: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    ran: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    due: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    started: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    overdue: list[str] = field(default_factory=list)
    behind: int = 0
    crashed: list[str] = field(default_factory=list)
    orphans: int = 0
    mail_waiting: int = 0
    mail_due: int = 0
    mail_overdue: int = 0
    mail_sent: int = 0
    mail_failed: dict[str, int] = field(default_factory=dict)
    messages_due: int = 0
    messages_overdue: int = 0
    messenger_stopped: bool = False


def moment(portal: Portal, minutes: int = 0) -> str:
    """Now, or some minutes from now, by the database's clock."""
    return str(portal.database.value("SELECT NOW() + INTERVAL %s MINUTE", minutes))


def read_signs(portal: Portal, since: str) -> Signs:
    """Read what agents, mail and the Messenger have left in their rows since a moment."""
    signs = Signs(since, messenger_stopped=portal.section("messenger").get("run_mode") == "cli")
    _read_agents(portal, signs)
    _read_mail(portal, signs)
    for table in message_tables(portal):
        due = portal.database.rows(
            "SELECT COALESCE(SUM(AVAILABLE_AT <= %s AND UPDATED_AT < %s), 0) AS due,"  # noqa: S608  a known table
            f" COALESCE(SUM(AVAILABLE_AT < NOW() - INTERVAL {GRACE_MINUTES} MINUTE), 0) AS overdue FROM {table}",
            since, since,
        )[0]  # fmt: skip
        signs.messages_due += int(due["due"])
        signs.messages_overdue += int(due["overdue"])
    return signs


def message_tables(portal: Portal) -> list[str]:
    """The Messenger's own table and those that modules have for it; none in a product that has no Messenger."""
    return [table for table in sorted(portal.columns) if portal.has(table, *_MESSAGE_COLUMNS)]


def _read_agents(portal: Portal, signs: Signs) -> None:
    rows = portal.database.rows(
        "SELECT NAME, MODULE_ID, IS_PERIOD, LAST_EXEC, NEXT_EXEC, LAST_EXEC >= %s AS ran,"  # noqa: S608  numbers
        " NEXT_EXEC <= %s AS due, RUNNING = 'Y' AS running,"
        f" NEXT_EXEC < NOW() - INTERVAL {GRACE_MINUTES} MINUTE AS late,"
        f" LAST_EXEC >= NOW() - INTERVAL {GRACE_MINUTES} MINUTE AS lately,"
        f" RUNNING = 'Y' AND RETRY_COUNT >= {CRASHES} AS crashed FROM b_agent WHERE ACTIVE = 'Y' ORDER BY NEXT_EXEC",
        signs.since, signs.since,
    )  # fmt: skip
    for row in rows:
        if row["MODULE_ID"] not in {None, "", "main"} and not _is_loadable(portal, row["MODULE_ID"]):
            signs.orphans += 1
            continue
        kind = KINDS["Y" if row["IS_PERIOD"] == "Y" else "N"]
        signs.active[kind] += 1
        signs.ran[kind] += bool(row["ran"])
        if row["due"] and not row["ran"]:
            (signs.started if row["running"] else signs.due)[kind] += 1
        name = str(row["NAME"]).strip()[:80]
        if row["crashed"]:
            signs.crashed.append(name)
        elif row["late"] and row["lately"]:
            signs.behind += 1
        elif row["late"]:
            signs.overdue.append(f"{name} (due {row['NEXT_EXEC']}, last run {row['LAST_EXEC'] or 'never'})")


def _is_loadable(portal: Portal, module: str) -> bool:
    """Whether the kernel finds the module: its row alone is not enough."""
    folders = (portal.root / base / "modules" / module for base in ("bitrix", "local"))
    return module in portal.modules and any(folder.is_dir() for folder in folders)


def _read_mail(portal: Portal, signs: Signs) -> None:
    row = portal.database.rows(
        "SELECT COUNT(*) AS waiting, COALESCE(SUM(DATE_INSERT IS NULL OR DATE_INSERT < NOW()"  # noqa: S608  a number
        f" - INTERVAL {GRACE_MINUTES} MINUTE), 0) AS overdue,"
        " COALESCE(SUM(DATE_INSERT IS NULL OR DATE_INSERT <= %s), 0) AS due FROM b_event WHERE SUCCESS_EXEC = 'N'",
        signs.since,
    )[0]
    signs.mail_waiting, signs.mail_overdue, signs.mail_due = (int(row[key]) for key in ("waiting", "overdue", "due"))
    states = portal.database.rows(
        "SELECT SUCCESS_EXEC AS state, COUNT(*) AS mails FROM b_event WHERE DATE_EXEC >= %s GROUP BY SUCCESS_EXEC",
        signs.since,
    )
    counts = {str(row["state"]): int(row["mails"]) for row in states}
    signs.mail_sent = counts.pop("Y", 0)
    signs.mail_failed = {state: counts[state] for state in ("F", "P", "E", "0") if state in counts}


def unproven(signs: Signs, start: Signs | None = None) -> list[str]:
    """What has not shown itself to run since ``signs.since``; ``start`` is what the rows said at first.

    A kind of agents of which nothing was due proves itself by that.
    """
    wrong = [
        f"none of {signs.due[kind]} due {kind} agents has run since {signs.since}"
        for kind in KINDS.values()
        if signs.due[kind] and not signs.ran[kind]
    ]
    handled = signs.mail_sent + sum(signs.mail_failed.values())
    if signs.mail_due and not handled:
        wrong.append(f"none of {signs.mail_due} waiting mails has been sent since {signs.since}")
    if signs.messages_due and (start is None or signs.messages_due >= start.messages_due):
        stopped = " (messenger.run_mode is 'cli', and nothing consumes)" if signs.messenger_stopped else ""
        wrong.append(f"none of {signs.messages_due} due messages of the Messenger has been worked off{stopped}")
    return wrong


def failing_agents(signs: Signs) -> list[str]:
    """Overdue and crashed agents, by name."""
    wrong = []
    if signs.crashed:
        wrong.append(f"{len(signs.crashed)} agents fail each time: {_listed(signs.crashed)}")
    if signs.overdue:
        wrong.append(
            f"{len(signs.overdue)} agents are overdue by more than {GRACE_MINUTES} minutes: {_listed(signs.overdue)}"
        )
    return wrong


def stuck_queues(signs: Signs) -> list[str]:
    """Mail and messages that have been waiting for too long."""
    wrong = []
    if signs.mail_overdue:
        wrong.append(f"{signs.mail_overdue} mails have been waiting for more than {GRACE_MINUTES} minutes")
    if signs.messages_overdue:
        stopped = ": messenger.run_mode is 'cli', and nothing consumes" if signs.messenger_stopped else ""
        wrong.append(
            f"{signs.messages_overdue} messages of the Messenger have been due for more than"
            f" {GRACE_MINUTES} minutes{stopped}"
        )
    return wrong


def failed_mail(signs: Signs) -> str:
    """Mail since then that could not be sent, with why; empty when there is none."""
    words = {"F": "not accepted", "P": "sent in part", "E": "with an error", "0": "without an active template"}
    return ", ".join(f"{count} mails {words[state]}" for state, count in signs.mail_failed.items())


def summary(signs: Signs) -> str:
    """What ran, in one line."""
    parts = [f"{signs.ran[kind]} of {signs.active[kind]} {kind} agents" for kind in KINDS.values()]
    parts.append(f"{signs.mail_sent} mails sent, {signs.mail_waiting} waiting")
    text = f"ran since {signs.since}: {', '.join(parts)}"
    if signs.behind:
        text += f"; {signs.behind} periodic agents make up for times they missed"
    if signs.orphans:
        text += f"; {signs.orphans} agents of modules that are not there"
    return text


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def wait_for_proof(
    portal: Portal, since: str, seconds: float, sleep: Callable[[float], Any] = time.sleep, step: float = 5.0
) -> tuple[Signs, list[str]]:
    """Look at the rows until everything has shown itself to run, or the time is over.

    Returns:
        What the rows say in the end, and what is still unproven.
    """
    end = time.monotonic() + seconds
    start = signs = read_signs(portal, since)
    while (unproven(signs, start) or _is_under_way(signs)) and time.monotonic() < end:
        sleep(step)
        signs = read_signs(portal, since)
    return signs, unproven(signs, start)


def _is_under_way(signs: Signs) -> bool:
    """Whether all that can be said of a kind of agents is that some have been started."""
    return any(signs.started[kind] and not signs.ran[kind] for kind in KINDS.values())
