"""Row counts and checksums of tables, on both sides of a copy, so that the copy can be proven.

``CHECKSUM TABLE`` adds up a checksum per row, so the order of rows does not matter. On the source it runs inside a
snapshot of the very moment that the copy is of.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pymysql

from encaja.errors import EncajaError
from encaja.portal.database import SOCKETS, quoted

SYSTEM: Final = ("information_schema", "mysql", "performance_schema", "sys")
Connection: TypeAlias = "pymysql.connections.Connection[Any]"
Fingerprint = dict[str, Any]
"""``rows`` and ``checksum`` of a table, or ``fault`` where it could not be read."""


@dataclass(frozen=True)
class Table:
    """One base table: ``size`` in bytes, as the server estimates it."""

    schema: str
    name: str
    engine: str
    size: int

    @property
    def full(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The name in a statement."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def connect(socket: str = "") -> Connection:
    """Connect to this host's server as its administrator, where ``MYSQL_UNIX_PORT`` or Debian says that it is.

    Raises:
        EncajaError: there is no server.
    """
    place = (
        socket
        or os.environ.get("MYSQL_UNIX_PORT")
        or next((path for path in SOCKETS if Path(path).exists()), SOCKETS[0])
    )
    try:
        return pymysql.connect(unix_socket=place, user="root", charset="utf8mb4", autocommit=True)
    except pymysql.MySQLError as fault:
        raise EncajaError(f"no connection to MariaDB: {fault.args[-1]}", place, "start mariadb.service") from fault


def query(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def base_tables(connection: Connection) -> list[Table]:
    """Every base table outside the server's own schemas, largest first."""
    rows = query(
        connection,
        "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(ENGINE, ''), COALESCE(DATA_LENGTH + INDEX_LENGTH, 0)"
        " FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' ORDER BY 4 DESC, 1, 2",
    )
    return [Table(row[0], row[1], row[2], int(row[3])) for row in rows if row[0] not in SYSTEM]


def schemas(tables: Sequence[Table]) -> list[str]:
    """Names of the schemas that have tables."""
    return sorted({table.schema for table in tables})


def creation(connection: Connection, schema: str) -> str:
    """The statement that makes a schema, with its character set."""
    return str(query(connection, f"SHOW CREATE DATABASE {quoted(schema)}")[0][1])


def provable(tables: Sequence[Table]) -> list[Table]:
    """The tables whose content a snapshot keeps."""
    return [table for table in tables if table.engine == "InnoDB"]


def crashed(connection: Connection, tables: Sequence[Table]) -> list[str]:
    """Tables that the server calls crashed or unreadable.

    Only engines that can be left crashed (MyISAM, Aria) are looked at: InnoDB repairs itself or does not start.
    """
    found = [table.full for table in tables if not table.engine]
    for table in tables:
        if table.engine in {"MyISAM", "Aria"}:
            said = query(connection, f"CHECK TABLE {table.sql} MEDIUM")
            if not said or said[-1][-1] not in {"OK", "Table is already up to date"}:
                found.append(table.full)
    return sorted(found)


def open_snapshots(connections: Sequence[Connection]) -> None:
    """Make every connection see the database as it is now, until it is closed.

    A server that is set to READ COMMITTED, as the vendor wants it, opens no snapshot at all and only warns (MariaDB's
    manual, START TRANSACTION), so the connection asks for REPEATABLE READ whatever the server's own is.

    Raises:
        EncajaError: the server opened none.
    """
    for connection in connections:
        query(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        query(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        if warnings := query(connection, "SHOW WARNINGS"):
            raise EncajaError(str(warnings[0][-1]), "snapshot of the source", "see the server's isolation level")


def fingerprints(connections: Sequence[Connection], tables: Sequence[Table]) -> dict[str, Fingerprint]:
    """Rows and checksum of every table, by ``schema.name``, several at a time.

    Args:
        connections: one per thread.
        tables: largest first.
    """
    waiting: queue.SimpleQueue[Table] = queue.SimpleQueue()
    for table in tables:
        waiting.put(table)
    found: dict[str, Fingerprint] = {}

    def work(connection: Connection) -> None:
        while True:
            try:
                table = waiting.get_nowait()
            except queue.Empty:
                return
            found[table.full] = _fingerprint(connection, table)

    threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _fingerprint(connection: Connection, table: Table) -> Fingerprint:
    try:
        rows = query(connection, f"SELECT COUNT(*) FROM {table.sql}")[0][0]  # noqa: S608 - a name from the server
        checksum = query(connection, f"CHECKSUM TABLE {table.sql} EXTENDED")[0][1]
    except pymysql.MySQLError as fault:
        return {"fault": str(fault.args[-1])}
    if checksum is None:  # the server's answer for a table that it cannot read; it only warns
        return {"fault": "the server gives no checksum"}
    return {"rows": int(rows), "checksum": checksum}


def differences(source: dict[str, Fingerprint], copy: dict[str, Fingerprint]) -> list[str]:
    """What differs between copy and source, one phrase per table."""
    found = []
    for name in sorted({*source, *copy}):
        there, here = source.get(name), copy.get(name)
        if there is None:
            found.append(f"{name} is not in the source")
        elif here is None:
            found.append(f"{name} is missing")
        elif fault := there.get("fault") or here.get("fault"):
            found.append(f"{name} could not be read: {fault}")
        elif there["rows"] != here["rows"]:
            found.append(f"{name} has {here['rows']} rows, the source {there['rows']}")
        elif there["checksum"] != here["checksum"]:
            found.append(f"{name} has the source's number of rows, but not their content")
    return found
