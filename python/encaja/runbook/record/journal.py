"""The journal of a move: an append-only SQLite file that survives `kill -9`.

Every row is written once and never changed: triggers in the file refuse updates and deletions. What a step's state is
follows from its rows (an attempt without an outcome was interrupted). Step boundaries, gates and entries are on disk
when the call returns (`synchronous=FULL`); task events go in batches and may lose the last second.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.durations import from_text, now, to_text

SCHEMA_VERSION = 2
APPLICATION_ID = 0x656E636A  # "encj"

_TABLES = """
CREATE TABLE passes (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, at TEXT NOT NULL, by TEXT NOT NULL, details TEXT NOT NULL
) STRICT;
CREATE TABLE inputs (
  fingerprint TEXT PRIMARY KEY, manifest TEXT NOT NULL
) STRICT;
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, pass INTEGER NOT NULL REFERENCES passes(id), step TEXT NOT NULL, part TEXT NOT NULL,
  number INTEGER NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL, kind TEXT NOT NULL, fingerprint TEXT NOT NULL,
  hosts TEXT NOT NULL, directory TEXT NOT NULL
) STRICT;
CREATE TABLE outcomes (
  attempt INTEGER PRIMARY KEY REFERENCES attempts(id), at TEXT NOT NULL, result TEXT NOT NULL, code INTEGER NOT NULL,
  summary TEXT NOT NULL, stats TEXT NOT NULL
) STRICT;
CREATE TABLE events (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL REFERENCES attempts(id), at TEXT NOT NULL, kind TEXT NOT NULL,
  host TEXT NOT NULL, task TEXT NOT NULL, seconds REAL NOT NULL, changed INTEGER NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_attempt ON events (attempt, id);
CREATE TABLE measures (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL REFERENCES attempts(id), at TEXT NOT NULL, host TEXT NOT NULL,
  name TEXT NOT NULL, done REAL NOT NULL, total REAL NOT NULL, unit TEXT NOT NULL, rate REAL NOT NULL
) STRICT;
CREATE INDEX measures_by_attempt ON measures (attempt, id);
CREATE TABLE faults (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL REFERENCES attempts(id), at TEXT NOT NULL, host TEXT NOT NULL,
  task TEXT NOT NULL, what TEXT NOT NULL, lines TEXT NOT NULL, mend TEXT NOT NULL
) STRICT;
CREATE TABLE gates (
  id INTEGER PRIMARY KEY, pass INTEGER NOT NULL REFERENCES passes(id), step TEXT NOT NULL, at TEXT NOT NULL,
  state TEXT NOT NULL, by TEXT NOT NULL, note TEXT NOT NULL, expires TEXT
) STRICT;
CREATE TABLE entries (
  id INTEGER PRIMARY KEY, pass INTEGER NOT NULL REFERENCES passes(id), at TEXT NOT NULL, by TEXT NOT NULL,
  kind TEXT NOT NULL, step TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE documents (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL REFERENCES attempts(id), at TEXT NOT NULL, kind TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
"""
# Added by version 2: requests to repeat finished steps.
_REQUESTS = """
CREATE TABLE requests (
  id INTEGER PRIMARY KEY, pass INTEGER NOT NULL REFERENCES passes(id), at TEXT NOT NULL, by TEXT NOT NULL,
  steps TEXT NOT NULL, bounded INTEGER NOT NULL,
  attempts INTEGER NOT NULL, gates INTEGER NOT NULL, entries INTEGER NOT NULL
) STRICT
"""
_NAMES = ("passes", "inputs", "attempts", "outcomes", "events", "measures", "faults", "gates", "entries", "documents")


class Result(StrEnum):
    """What came of an attempt."""

    DONE = "done"
    FAILED = "failed"
    DIFFERENCES = "differences"
    INTERRUPTED = "interrupted"


class GateState(StrEnum):
    """A line in a gate's history; the last one is its state."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


class EntryKind(StrEnum):
    """What a manual (or the conductor's own) entry is about."""

    NOTE = "note"
    FAULT = "fault"
    CURE = "cure"
    ACCEPTED = "accepted"
    ANNOUNCED = "announced"
    REPEATED = "repeated"
    TAKEOVER = "takeover"


@dataclass(frozen=True)
class Pass:
    """One run through the run-book, such as `rehearsal-1` or `cutover`."""

    id: int
    name: str
    at: datetime
    by: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One try at a step's run or at its verification; `result` is None while it runs or when it died unrecorded."""

    id: int
    pass_id: int
    step: str
    part: str
    number: int
    at: datetime
    by: str
    kind: str
    fingerprint: str
    hosts: tuple[str, ...]
    directory: str
    ended: datetime | None = None
    result: Result | None = None
    code: int = 0
    summary: str = ""
    stats: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it has no outcome."""
        return (self.ended - self.at).total_seconds() if self.ended else None


@dataclass(frozen=True)
class Event:
    """One thing that happened in a playbook or a command."""

    attempt: int
    at: datetime
    kind: str
    host: str = ""
    task: str = ""
    seconds: float = 0.0
    changed: bool = False
    text: str = ""


@dataclass(frozen=True)
class Measure:
    """Progress of long work: amounts in `unit` ("bytes", "rows" …), `rate` in units a second."""

    attempt: int
    at: datetime
    host: str
    name: str
    done: float
    total: float
    unit: str
    rate: float


@dataclass(frozen=True)
class Fault:
    """What failed, where, its last lines, and what to do about it."""

    attempt: int
    at: datetime
    host: str
    task: str
    what: str
    lines: str
    hint: str
    id: int = 0


@dataclass(frozen=True)
class Gate:
    """One line of a gate's history."""

    id: int
    pass_id: int
    step: str
    at: datetime
    state: GateState
    by: str
    note: str
    expires: datetime | None


@dataclass(frozen=True)
class Entry:
    """A note that a person or the conductor made."""

    id: int
    pass_id: int
    at: datetime
    by: str
    kind: EntryKind
    step: str
    text: str


@dataclass(frozen=True)
class Request:
    """A request to repeat a stretch of steps, from the first of `steps` on.

    `attempts`, `gates` and `entries` are the highest numbers in the journal at that moment: what has a higher one came
    after it, whatever a clock said. A `bounded` one was to stop after the last of its steps.
    """

    id: int
    pass_id: int
    at: datetime
    by: str
    steps: tuple[str, ...]
    bounded: bool
    attempts: int
    gates: int
    entries: int


@dataclass(frozen=True)
class Document:
    """A result in JSON that a step published: a verification, comparison, reconciliation, list of certificates."""

    attempt: int
    at: datetime
    kind: str
    body: Any


class Journal:
    """An open journal. One writer at a time (the conductor's lock sees to that); any number of readers."""

    def __init__(self, path: Path, *, create: bool = True, clock: Callable[[], datetime] = now) -> None:
        """Opens the journal at `path`; `clock` gives the times of its rows.

        Raises:
            ConfigurationError: it is missing and `create` is false, no journal, or written by a newer version.
            EncajaError: the disk refuses.
        """
        self.path = path
        self._clock = clock
        if not create and not path.exists():
            raise ConfigurationError("there is no journal yet", str(path), "start the move with 'encaja run'")
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise _explain(error, path) from error
        except OSError as error:
            raise EncajaError(
                f"the journal cannot be opened: {error.strerror}", str(path), "fix the disk or choose another --state"
            ) from error

    def _prepare(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        empty = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and application != APPLICATION_ID:
            raise ConfigurationError("is not a journal of encaja", str(self.path), "choose another --state")
        if version > SCHEMA_VERSION:
            self._db.close()
            raise ConfigurationError(
                f"was written by a newer encaja (journal version {version}, this one knows {SCHEMA_VERSION})",
                str(self.path),
                "update encaja",
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA foreign_keys=ON")
        if empty:
            with self._durable():
                if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    self._create()
        elif version < SCHEMA_VERSION:
            with self._durable():
                if self._db.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
                    self._add_requests()

    def _create(self) -> None:
        for statement in _TABLES.split(";"):
            if statement.strip():
                self._db.execute(statement)
        for name in _NAMES:
            self._close_for_changes(name)
        self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._add_requests()

    def _add_requests(self) -> None:
        self._db.execute(_REQUESTS)
        self._close_for_changes("requests")
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _close_for_changes(self, table: str) -> None:
        for verb in ("UPDATE", "DELETE"):
            self._db.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _durable(self) -> Iterator[None]:
        """A transaction that is on the disk when it ends."""
        with self._transaction("FULL"):
            yield

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[None]:
        try:
            self._db.execute(f"PRAGMA synchronous={synchronous}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _explain(error, self.path) from error

    # Passes

    def start_pass(self, name: str, by: str, details: Mapping[str, Any]) -> Pass:
        """The pass of this name, begun now if the journal does not know it."""
        known = self.find_pass(name)
        if known:
            return known
        with self._durable():
            self._db.execute(
                "INSERT INTO passes (name, at, by, details) VALUES (?, ?, ?, ?)",
                (name, to_text(self._clock()), by, json.dumps(dict(details))),
            )
        found = self.find_pass(name)
        if found is None:
            raise EncajaError(f"pass '{name}' was not kept", str(self.path), "check the disk")
        return found

    def find_pass(self, name: str) -> Pass | None:
        """The pass of this name, or None."""
        row = self._db.execute("SELECT * FROM passes WHERE name = ?", (name,)).fetchone()
        return _pass(row) if row else None

    def passes(self) -> list[Pass]:
        """All passes, the oldest first."""
        return [_pass(row) for row in self._db.execute("SELECT * FROM passes ORDER BY id")]

    # Attempts

    def begin(
        self,
        pass_: Pass,
        step: str,
        part: str,
        *,
        by: str,
        kind: str,
        directory: str,
        fingerprint: str = "",
        manifest: Mapping[str, str] | None = None,
        hosts: Sequence[str] = (),
    ) -> Attempt:
        """Records that a step's `part` ("run", "verify" or "check") starts now."""
        number = (
            1
            + self._db.execute(
                "SELECT count(*) FROM attempts WHERE pass = ? AND step = ? AND part = ?", (pass_.id, step, part)
            ).fetchone()[0]
        )
        at = self._clock()
        with self._durable():
            self._db.execute(
                "INSERT OR IGNORE INTO inputs VALUES (?, ?)",
                (fingerprint, json.dumps(dict(manifest or {}), sort_keys=True)),
            )
            cursor = self._db.execute(
                "INSERT INTO attempts (pass, step, part, number, at, by, kind, fingerprint, hosts, directory) "
                "VALUES (?,?,?,?,?,?,?,?,?,?)",
                (pass_.id, step, part, number, to_text(at), by, kind, fingerprint, json.dumps(list(hosts)), directory),
            )
        return Attempt(
            cursor.lastrowid or 0, pass_.id, step, part, number, at, by, kind, fingerprint, tuple(hosts), directory
        )

    def finish(
        self,
        attempt: Attempt,
        result: Result,
        *,
        code: int = 0,
        summary: str = "",
        stats: Mapping[str, Any] | None = None,
        faults: Iterable[Fault] = (),
        documents: Iterable[Document] = (),
    ) -> None:
        """Records what came of an attempt, with its faults and documents, in one transaction."""
        with self._durable():
            self._db.executemany(
                "INSERT INTO faults (attempt, at, host, task, what, lines, mend) VALUES (?,?,?,?,?,?,?)",
                [(f.attempt, to_text(f.at), f.host, f.task, f.what, f.lines, f.hint) for f in faults],
            )
            self._db.executemany(
                "INSERT INTO documents (attempt, at, kind, body) VALUES (?,?,?,?)",
                [(d.attempt, to_text(d.at), d.kind, json.dumps(d.body)) for d in documents],
            )
            self._db.execute(
                "INSERT INTO outcomes VALUES (?,?,?,?,?,?)",
                (attempt.id, to_text(self._clock()), result, code, summary, json.dumps(dict(stats or {}))),
            )

    def attempts(self, pass_: Pass | None = None, step: str | None = None) -> list[Attempt]:
        """Attempts with their outcomes, in the order in which they began."""
        rows = self._db.execute(
            "SELECT a.*, o.at AS ended, o.result, o.code, o.summary, o.stats "
            "FROM attempts a LEFT JOIN outcomes o ON o.attempt = a.id "
            "WHERE (?1 IS NULL OR a.pass = ?1) AND (?2 IS NULL OR a.step = ?2) ORDER BY a.id",
            (pass_.id if pass_ else None, step),
        )
        return [_attempt(row) for row in rows]

    def manifest(self, fingerprint: str) -> dict[str, str]:
        """The input files (path: hash) behind a fingerprint; empty where it is unknown."""
        row = self._db.execute("SELECT manifest FROM inputs WHERE fingerprint = ?", (fingerprint,)).fetchone()
        return dict(json.loads(row["manifest"])) if row else {}

    # What happens during an attempt

    def add_events(self, events: Sequence[Event], measures: Sequence[Measure] = ()) -> None:
        """Appends a batch of events and measures."""
        if not events and not measures:
            return
        with self._transaction("NORMAL"):
            self._db.executemany(
                "INSERT INTO events (attempt, at, kind, host, task, seconds, changed, text) VALUES (?,?,?,?,?,?,?,?)",
                [(e.attempt, to_text(e.at), e.kind, e.host, e.task, e.seconds, int(e.changed), e.text) for e in events],
            )
            self._db.executemany(
                "INSERT INTO measures (attempt, at, host, name, done, total, unit, rate) VALUES (?,?,?,?,?,?,?,?)",
                [(m.attempt, to_text(m.at), m.host, m.name, m.done, m.total, m.unit, m.rate) for m in measures],
            )

    def events(self, attempt: int) -> Iterator[Event]:
        """An attempt's events in their order."""
        for row in self._db.execute("SELECT * FROM events WHERE attempt = ? ORDER BY id", (attempt,)):
            yield Event(
                row["attempt"],
                from_text(row["at"]),
                row["kind"],
                row["host"],
                row["task"],
                row["seconds"],
                bool(row["changed"]),
                row["text"],
            )

    def measures(self, attempt: int | None = None) -> list[Measure]:
        """Progress samples of one attempt, or of all."""
        rows = self._db.execute("SELECT * FROM measures WHERE ?1 IS NULL OR attempt = ?1 ORDER BY id", (attempt,))
        return [
            Measure(
                row["attempt"],
                from_text(row["at"]),
                row["host"],
                row["name"],
                row["done"],
                row["total"],
                row["unit"],
                row["rate"],
            )
            for row in rows
        ]

    def faults(self, pass_: Pass | None = None) -> list[Fault]:
        """What failed, in order."""
        rows = self._db.execute(
            "SELECT f.* FROM faults f JOIN attempts a ON a.id = f.attempt "
            "WHERE ?1 IS NULL OR a.pass = ?1 ORDER BY f.id",
            (pass_.id if pass_ else None,),
        )
        return [
            Fault(
                row["attempt"],
                from_text(row["at"]),
                row["host"],
                row["task"],
                row["what"],
                row["lines"],
                row["mend"],
                row["id"],
            )
            for row in rows
        ]

    def documents(self, pass_: Pass | None = None, kind: str | None = None) -> list[Document]:
        """Results that steps published, in order."""
        rows = self._db.execute(
            "SELECT d.* FROM documents d JOIN attempts a ON a.id = d.attempt "
            "WHERE (?1 IS NULL OR a.pass = ?1) AND (?2 IS NULL OR d.kind = ?2) ORDER BY d.id",
            (pass_.id if pass_ else None, kind),
        )
        return [Document(row["attempt"], from_text(row["at"]), row["kind"], json.loads(row["body"])) for row in rows]

    # Requests, gates and entries

    def ask_again(self, pass_: Pass, steps: Sequence[str], *, by: str, bounded: bool) -> Request:
        """Records a request to repeat these steps; a `bounded` one ends with the last of them."""
        at = self._clock()
        with self._durable():
            attempts, gates, entries = (
                self._db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
                for table in ("attempts", "gates", "entries")
            )
            cursor = self._db.execute(
                "INSERT INTO requests (pass, at, by, steps, bounded, attempts, gates, entries) "
                "VALUES (?,?,?,?,?,?,?,?)",
                (pass_.id, to_text(at), by, json.dumps(list(steps)), int(bounded), attempts, gates, entries),
            )
        return Request(cursor.lastrowid or 0, pass_.id, at, by, tuple(steps), bounded, attempts, gates, entries)

    def requests(self, pass_: Pass) -> list[Request]:
        """Requests to repeat steps, in order."""
        rows = self._db.execute("SELECT * FROM requests WHERE pass = ? ORDER BY id", (pass_.id,))
        return [
            Request(
                row["id"],
                row["pass"],
                from_text(row["at"]),
                row["by"],
                tuple(json.loads(row["steps"])),
                bool(row["bounded"]),
                row["attempts"],
                row["gates"],
                row["entries"],
            )
            for row in rows
        ]

    def add_gate(
        self,
        pass_: Pass,
        step: str,
        state: GateState,
        *,
        by: str,
        note: str = "",
        expires: datetime | None = None,
    ) -> Gate:
        """Appends a line to a gate's history."""
        at = self._clock()
        with self._durable():
            cursor = self._db.execute(
                "INSERT INTO gates (pass, step, at, state, by, note, expires) VALUES (?,?,?,?,?,?,?)",
                (pass_.id, step, to_text(at), state, by, note, to_text(expires) if expires else None),
            )
        return Gate(cursor.lastrowid or 0, pass_.id, step, at, state, by, note, expires)

    def gates(self, pass_: Pass | None = None, step: str | None = None) -> list[Gate]:
        """Lines of gates' histories, in order."""
        rows = self._db.execute(
            "SELECT * FROM gates WHERE (?1 IS NULL OR pass = ?1) AND (?2 IS NULL OR step = ?2) ORDER BY id",
            (pass_.id if pass_ else None, step),
        )
        return [
            Gate(
                row["id"],
                row["pass"],
                row["step"],
                from_text(row["at"]),
                GateState(row["state"]),
                row["by"],
                row["note"],
                from_text(row["expires"]) if row["expires"] else None,
            )
            for row in rows
        ]

    def add_entry(
        self,
        pass_: Pass,
        kind: EntryKind,
        text: str,
        *,
        by: str,
        step: str = "",
        at: datetime | None = None,
    ) -> Entry:
        """Appends a note; `at` is when it happened, now if not given."""
        moment = at or self._clock()
        with self._durable():
            cursor = self._db.execute(
                "INSERT INTO entries (pass, at, by, kind, step, text) VALUES (?,?,?,?,?,?)",
                (pass_.id, to_text(moment), by, kind, step, text),
            )
        return Entry(cursor.lastrowid or 0, pass_.id, moment, by, kind, step, text)

    def entries(self, pass_: Pass | None = None) -> list[Entry]:
        """Notes in the order in which they were written."""
        rows = self._db.execute(
            "SELECT * FROM entries WHERE ?1 IS NULL OR pass = ?1 ORDER BY id", (pass_.id if pass_ else None,)
        )
        return [
            Entry(
                row["id"],
                row["pass"],
                from_text(row["at"]),
                row["by"],
                EntryKind(row["kind"]),
                row["step"],
                row["text"],
            )
            for row in rows
        ]


def _pass(row: sqlite3.Row) -> Pass:
    return Pass(row["id"], row["name"], from_text(row["at"]), row["by"], json.loads(row["details"]))


def _attempt(row: sqlite3.Row) -> Attempt:
    return Attempt(
        row["id"],
        row["pass"],
        row["step"],
        row["part"],
        row["number"],
        from_text(row["at"]),
        row["by"],
        row["kind"],
        row["fingerprint"],
        tuple(json.loads(row["hosts"])),
        row["directory"],
        ended=from_text(row["ended"]) if row["ended"] else None,
        result=Result(row["result"]) if row["result"] else None,
        code=row["code"] or 0,
        summary=row["summary"] or "",
        stats=json.loads(row["stats"]) if row["stats"] else {},
    )


def _explain(error: sqlite3.DatabaseError, path: Path) -> EncajaError:
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_FULL:
        return EncajaError(
            "the journal cannot be written: the disk is full",
            str(path),
            "free some space and run again; nothing is lost",
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return ConfigurationError(
            "is not a journal of encaja, or is damaged", str(path), "put back a copy or choose another --state"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigurationError("the journal cannot be written", str(path), "fix its owner and mode")
    if code == sqlite3.SQLITE_BUSY:
        return EncajaError("the journal is in use by another program", str(path), "wait for it and run again")
    return EncajaError(f"the journal refused: {error}", str(path), "check the disk")
