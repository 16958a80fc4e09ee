"""A database server that loses its power, or its connections, at any statement that a test chooses.

What is committed stays, everything else of a connection is gone; as in MariaDB, a definition commits what went before.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.constants import ER

STATE = "encaja_restore"
_LOCKS = (ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT)  # these take back what was not committed, and leave the connection


class PowerCutError(BaseException):
    """The process is gone at this very moment."""


@dataclass
class Table:
    """A table: its rows in the order in which they came, its unique values, and its keys."""

    create: str
    rows: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


@dataclass
class PowerCutServer:
    """The server. ``log`` is every statement that it was asked; ``before`` may raise instead of it being run."""

    tables: dict[str, Table] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    state: dict[str, list[Any]] = field(default_factory=dict)
    collation: str = ""
    log: list[str] = field(default_factory=list)
    before: Callable[[int, str], None] = lambda *_: None
    refuses: dict[str, Exception] = field(default_factory=dict)
    """By a part of a statement: why it is refused."""
    connections: list[Connection] = field(default_factory=list)
    asked_for: list[dict[str, Any]] = field(default_factory=list)
    """The options of each connection."""
    unique: bool = False
    """Whether the same row twice is a duplicate."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()

    def connect(self, *_: Any, **options: Any) -> Connection:
        with self.lock:
            self.asked_for.append(options)
            self._asked("CONNECT")
            self.connections.append(Connection(self))
            return self.connections[-1]

    def _asked(self, sql: str) -> None:
        self.log.append(sql)
        self.before(len(self.log), sql)
        for part, error in self.refuses.items():
            if part in sql:
                raise error


class Connection:
    """One connection, with what it has not committed."""

    def __init__(self, server: PowerCutServer) -> None:
        self.server, self.open = server, True
        self._rows: list[tuple[str, str]] = []
        self._state: dict[str, list[Any]] = {}

    def close(self) -> None:
        self.open, self._rows, self._state = False, [], {}

    def commit(self) -> None:
        with self.server.lock:
            self.server._asked("COMMIT")
            for name, row in self._rows:
                self.server.tables[name].rows.append(row)
            self.server.state |= copy.deepcopy(self._state)
            self._rows, self._state = [], {}

    def query(self, given: bytes | str, *values: Any) -> Any:
        """Run one statement; its rows, or how many it changed."""
        sql = given.decode() if isinstance(given, bytes) else given
        if not self.open:
            raise pymysql.err.InterfaceError(0, "closed")
        with self.server.lock:
            try:
                self.server._asked(sql)
                return self._run(sql, values)
            except (PowerCutError, pymysql.err.OperationalError) as error:
                self._rows, self._state = [], {}
                self.open = bool(error.args) and error.args[0] in _LOCKS
                raise

    def _run(self, sql: str, values: tuple[Any, ...]) -> Any:
        server = self.server
        if STATE in sql:
            return self._about_state(sql, values)
        if sql.startswith(("INSERT INTO", "INSERT IGNORE")):
            return self._insert(sql)
        if "information_schema.STATISTICS" in sql:
            return [(key,) for key in sorted(server.tables[values[0]].keys)]
        self._implicit_commit()
        if sql.startswith("ALTER DATABASE"):
            server.collation = sql.rpartition(" ")[2]
            return 0
        name = _name(sql)
        if sql.startswith("DROP TABLE"):
            server.tables.pop(name, None)
        elif sql.startswith("DROP VIEW"):
            server.views.pop(name, None)
        elif sql.startswith("CREATE TABLE"):
            if name in server.tables:
                raise pymysql.err.OperationalError(ER.TABLE_EXISTS_ERROR, "exists")
            server.tables[name] = Table(sql)
        elif "VIEW" in sql.split("AS", maxsplit=1)[0]:
            needs = re.search(r"FROM `(\w+)`", sql)
            if needs and needs[1] not in {*server.tables, *server.views}:
                raise pymysql.err.ProgrammingError(ER.NO_SUCH_TABLE, f"no {needs[1]}")
            server.views[name] = sql
        elif sql.startswith("ALTER TABLE"):
            added = set(re.findall(r"ADD (?:\w+ )?(?:KEY|INDEX) `(\w+)`", sql))
            if added & server.tables[name].keys:
                raise pymysql.err.OperationalError(ER.DUP_KEYNAME, "duplicate key")
            server.tables[name].keys |= added
        else:
            raise AssertionError(sql)
        return 0

    def _insert(self, sql: str) -> int:
        name = _name(sql)
        found = re.findall(r"^\((.*?)\)[,;]?$", sql, re.MULTILINE)
        there = set(self.server.tables[name].rows) | {row for of, row in self._rows if of == name}
        twice = there & set(found) or len(set(found)) < len(found)
        if self.server.unique and twice and not sql.startswith("INSERT IGNORE"):
            raise pymysql.err.IntegrityError(ER.DUP_ENTRY, "Duplicate entry")
        fresh = [row for row in dict.fromkeys(found) if row not in there] if self.server.unique else found
        self._rows += [(name, row) for row in fresh]
        return len(fresh)

    def _about_state(self, sql: str, values: tuple[Any, ...]) -> Any:
        seen = self.server.state | self._state
        if sql.startswith("INSERT"):
            if values[0] in seen:
                raise pymysql.err.IntegrityError(ER.DUP_ENTRY, "Duplicate entry")
            self._state[values[0]] = ["rows", 0, 0, b""]
        elif sql.startswith("UPDATE"):
            *what, name = values
            self._state[name] = what
        elif "WHERE name = %s" in sql:
            return [tuple(seen[values[0]])] if values[0] in seen else []
        elif sql.startswith("SELECT name"):
            return [(name.encode(),) for name, row in sorted(seen.items()) if row[0] == "done"]
        else:
            return [(row[2], row[3]) for _, row in sorted(seen.items()) if row[0] == "done"]
        return []

    def _implicit_commit(self) -> None:
        for name, row in self._rows:
            self.server.tables[name].rows.append(row)
        self.server.state |= copy.deepcopy(self._state)
        self._rows, self._state = [], {}


def _name(sql: str) -> str:
    found = re.search(r"`(\w+)`", sql)
    assert found, sql
    return found[1]
