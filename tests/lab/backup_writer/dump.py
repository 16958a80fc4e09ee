"""The vendor's SQL dump: tables in `SHOW TABLES` order, rows by numeric key, one statement per megabyte or so.

Rows are put together by the server itself (one text column per row), so a dump costs about what reading the rows
costs. As in the vendor's writer there is no lock and no transaction, and triggers, routines and events are left out.
"""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import BackupWriterError

if TYPE_CHECKING:
    import pymysql

PART_LIMIT = 2_000_000_000
"""Bytes that a part of the dump must not reach; a part starts at a statement."""

BATCH = 1_000_000
"""Bytes after which a multi-row statement is closed: one statement is at most this and one row."""

DATABASE_TOKEN = "<DATABASE>"
_RULE = b"-- -----------------------------------\n"
_UNQUOTED = re.compile(r"int|year|float|double|decimal", re.IGNORECASE)
_BINARY = re.compile(r"blob|binary|^bit|geometry|point|linestring|polygon", re.IGNORECASE)


@dataclass
class Dump:
    """What a dump consists of: its parts in order, and how much is in them."""

    parts: list[Path] = field(default_factory=list)
    tables: int = 0
    rows: int = 0
    size: int = 0


class PartWriter:
    """Writes statements to `first`, `first.1` …; a part that would reach `limit` bytes is closed before it does."""

    def __init__(self, first: Path, limit: int = PART_LIMIT) -> None:
        self.dump = Dump()
        self._first, self._limit = first, limit
        self._file: BinaryIO | None = None
        self._written = 0

    def write(self, statement: bytes) -> None:
        """Append one whole statement, or comment."""
        if self._file is None or self._written + len(statement) >= self._limit:
            self.close()
            number = len(self.dump.parts)
            path = self._first.with_name(f"{self._first.name}.{number}") if number else self._first
            self._file = path.open("wb", buffering=1 << 20)
            self.dump.parts.append(path)
            self._written = 0
        self._file.write(statement)
        self._written += len(statement)
        self.dump.size += len(statement)

    def close(self) -> None:
        """Finish the part under way."""
        if self._file is not None:
            self._file.close()
            self._file = None


def after_connect(connection: pymysql.Connection[Any]) -> bytes:
    """The text of `NAME_after_connect.sql`, which the restorer runs on every connection."""
    collation = _scalar(connection, "SELECT @@collation_database")
    return _set_names(connection) + f"ALTER DATABASE `{DATABASE_TOKEN}` COLLATE {collation};\n".encode()


def write_dump(
    connection: pymysql.Connection[Any],
    first: Path,
    *,
    skip_rows: Sequence[str] = (),
    part_limit: int = PART_LIMIT,
    batch: int = BATCH,
) -> Dump:
    """Dump the connection's database to `first` and its further parts.

    Tables that match a pattern of `skip_rows` (shell style) are created empty.
    """
    out = PartWriter(first, part_limit)
    out.write(b"-- Started: " + _now() + b"\n")
    out.write(_set_names(connection))
    for name, view in _tables(connection):
        out.dump.tables += 1
        empty = not view and any(fnmatch.fnmatchcase(name, pattern) for pattern in skip_rows)
        for statement in definition(name, _create_statement(connection, name, view), view=view, empty=empty):
            out.write(statement)
        if not view and not empty:
            for statement, rows in insert_statements(name, _rows(connection, name), batch):
                out.write(statement)
                out.dump.rows += rows
    out.write(b"-- Finished: " + _now())
    out.close()
    return out.dump


def definition(name: str, create: str, *, view: bool = False, empty: bool = False) -> Iterator[bytes]:
    """The comment and the statements that come before a table's rows; `create` is the server's own statement."""
    what = "Creating view" if view else "Creating empty table" if empty else "Dumping table"
    comment = _RULE + f"-- {what} {name}\n".encode() + _RULE
    if empty:
        create = re.sub(r"^CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", create)
        yield comment + create.encode() + b";\n\n"
        return
    yield comment + f"DROP {'VIEW' if view else 'TABLE'} IF EXISTS {identifier(name)};\n".encode()
    yield create.encode() + b";\n\n"


def insert_statements(name: str, rows: Iterable[bytes], batch: int = BATCH) -> Iterator[tuple[bytes, int]]:
    """Rows, each `(…)`, joined to statements of a little over `batch` bytes; with each the number of its rows."""
    opening = f"INSERT INTO {identifier(name)} VALUES\n".encode()
    pending: list[bytes] = []
    size = 0
    for row in rows:
        pending.append(row)
        size += len(row)
        if size > batch:
            yield opening + b",\n".join(pending) + b";\n", len(pending)
            pending, size = [], 0
    if pending:
        yield opening + b",\n".join(pending) + b";\n", len(pending)


def row_expression(columns: Iterable[tuple[str, str]]) -> str:
    """The SQL expression that makes one row's `(…)` out of columns (name, type), as the vendor encodes values.

    NULL is NULL; whole and decimal numbers and years are bare; binary values are 0x… (an empty one is ''); all else is
    quoted and escaped as by mysqli_real_escape_string.
    """
    values = ", ', ', ".join(_value_expression(identifier(name), kind) for name, kind in columns)
    return f"CONCAT('(', {values}, ')')"


def identifier(name: str) -> str:
    """A name in back-ticks."""
    return "`" + name.replace("`", "``") + "`"


_ESCAPES = (
    ("\\\\", "\\\\\\\\"),
    ("\\0", "\\\\0"),
    ("\\n", "\\\\n"),
    ("\\r", "\\\\r"),
    ("\\Z", "\\\\Z"),
    ("\\'", "\\\\\\'"),
    ('"', '\\\\"'),
)


def _value_expression(column: str, kind: str) -> str:
    kind = kind.partition("(")[0]
    if _BINARY.search(kind):
        hexadecimal = f"CONCAT('0x', LOWER(HEX({column})))"
        return f"CASE LENGTH({column}) WHEN 0 THEN '\\'\\'' ELSE IFNULL({hexadecimal}, 'NULL') END"
    if _UNQUOTED.search(kind):
        return f"IFNULL({column}, 'NULL')"
    # The binary collation makes REPLACE compare bytes, whatever the column's own collation ignores.
    escaped = f"(CONVERT({column} USING utf8mb4) COLLATE utf8mb4_bin)"
    for raw, written in _ESCAPES:
        escaped = f"REPLACE({escaped}, '{raw}', '{written}')"
    return f"IFNULL(CONCAT('\\'', {escaped}, '\\''), 'NULL')"


def _tables(connection: pymysql.Connection[Any]) -> list[tuple[str, bool]]:
    """Names with whether each is a view; views last, so that what they read exists when they are made."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW FULL TABLES")
        listed = [(str(name), kind == "VIEW") for name, kind in cursor.fetchall() if kind in {"BASE TABLE", "VIEW"}]
    return sorted(listed, key=lambda item: item[1])


def _create_statement(connection: pymysql.Connection[Any], name: str, view: bool) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW CREATE {'VIEW' if view else 'TABLE'} {identifier(name)}")
        row = cursor.fetchone()
    assert row is not None
    return str(row[1])


def _rows(connection: pymysql.Connection[Any], table: str) -> Iterator[bytes]:
    from pymysql.cursors import SSCursor

    with connection.cursor() as cursor:
        cursor.execute(f"SHOW COLUMNS FROM {identifier(table)}")
        described = cursor.fetchall()
    columns = [(str(row[0]), str(row[1])) for row in described]
    order = _order([(str(row[0]), str(row[1])) for row in described if row[3] == "PRI"])
    # CAST … AS BINARY keeps the driver from decoding every row only for it to be encoded again.
    query = f"SELECT CAST({row_expression(columns)} AS BINARY) FROM {identifier(table)}{order}"
    with connection.cursor(SSCursor) as cursor:
        cursor.execute(query)
        for row in cursor.fetchall_unbuffered():
            if row[0] is None:
                raise BackupWriterError(
                    f"Table {table} has a row over the server's max_allowed_packet; raise it and start again"
                )
            yield row[0]


def _order(key: Sequence[tuple[str, str]]) -> str:
    """Key order where the key is one whole number; other tables come as the server stores them."""
    if len(key) == 1 and "int" in key[0][1].partition("(")[0].lower():
        return f" ORDER BY {identifier(key[0][0])}"
    return ""


def _set_names(connection: pymysql.Connection[Any]) -> bytes:
    return f"SET NAMES '{_scalar(connection, 'SELECT @@character_set_results')}';\n".encode()


def _scalar(connection: pymysql.Connection[Any], query: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def _now() -> bytes:
    return time.strftime("%Y-%m-%d %H:%M:%S").encode()
