"""The identity map: which record of the box is which record of the cloud, and how both were when last carried.

One SQLite file in WAL mode. A row is committed as ``sending`` before its record is sent and as ``done`` after the
answer. Where a process is killed in between, the record is looked up in the box by its origin before anything is sent
again. There is one writer at a time; a second one is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from encaja.errors import EncajaError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS link (
  entity TEXT NOT NULL, cloud TEXT NOT NULL, box TEXT, state TEXT NOT NULL, want TEXT NOT NULL DEFAULT '{}',
  have TEXT NOT NULL DEFAULT '{}', modified TEXT NOT NULL DEFAULT '', sent REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (entity, cloud)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS link_box ON link (entity, box);
CREATE INDEX IF NOT EXISTS link_state ON link (state, entity);
CREATE TABLE IF NOT EXISTS fault (
  entity TEXT NOT NULL, cloud TEXT NOT NULL, what TEXT NOT NULL, hint TEXT NOT NULL, first REAL NOT NULL,
  tries INTEGER NOT NULL, due REAL NOT NULL, PRIMARY KEY (entity, cloud)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conflict (
  entity TEXT NOT NULL, cloud TEXT NOT NULL, field TEXT NOT NULL, box TEXT NOT NULL, cloud_value TEXT NOT NULL,
  box_value TEXT NOT NULL, decision TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (entity, cloud, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
  entity TEXT NOT NULL, cloud TEXT NOT NULL, field TEXT NOT NULL, side TEXT NOT NULL, cloud_value TEXT NOT NULL,
  box_value TEXT NOT NULL, PRIMARY KEY (entity, cloud, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS comments_read (
  entity TEXT NOT NULL, cloud TEXT NOT NULL, activity TEXT NOT NULL, at TEXT NOT NULL, comments INTEGER NOT NULL,
  PRIMARY KEY (entity, cloud)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS moment (
  entity TEXT NOT NULL, box TEXT NOT NULL, created TEXT NOT NULL, author TEXT NOT NULL,
  PRIMARY KEY (entity, box)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS straggler (
  entity TEXT NOT NULL, cloud TEXT NOT NULL, at TEXT NOT NULL, author TEXT NOT NULL,
  PRIMARY KEY (entity, cloud)) WITHOUT ROWID;
"""
RETRY_FIRST = 10.0
RETRY_LONGEST = 600.0


class State(StrEnum):
    """What is known of a record's counterpart in the box."""

    SENDING = "sending"
    DONE = "done"
    GONE = "gone"
    """Deleted in the cloud, and so in the box, or never carried."""
    KEPT = "kept"
    """Deleted on one side and, by the rule, left as it is."""


@dataclass(frozen=True)
class Link:
    """A record of the cloud and its counterpart.

    Args:
        entity: kind of record.
        cloud: its identifier in the cloud.
        box: its identifier in the box; empty until it is known.
        state: what is known.
        want: hash by field of what the cloud had when it was last carried, as it should be in the box.
        have: hash by field of what the box had right after that.
        modified: when the cloud's record was modified, as the cloud writes it.
        sent: seconds since the epoch when it was last sent.
    """

    entity: str
    cloud: str
    box: str
    state: State
    want: Mapping[str, str] = field(default_factory=dict)
    have: Mapping[str, str] = field(default_factory=dict)
    modified: str = ""
    sent: float = 0.0


@dataclass(frozen=True)
class Fault:
    """Why a record, or a part of it, could not be carried yet."""

    entity: str
    cloud: str
    what: str
    hint: str
    first: float
    tries: int
    due: float


@dataclass(frozen=True)
class Conflict:
    """A field that was changed to different values on both sides."""

    entity: str
    cloud: str
    box: str
    field: str
    cloud_value: str
    box_value: str
    decision: str

    def row(self) -> dict[str, str]:
        """What documents say of it, but for the decision."""
        return {
            "entity": self.entity,
            "cloud": self.cloud,
            "box": self.box,
            "field": self.field,
            "value_in_cloud": self.cloud_value,
            "value_in_box": self.box_value,
        }


@dataclass(frozen=True)
class CommentsRead:
    """A record whose comments are carried.

    Args:
        cloud: the record's identifier in the cloud.
        activity: its last activity then, as the cloud writes it.
        at: when that was read, by the cloud's clock.
        comments: how many there were in the window.
    """

    cloud: str
    activity: str
    at: str
    comments: int


class IdentityMap:
    """The map, open. Use it with ``with``.

    Args:
        folder: where it is; created if missing.
        writer: whether to write. There is one writer; others may read at the same time.

    Raises:
        EncajaError: there is another writer, or the file is no identity map.
    """

    def __init__(self, folder: Path, *, writer: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / "identity.sqlite3"
        self._lock: IO[str] | None = _lock(folder / "writer.lock") if writer else None
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA synchronous=FULL")
            if writer:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.executescript(_SCHEMA)
            elif not self._db.execute("SELECT 1 FROM sqlite_master WHERE name='straggler'").fetchone():
                raise EncajaError("nothing was carried over yet", str(self.path), "run 'encaja carry-over' first")
        except sqlite3.DatabaseError as fault:
            hint = "move it away: it is rebuilt from the origins that the box keeps"
            raise EncajaError(f"no identity map: {fault}", str(self.path), hint) from fault

    @classmethod
    def in_memory(cls, folder: Path) -> IdentityMap:
        """A copy of a folder's map, empty where there is none; it is discarded when closed."""
        copy = cls.__new__(cls)
        copy.path, copy._lock = folder / "identity.sqlite3", None
        copy._db = sqlite3.connect(":memory:", isolation_level=None)
        if copy.path.exists():
            with closing(sqlite3.connect(copy.path, timeout=30)) as real:
                real.backup(copy._db)
        copy._db.executescript(_SCHEMA)
        return copy

    def __enter__(self) -> IdentityMap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def for_answers(cls, folder: Path) -> IdentityMap:
        """Open the map to note decisions, also while there is a writer.

        Raises:
            EncajaError: nothing was carried over yet.
        """
        found = cls(folder, writer=False)
        found._db.executescript(_SCHEMA)
        return found

    def close(self) -> None:
        """Close the file, and release the lock."""
        self._db.close()
        if self._lock:
            self._lock.close()
            self._lock = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside take effect together, or not at all."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # The carry-over itself

    def note(self, name: str, default: Any = None) -> Any:
        """A remembered value."""
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def remember(self, name: str, value: Any) -> None:
        """Remember a value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # Records

    def watermark(self, entity: str) -> int:
        """The highest identifier that the backup brought: up to it, records have the same one on both sides."""
        return int(self.note(f"watermark:{entity}", 0))

    def find(self, entity: str, cloud: Sequence[str]) -> dict[str, Link]:
        """What is known of records, by their identifier in the cloud."""
        found: dict[str, Link] = {}
        for part in _parts(cloud):
            marks = ",".join("?" * len(part))
            rows = self._db.execute(f"SELECT * FROM link WHERE entity=? AND cloud IN ({marks})", (entity, *part))  # noqa: S608
            found |= {row[1]: _link(row) for row in rows}
        return found

    def box_id(self, entity: str, cloud: str) -> str | None:
        """The identifier in the box; None where there is none (yet)."""
        row = self._db.execute("SELECT box, state FROM link WHERE entity=? AND cloud=?", (entity, cloud)).fetchone()
        if row:
            return str(row[0]) if row[0] and row[1] in {State.DONE, State.KEPT} else None
        return cloud if cloud.isdigit() and 0 < int(cloud) <= self.watermark(entity) else None

    def cloud_id(self, entity: str, box: str) -> str | None:
        """The identifier in the cloud of a record of the box; None for one that came into being in the box."""
        row = self._db.execute("SELECT cloud FROM link WHERE entity=? AND box=?", (entity, box)).fetchone()
        if row:
            return str(row[0])
        return box if box.isdigit() and 0 < int(box) <= self.watermark(entity) else None

    def links(self, entity: str, *states: State) -> Iterator[Link]:
        """All records of an entity, in the given states or in any."""
        wanted = states or tuple(State)
        marks = ",".join("?" * len(wanted))
        last = ""
        while True:
            rows = self._db.execute(
                f"SELECT * FROM link WHERE entity=? AND state IN ({marks}) AND cloud>? ORDER BY cloud LIMIT 1000",  # noqa: S608
                (entity, *wanted, last),
            ).fetchall()
            yield from map(_link, rows)
            if len(rows) < 1000:
                return
            last = rows[-1][1]

    def sending(self, entity: str, cloud: Iterable[tuple[str, str]]) -> None:
        """Mark durably that records (identifier, modified) are about to be sent."""
        now = time.time()
        rows = [(entity, name, State.SENDING, modified, now) for name, modified in cloud]
        with self.transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO link (entity, cloud, state, modified, sent) VALUES (?, ?, ?, ?, ?)", rows
            )

    def unsent(self, entity: str, cloud: Iterable[str]) -> None:
        """Unmark records that were about to be sent and are certainly not in the box."""
        rows = [(entity, name, State.SENDING) for name in cloud]
        with self.transaction():
            self._db.executemany("DELETE FROM link WHERE entity=? AND cloud=? AND state=?", rows)

    def done(
        self,
        entity: str,
        cloud: str,
        box: str,
        *,
        want: Mapping[str, str] | None = None,
        have: Mapping[str, str] | None = None,
        modified: str = "",
    ) -> None:
        """Remember that a record is in the box, and the hashes of both sides."""
        self._db.execute(
            "INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (entity, cloud, box, State.DONE, _packed(want or {}), _packed(have or {}), modified, time.time()),
        )

    def mark(self, entity: str, cloud: str, state: State, box: str = "") -> None:
        """Set a record's state, and keep what is known of its fields."""
        self._db.execute(
            "INSERT INTO link (entity, cloud, box, state, sent) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (entity, cloud) DO UPDATE"
            " SET state=excluded.state, box=COALESCE(NULLIF(excluded.box,''), box)",
            (entity, cloud, box, state, time.time()),
        )

    # Faults and conflicts

    def note_fault(self, entity: str, cloud: str, what: str, hint: str = "") -> None:
        """Note why a record could not be carried completely; it is retried at growing intervals."""
        now = time.time()
        row = self._db.execute("SELECT first, tries FROM fault WHERE entity=? AND cloud=?", (entity, cloud)).fetchone()
        first, tries = row or (now, 0)
        due = now + min(RETRY_LONGEST, RETRY_FIRST * 2 ** min(tries, 10))
        self._db.execute(
            "INSERT OR REPLACE INTO fault VALUES (?, ?, ?, ?, ?, ?, ?)",
            (entity, cloud, what, hint, first, tries + 1, due),
        )

    def clear_fault(self, entity: str, cloud: str) -> None:
        """Forget a record's fault."""
        self._db.execute("DELETE FROM fault WHERE entity=? AND cloud=?", (entity, cloud))

    def faults(self, *, due: bool = False) -> list[Fault]:
        """All faults, or those that are due for a retry."""
        rows = self._db.execute(
            "SELECT * FROM fault WHERE due <= ? ORDER BY entity, CAST(cloud AS INTEGER), cloud",
            (time.time() if due else float("inf"),),
        )
        return [Fault(*row) for row in rows]

    def hasten(self) -> None:
        """Make every fault due at once."""
        self._db.execute("UPDATE fault SET due=0")

    def conflict(self, found: Conflict) -> None:
        """Note a conflict and its decision; ``open`` for one that a person has to decide."""
        self._db.execute(
            "INSERT OR REPLACE INTO conflict (entity, cloud, box, field, cloud_value, box_value, decision, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*astuple(found), time.time()),
        )

    def settled(self, entity: str, cloud: str, fields: Iterable[str]) -> None:
        """Forget open conflicts about fields that are the same on both sides again."""
        rows = [(entity, cloud, name) for name in fields]
        self._db.executemany("DELETE FROM conflict WHERE entity=? AND cloud=? AND field=? AND decision='open'", rows)

    def conflicts(self) -> list[Conflict]:
        """All conflicts, with both values and the decision."""
        rows = self._db.execute(
            "SELECT entity, cloud, box, field, cloud_value, box_value, decision FROM conflict"
            " ORDER BY entity, cloud, field"
        )
        return [Conflict(*row) for row in rows]

    def answer(self, entity: str, cloud: str, name: str, side: str) -> bool:
        """Note a person's decision about an open conflict durably; the next round applies it.

        This alone may be written while there is another writer.

        Args:
            entity: kind of record.
            cloud: its identifier in the cloud.
            name: of the field.
            side: whose value counts, ``cloud`` or ``box``.

        Returns:
            False where there is no such open conflict.
        """
        with self.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO answer SELECT entity, cloud, field, ?, cloud_value, box_value FROM conflict"
                " WHERE entity=? AND cloud=? AND field=? AND decision='open'",
                (side, entity, cloud, name),
            )
            return bool(self._db.execute("SELECT changes()").fetchone()[0])

    def answers(self) -> list[Conflict]:
        """Decisions that are not applied yet, with both values that they were made on."""
        rows = self._db.execute(
            "SELECT a.entity, a.cloud, c.box, a.field, a.cloud_value, a.box_value, a.side FROM answer a"
            " JOIN conflict c ON c.entity=a.entity AND c.cloud=a.cloud AND c.field=a.field"
            " ORDER BY a.entity, a.cloud, a.field"
        )
        return [Conflict(*row) for row in rows]

    def applied(self, entity: str, cloud: str) -> None:
        """Forget the decisions about a record; they are applied."""
        self._db.execute("DELETE FROM answer WHERE entity=? AND cloud=?", (entity, cloud))

    # Comments

    def comments_read(self, entity: str, rows: Iterable[CommentsRead]) -> None:
        """Note that the comments of records are carried."""
        values = [(entity, row.cloud, row.activity, row.at, row.comments) for row in rows]
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO comments_read VALUES (?, ?, ?, ?, ?)", values)

    def read_comments(self, entity: str, cloud: Sequence[str]) -> dict[str, CommentsRead]:
        """What is known of the comments of records, by their identifier."""
        found: dict[str, CommentsRead] = {}
        for part in _parts(cloud):
            marks = ",".join("?" * len(part))
            rows = self._db.execute(
                f"SELECT cloud, activity, at, comments FROM comments_read WHERE entity=? AND cloud IN ({marks})",  # noqa: S608
                (entity, *part),
            )
            found |= {row[0]: CommentsRead(*row) for row in rows}
        return found

    # Times that REST did not keep, and records made in the cloud after the freeze

    def note_time(self, entity: str, box: str, created: str, author: str) -> None:
        """Note that a record's time of creation, and its author, are still to be set."""
        self._db.execute("INSERT OR REPLACE INTO moment VALUES (?, ?, ?, ?)", (entity, box, created, author))

    def times_to_set(self) -> list[tuple[str, str, str, str]]:
        """Entity, identifier in the box, time and author of all records whose time is still to be set."""
        return self._db.execute("SELECT * FROM moment ORDER BY entity, box").fetchall()

    def times_set(self, rows: Iterable[tuple[str, str]]) -> None:
        """Forget records (entity, identifier in the box) whose times are set."""
        with self.transaction():
            self._db.executemany("DELETE FROM moment WHERE entity=? AND box=?", list(rows))

    def straggler(self, entity: str, cloud: str, at: str, author: str) -> None:
        """Note a record that was written in the cloud after the freeze."""
        self._db.execute("INSERT OR REPLACE INTO straggler VALUES (?, ?, ?, ?)", (entity, cloud, at, author))

    def stragglers(self) -> list[tuple[str, str, str, str]]:
        """Entity, identifier in the cloud, time and author of what was written in the cloud after the freeze."""
        return self._db.execute("SELECT * FROM straggler ORDER BY at").fetchall()


def _link(row: Sequence[Any]) -> Link:
    entity, cloud, box, state, want, have, modified, sent = row
    return Link(entity, cloud, box or "", State(state), json.loads(want), json.loads(have), modified, sent)


def _packed(hashes: Mapping[str, str]) -> str:
    return json.dumps(dict(hashes), separators=(",", ":"), sort_keys=True)


def _parts(items: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _lock(path: Path) -> IO[str]:
    """Become the only writer; the kernel releases the lock when the process ends."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        hint = "wait for it, or stop it: systemctl stop 'encaja-carry-over@*'"
        raise EncajaError(f"another carry-over is running (process {owner})", str(path), hint) from fault
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
