"""A portal's database in memory: what the library asks of MariaDB in its own words, answered by SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from encaja.errors import EncajaError
from encaja.portal.database import Database

_WORDS = (
    (re.compile(r"%s"), "?"),
    (re.compile(r"(\bLIKE \?)"), r"\1 ESCAPE '\\'"),
    (re.compile(r"\bRLIKE\b"), "REGEXP"),
    (re.compile(r" AS BINARY\)"), " AS BLOB)"),
    (re.compile(r"BINARY (`)"), r"\1"),
    (re.compile(r"\bLEFT\("), "substr("),
)


class MemoryDatabase(Database):
    """Tables by name, with columns and their types as MariaDB has them; ``log`` holds the statements that ran."""

    def __init__(self, **tables: str) -> None:
        self.name = "portal"
        self.log: list[str] = []
        self._types: dict[str, dict[str, str]] = {}
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.create_function("regexp", 2, _regexp)
        self._db.create_function("concat_ws", -1, lambda between, *all_: between.join(_text(one) for one in all_))
        for table, columns in {"b_option": "MODULE_ID varchar, NAME varchar, VALUE text", **tables}.items():
            self.make(table, columns)
        self._db.execute("CREATE UNIQUE INDEX option_name ON b_option (MODULE_ID, NAME)")

    def make(self, table: str, columns: str) -> None:
        """Make a table; a column's type may be followed by PRIMARY KEY or UNIQUE."""
        self._db.execute(f"CREATE TABLE {table} ({columns})")
        parts = [column.split() for column in columns.split(", ")]
        self._types[table] = {part[0]: part[1].lower() for part in parts}

    def put(self, table: str, *rows: tuple[Any, ...]) -> None:
        """Add rows."""
        for row in rows:
            self._db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    def all(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of a table in their order."""
        return [tuple(row) for row in self._db.execute(f"SELECT * FROM {table}")]

    def execute(self, sql: str, *arguments: Any) -> int:
        self.log.append(sql)
        return self._run(sql, arguments).rowcount

    def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        if keys := re.match(r"SHOW KEYS FROM `(\w+)`(.*PRIMARY)?", sql):
            return self._keys(keys[1], primary=bool(keys[2]))
        return [dict(row) for row in self._run(sql, arguments)]

    def each(self, sql: str, *arguments: Any) -> Iterator[dict[str, Any]]:
        yield from self.rows(sql, *arguments)

    def columns(self) -> dict[str, dict[str, str]]:
        return {table: dict(columns) for table, columns in sorted(self._types.items())}

    def _run(self, sql: str, arguments: tuple[Any, ...]) -> sqlite3.Cursor:
        for pattern, word in _WORDS:
            sql = pattern.sub(word, sql)
        try:
            return self._db.execute(sql, arguments)
        except sqlite3.Error as fault:
            raise EncajaError(f"{fault} in: {sql}", f"database {self.name}", "see the server's log") from fault

    def _keys(self, table: str, *, primary: bool) -> list[dict[str, Any]]:
        columns = self._db.execute(f"PRAGMA table_info({table})").fetchall()
        found = [(row["name"], row["pk"]) for row in columns if row["pk"]]
        if not primary:
            for index in self._db.execute(f"PRAGMA index_list({table})").fetchall():
                if index["unique"]:
                    found += [(row["name"], 1) for row in self._db.execute(f"PRAGMA index_info({index['name']})")]
        return [{"Column_name": name, "Seq_in_index": number} for name, number in found]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def _regexp(pattern: str, value: Any) -> bool:
    return value is not None and re.search(pattern, _text(value)) is not None
