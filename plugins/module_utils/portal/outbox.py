"""What a frozen portal would have sent or started: its queues, each entry with its kind, to whom and since when.

At the first release each kind is released (it goes out with the portal's next run), held (its entries go into a table
of the kit's own, from where a later release takes them back) or purged. Mail that came with the backup has a decision
of its own (``background_work``); mail that PHP sent at once is on the host (``held_mail``). Source: behaviour.md
1, 2.1 to 2.3 and 2.5.
"""

# ruff: noqa: S608  names of tables and columns are rules' or the database's own, and quoted

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError
from . import held_mail
from .database import quoted
from .plan import Plan, RowChange
from .site import Portal

DECISIONS: Final = ("release", "hold", "purge")
KEPT: Final = "encaja_kept_"
"""Begins the names of the tables with entries that are held beyond the release."""
SHOWN: Final = 50
"""Entries of a kind that are listed; all are counted."""
_DECIDED: Final = ("encaja", "queues_decided")
"""The option that notes, with the decisions, that a release came so far; it goes when the release has noted itself."""
_MESSAGE: Final = ("QUEUE_ID", "CLASS", "AVAILABLE_AT")
_ADDRESS: Final = re.compile(r"[^\s\"'<>;:,{}]+@[^\s\"'<>;:,{}]+")


@dataclass(frozen=True)
class Queue:
    """A table whose rows wait.

    Attributes:
        kind: what waits in it, as decisions name it.
        table: its name.
        to, what, when: expressions for whom or what an entry is meant, what it is, and from when on it waits.
        waiting: the condition of entries that wait.
        needs: columns without which the table is another one.
        decided: the condition of entries that a decision is about.
    """

    kind: str
    table: str
    to: str
    what: str
    when: str
    waiting: str = "1 = 1"
    needs: tuple[str, ...] = ("ID",)
    decided: str = "1 = 1"


QUEUES: Final = (
    # Recovery mails are queued by the release itself.
    Queue("mail", "b_event", "C_FIELDS", "EVENT_NAME", "DATE_INSERT", "SUCCESS_EXEC = 'N'",
          needs=("C_FIELDS",), decided="EVENT_NAME NOT IN ('USER_PASS_REQUEST', 'USER_INFO')"),
    Queue("held mail", "b_event", "C_FIELDS", "EVENT_NAME", "DATE_INSERT", "SUCCESS_EXEC = 'H'", needs=("C_FIELDS",)),
    Queue("sms", "b_messageservice_message", "MESSAGE_TO", "TYPE", "DATE_INSERT", "SUCCESS_EXEC = 'N'"),
    Queue("push", "b_pull_push_queue", "CONCAT('user ', USER_ID)", "COALESCE(TAG, '')", "DATE_CREATE"),
    Queue("message", "b_main_messenger_message", "QUEUE_ID", "CLASS", "AVAILABLE_AT", needs=_MESSAGE),
    Queue("workflow", "b_bp_messenger_workflow_start_message", "QUEUE_ID", "CLASS", "AVAILABLE_AT", needs=_MESSAGE),
    Queue("workflow", "b_bp_messenger_workflow_resume_message", "QUEUE_ID", "CLASS", "AVAILABLE_AT", needs=_MESSAGE),
    Queue("calendar", "b_calendar_messenger_message", "QUEUE_ID", "CLASS", "AVAILABLE_AT", needs=_MESSAGE),
    Queue("delay", "b_agent", "NAME", "'delayed step of a workflow'", "NEXT_EXEC",
          "ACTIVE = 'Y' AND NAME LIKE 'CBPSchedulerService::OnAgent%'", needs=("NAME",)),
    Queue("event", "b_rest_event_offline", "CONCAT('application ', APP_ID)", "EVENT_NAME", "TIMESTAMP_X"),
)  # fmt: skip
DECIDED: Final = (*dict.fromkeys(queue.kind for queue in QUEUES if queue.kind != "held mail"), held_mail.KIND)


def waiting(portal: Portal, spool: Path = held_mail.SPOOL) -> list[dict[str, Any]]:
    """The queues that are not empty: ``kind``, ``entries``, and of the first of them ``to``, ``what`` and ``when``."""
    found = []
    for queue in _queues(portal):
        source = f"FROM {quoted(queue.table)} WHERE {queue.waiting}"
        if entries := portal.database.count(f"SELECT COUNT(*) {source}"):
            rows = portal.database.rows(
                f"SELECT {queue.to} AS receiver, {queue.what} AS what, {queue.when} AS since {source}"
                f" ORDER BY {queue.when} LIMIT {SHOWN}"
            )
            first = [
                {"to": _receiver(str(row["receiver"] or "")), "what": str(row["what"]), "when": str(row["since"] or "")}
                for row in rows
            ]
            found.append({"kind": queue.kind, "table": queue.table, "entries": entries, "first": first})
    return found + held_mail.waiting(spool, SHOWN)


def summary(queues: list[dict[str, Any]]) -> str:
    """The queues in one line."""
    return ", ".join(f"{queue['entries']} {queue['kind']} ({queue['table']})" for queue in queues)


def plan_release(portal: Portal, plan: Plan, decisions: Mapping[str, str], *, first: bool) -> None:
    """Release, hold or purge what waits; after the ``first`` release only what is held.

    Raises:
        EncajaError: a decision is unknown.
    """
    if wrong := [f"{kind}: {how}" for kind, how in decisions.items() if kind not in DECIDED or how not in DECISIONS]:
        hint = f"kinds are {', '.join(DECIDED)}, each {' or '.join(DECISIONS)}"
        raise EncajaError(f"unknown decisions: {', '.join(wrong)}", "settle_release_queues", hint)
    made, changes = [], Plan()
    for queue in _queues(portal):
        decision, table, kept = decisions.get(queue.kind, "release"), quoted(queue.table), KEPT + queue.table
        meant = f"FROM {table} WHERE {queue.waiting} AND {queue.decided}"
        if decision in {"release", "purge"} and kept in portal.columns:
            count = portal.database.count(f"SELECT COUNT(*) FROM {quoted(kept)}")
            if count and decision == "release":
                columns = ", ".join(map(quoted, portal.columns[kept]))
                changes.statement(
                    queue.table,
                    f"INSERT IGNORE INTO {table} ({columns}) SELECT {columns} FROM {quoted(kept)}",
                    after=f"{count} {queue.kind} that were held",
                )
            if count:
                changes.statement(kept, f"DELETE FROM {quoted(kept)}", before=f"{count} {queue.kind} held")
        count = portal.database.count(f"SELECT COUNT(*) {meant}") if first else 0
        if decision == "release" or not count:
            continue
        if decision == "hold":
            if kept not in portal.columns and kept not in made:
                made.append(kept)
            changes.statement(kept, f"REPLACE INTO {quoted(kept)} SELECT * {meant}")
        text = f"{count} {queue.kind} waiting"
        changes.statement(queue.table, f"DELETE {meant}", before=text, after=decision)
    for name in made:  # before everything else: it ends a transaction
        sql = f"CREATE TABLE IF NOT EXISTS {quoted(name)} LIKE {quoted(name.removeprefix(KEPT))}"
        plan.rows.insert(0, RowChange(name, sql, (), "", "(made)"))
    plan.extend(changes)


def decide(portal: Portal, decisions: Mapping[str, str], *, frozen: bool, released: bool) -> Plan:
    """Apply the release's decisions, before anything can go out; returns what was done.

    After a release that was cut off, what came since the portal went out of its freeze is not meant.
    """
    plan, first = Plan(), not released and (frozen or not portal.option(*_DECIDED))
    plan_release(portal, plan, decisions, first=first)
    done = plan.changed
    if first:
        portal.set_option(plan, *_DECIDED, "Y")
    plan.apply(portal.database)
    return plan if done else Plan()


def end(portal: Portal) -> None:
    """Forget what was decided: the release has noted itself."""
    portal.database.execute("DELETE FROM b_option WHERE MODULE_ID = %s AND NAME = %s", *_DECIDED)


def _queues(portal: Portal) -> Iterator[Queue]:
    return (queue for queue in QUEUES if portal.has(queue.table, *queue.needs))


def _receiver(text: str) -> str:
    """Addresses among a mail's fields, which may hold secrets besides; any other text itself."""
    packed = text.startswith("a:")
    return ", ".join(dict.fromkeys(_ADDRESS.findall(text))) or ("" if packed else text[:80])
