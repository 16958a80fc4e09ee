"""Calls and their reports, in a file that survives the connector.

Every event is on disk before it has an effect, and every step that the portal confirmed is on disk before the next one
is taken. A write to the portal is marked before it is tried (``tried``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from encaja.errors import EncajaError
from encaja.telephony.call import Call
from encaja.telephony.events import Event

SCHEMA = """
CREATE TABLE IF NOT EXISTS call (
    linked TEXT PRIMARY KEY, started REAL NOT NULL, state TEXT NOT NULL, report TEXT NOT NULL, done INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS call_done ON call (done, started);
CREATE TABLE IF NOT EXISTS position (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


@dataclass
class Report:
    """What was reported of one call.

    Args:
        call_id: its ID in the portal, once registered.
        registered_for: the user for whom its registration was tried.
        registered: when it was registered, in seconds since 1970.
        entity: the record that the portal found or made for the number, such as ``LEAD 12``.
        created: whether the portal made that record.
        shown: users who see the call's card.
        hidden: users from whom it was hidden again.
        tried: the step whose outcome is not known, if any.
        finished: when it was finished.
        activity: ID of the activity that finishing made.
        recorded: ID of the recording's file in the portal, or ``none:`` and the reason.
        forgotten: how often the portal no longer knew the call.
        attempts: refusals in a row.
        not_before: when to try again, in seconds since 1970.
        error: the last refusal.
        outcome: why nothing is left to do; empty before that.
    """

    call_id: str = ""
    registered_for: int = 0
    registered: float | None = None
    entity: str = ""
    created: bool = False
    shown: list[int] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)
    tried: str = ""
    finished: float | None = None
    activity: str = ""
    recorded: str = ""
    forgotten: int = 0
    attempts: int = 0
    not_before: float = 0.0
    error: str = ""
    outcome: str = ""


@dataclass
class Entry:
    """A call with its report."""

    call: Call
    report: Report = field(default_factory=Report)


class Spool:
    """The file. One connector at a time works with it.

    Args:
        path: the file; created if missing.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._database = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(SCHEMA)
        except sqlite3.Error as fault:
            hint = "check the disk; without the file, the last day's calls are compared with the portal and reported"
            raise EncajaError(str(fault), str(path), hint) from fault

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def fold(self, events: Iterable[Event], position: tuple[str, int] | None = None) -> list[str]:
        """Add events, and the position up to which a source has been read, in one transaction.

        Args:
            events: those of unknown calls make new ones.
            position: name of the source and the position after these events.

        Returns:
            The IDs of the calls that changed and are not done.
        """
        touched: dict[str, Entry] = {}
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            for event in events:
                entry = touched.get(event.linked)
                if entry is None:
                    entry = touched[event.linked] = self.get(event.linked) or Entry(Call(event.linked))
                entry.call.fold(event)
            for entry in touched.values():
                self._write(entry)
            if position:
                database.execute("REPLACE INTO position VALUES (?, ?)", position)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        return [linked for linked, entry in touched.items() if not entry.report.outcome]

    def get(self, linked: str) -> Entry | None:
        """Return one call, or None when it is not known."""
        row = self._database.execute("SELECT state, report FROM call WHERE linked = ?", (linked,)).fetchone()
        return _entry(row) if row else None

    def save_report(self, entry: Entry) -> None:
        """Store a report; the call itself stays as it is in the file."""
        report = entry.report
        self._database.execute(
            "UPDATE call SET report = ?, done = ? WHERE linked = ?",
            (json.dumps(asdict(report)), bool(report.outcome), entry.call.linked),
        )

    def open_entries(self) -> list[Entry]:
        """Return the calls that are not done, the earliest first."""
        rows = self._database.execute("SELECT state, report FROM call WHERE done = 0 ORDER BY started").fetchall()
        return [_entry(row) for row in rows]

    def recent(self, limit: int = 20) -> list[Entry]:
        """Return the latest calls, the latest first."""
        rows = self._database.execute("SELECT state, report FROM call ORDER BY started DESC LIMIT ?", (limit,))
        return [_entry(row) for row in rows.fetchall()]

    def owner_of(self, call_id: str) -> str | None:
        """Return the call that has an ID of the portal, or None."""
        query = "SELECT linked FROM call WHERE json_extract(report, '$.call_id') = ?"
        row = self._database.execute(query, (call_id,)).fetchone()
        return row[0] if row else None

    def position(self, name: str) -> int | None:
        """Return the position up to which a source has been read, or None when it never was."""
        row = self._database.execute("SELECT value FROM position WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def counts(self) -> tuple[int, int]:
        """Return how many calls are known and how many of them are done."""
        row = self._database.execute("SELECT COUNT(*), COALESCE(SUM(done), 0) FROM call").fetchone()
        return row[0], row[1]

    def forget(self, before: float) -> None:
        """Remove calls that are done and began before a time."""
        self._database.execute("DELETE FROM call WHERE done = 1 AND started < ?", (before,))

    def _write(self, entry: Entry) -> None:
        call, report = entry.call, entry.report
        started = min((leg.started for leg in call.legs.values() if leg.started), default=call.last_event)
        values = (call.linked, started, json.dumps(call.to_json()), json.dumps(asdict(report)), bool(report.outcome))
        self._database.execute("REPLACE INTO call VALUES (?, ?, ?, ?, ?)", values)


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(Call.from_json(json.loads(row[0])), Report(**json.loads(row[1])))
