"""Channel events of Asterisk (CEL), as they come from the manager interface and from its database.

Sources: Asterisk's CEL specification (docs.asterisk.org, Configuration/Reporting/Channel-Event-Logging-CEL) and the
output of Asterisk 22.10: the manager's ``Event: CEL`` carries whole seconds in ``EventTime`` and the moment of sending
in ``Timestamp`` (``timestampevents=yes``); ``cel_sqlite3_custom`` writes the exact time. ``Extra`` is JSON.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = frozenset({"CHAN_START", "ANSWER", "HANGUP", "CHAN_END", "BRIDGE_ENTER", "BRIDGE_EXIT", "LINKEDID_END"})


@dataclass(frozen=True)
class Event:
    """One thing that happened to one channel.

    Args:
        kind: one of :data:`KINDS`.
        time: when, in seconds since 1970.
        endpoint: the telephone or trunk that the channel belongs to.
        channel: the channel's unique ID.
        linked: the ID of the call that the channel belongs to: the unique ID of its first channel.
        number: the caller's number.
        exten: what was dialled, where known.
        bridge: the conversation that was entered or left.
        cause: why it was hung up (ITU-T Q.850), 0 when unknown.
        dial_status: how the last Dial of this channel ended.
    """

    kind: str
    time: float
    endpoint: str
    channel: str
    linked: str
    number: str = ""
    exten: str = ""
    bridge: str = ""
    cause: int = 0
    dial_status: str = ""


def endpoint_of(channel: str) -> str:
    """Return the endpoint in a channel's name: ``PJSIP/101-0000002a`` is a channel of ``101``."""
    technology, _, rest = channel.partition("/")
    return rest.rpartition("-")[0] if technology == "PJSIP" else ""


def from_manager(fields: Mapping[str, str]) -> Event | None:
    """Return the event in a message of the manager interface, or None when it is another message."""
    if fields.get("Event") != "CEL" or fields.get("EventName") not in KINDS:
        return None
    moment = fields.get("Timestamp")
    when = float(moment) if moment else time.mktime(time.strptime(fields["EventTime"], "%Y-%m-%d %H:%M:%S"))
    return Event(
        kind=fields["EventName"],
        time=when,
        endpoint=endpoint_of(fields["Channel"]),
        channel=fields["UniqueID"],
        linked=fields["LinkedID"],
        number=fields.get("CallerIDnum", ""),
        exten=fields.get("Exten", ""),
        **_extra(fields.get("Extra", "")),
    )


def from_database(path: Path, after: int, since: float = 0.0) -> Iterator[tuple[int, Event]]:
    """Yield the events of Asterisk's database with their row numbers, in order.

    Args:
        path: the database.
        after: the last row number already known.
        since: leave out what happened before this time.
    """
    if not path.exists():
        return
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        rows = database.execute(
            "SELECT AcctId, eventtype, eventtime, channame, uniqueid, linkedid, cidnum, exten, extra FROM cel"
            " WHERE AcctId > ? AND CAST(eventtime AS REAL) >= ? ORDER BY AcctId",
            (after, since),
        )
        for row, kind, when, channel, unique, linked, number, exten, extra in rows:
            if kind in KINDS:
                endpoint = endpoint_of(channel)
                yield (
                    row,
                    Event(kind, float(when), endpoint, unique, linked, number or "", exten or "", **_extra(extra)),
                )


def last_row(path: Path) -> int:
    """Return the last row number of Asterisk's database, 0 when there is none."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        return int(database.execute("SELECT COALESCE(MAX(AcctId), 0) FROM cel").fetchone()[0])


def forget(path: Path, before: float) -> int:
    """Remove the events of Asterisk's database from before a time and return how many there were."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=5)) as database, database:
        return database.execute("DELETE FROM cel WHERE CAST(eventtime AS REAL) < ?", (before,)).rowcount


def _extra(text: str) -> dict[str, Any]:
    """Return what ``Extra`` says about an event."""
    try:
        data = json.loads(text) if text else {}
    except ValueError:
        data = {}
    return {
        "bridge": str(data.get("bridge_id", "")),
        "cause": int(data.get("hangupcause", 0)),
        "dial_status": str(data.get("dialstatus", "")),
    }
