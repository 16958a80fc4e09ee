"""What stays on a database server's disk of values that were erased, and how it goes.

An ``UPDATE`` leaves the old value in free parts of the table's pages, in undo logs, in the doublewrite buffer and in
the redo log. Tried with 10.11.19 by a search of the data directory: rebuilding tables empties their pages; undo logs
are written over when so much is undone that their files have to grow; flushing that writes over the doublewrite buffer;
and a redo log of another size is a new file (MariaDB's manual: ``innodb_log_file_size`` is dynamic since 10.9).
The server's settings that this changes are noted on it before, for the next run when this one is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from ..errors import EncajaError
from .database import quoted

SCRATCH = "encaja_remains"
_ROWS = 10
_LEAST_ROUNDS = 300  # more than the 128 rollback segments that take turns, and than the doublewrite buffer's pages
_PATIENCE = 600.0
_STILL = 20.0
_TICK = 0.2
_AT_ONCE = {
    "innodb_max_dirty_pages_pct_lwm": 0,
    "innodb_max_dirty_pages_pct": 0,
    "innodb_io_capacity_max": 20_000,
    "innodb_io_capacity": 20_000,  # by default 200 pages a second
}


class Remains:
    """The remains of erased values on one server.

    Args:
        connect: makes a connection with all rights, to the server that holds the data directory on this host.
        tell: called with what is done.
    """

    def __init__(
        self, connect: Callable[[], pymysql.connections.Connection[Any]], tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._connect = connect
        self._tell = tell
        self._connection = connect()
        self._run("SET SESSION sql_mode = '', foreign_key_checks = 0, lock_wait_timeout = 60")

    def purge(self) -> int:
        """Remove them; returns the number of rebuilt tables. Can be killed at any time; the next run begins anew.

        Raises:
            EncajaError: the server cannot do it.
        """
        try:
            self._run(f"CREATE DATABASE IF NOT EXISTS {SCRATCH}")
            self._run(
                f"CREATE TABLE IF NOT EXISTS {SCRATCH}.settings"
                " (name VARCHAR(64) PRIMARY KEY, former DOUBLE, changed DOUBLE) ENGINE=InnoDB"
            )
            tables = self._run(
                "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE ENGINE = 'InnoDB' AND"
                " TABLE_TYPE = 'BASE TABLE' AND"
                " TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys', %s)",
                SCRATCH,
            )
            for schema, table in tables:
                self._tell(f"rebuilding {schema}.{table}")
                self._run(f"ALTER TABLE {quoted(schema)}.{quoted(table)} FORCE")
            self._tell("writing over undo logs and doublewrite buffer")
            with self._flushing_at_once():
                self._wait_for("Innodb_history_list_length", 0, idle=True)
                self._write_over_undo()
                self._run(f"DROP TABLE {SCRATCH}.filler")
                self._wait_for("Innodb_buffer_pool_pages_dirty", 100)
            self._tell("making the redo log anew")
            self._renew_redo_log()
            self._run(f"DROP DATABASE {SCRATCH}")
        except pymysql.MySQLError as fault:
            raise EncajaError(
                f"what was erased cannot be purged: {fault.args[-1]}", "the database server", "fix it and run it again"
            ) from fault
        return len(tables)

    def _run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def _value(self, name: str) -> Any:
        return self._run(f"SELECT @@GLOBAL.{name}")[0][0]

    def _write_over_undo(self) -> None:
        """Undo so much that every file with undo logs grows: then no free page in it has kept its content."""
        home = Path(self._value("datadir"))
        count = int(self._value("innodb_undo_tablespaces"))
        files = [home / f"undo{number:03d}" for number in range(1, count + 1)] or [home / "ibdata1"]
        before = {file: file.stat().st_size for file in files}
        self._run(f"USE {SCRATCH}")
        self._run("DROP TABLE IF EXISTS filler")
        self._run("CREATE TABLE filler (id INT PRIMARY KEY, v VARCHAR(7000) CHARACTER SET latin1) ENGINE=InnoDB")
        for row in range(_ROWS):
            self._run("INSERT INTO filler VALUES (%s, REPEAT(0, 7000))", row)
        most = _LEAST_ROUNDS + 2 * sum(before.values()) // (_ROWS * 7000)
        holder = self._connect()  # as long as somebody may read the old rows, no undo log is given back
        try:
            with holder.cursor() as cursor:
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            rounds = 0
            while rounds < _LEAST_ROUNDS or any(file.stat().st_size <= size for file, size in before.items()):
                if rounds > most:
                    raise EncajaError("undo logs are not written over", str(home), "see the server's error log")
                self._run("UPDATE filler SET v = REPEAT(CHAR(%s), 7000)", 97 + rounds % 26)
                rounds += 1
            self._wait_for("Innodb_buffer_pool_pages_dirty", 100)  # pages that are given back are not written any more
        finally:
            holder.close()

    def _former(self, name: str, changed: float) -> int | float:
        """A setting's value before this run, or one that was killed, changed it to ``changed``; noted on the server."""
        noted = f"FROM {SCRATCH}.settings WHERE name = %s AND changed = @@GLOBAL.{name}"
        if rows := self._run(f"SELECT former {noted}", name):
            former = float(rows[0][0])
        else:
            former = float(self._value(name))
            self._run(f"REPLACE INTO {SCRATCH}.settings VALUES (%s, %s, %s)", name, former, changed)  # noqa: S608  a constant
        return int(former) if former.is_integer() else former

    @contextmanager
    def _flushing_at_once(self) -> Iterator[None]:
        kept = {name: self._former(name, value) for name, value in _AT_ONCE.items()}
        for name, changed in _AT_ONCE.items():
            self._run(f"SET GLOBAL {name} = %s", changed)
        try:
            yield
        finally:
            for name, value in reversed(kept.items()):  # a bound before what it bounds
                self._run(f"SET GLOBAL {name} = %s", value)

    def _wait_for(self, status: str, most: int, *, idle: bool = False) -> None:
        """Wait until a status has fallen; with ``idle`` also until it stays, and no transaction could hold it up."""
        until, since, before = time.monotonic() + _PATIENCE, time.monotonic(), -1
        while (now := int(self._run("SHOW GLOBAL STATUS LIKE %s", status)[0][1])) > most:
            if now != before:
                since, before = time.monotonic(), now
            elif (
                idle
                and time.monotonic() - since > _STILL
                and not self._run("SELECT 1 FROM information_schema.INNODB_TRX")
            ):
                return
            if time.monotonic() > until:
                hint = "end its long transactions and run it again"
                raise EncajaError(f"{status} does not fall to {most}", "the database server", hint)
            time.sleep(_TICK)

    def _renew_redo_log(self) -> None:
        size = int(self._value("innodb_log_file_size"))
        size = int(self._former("innodb_log_file_size", 2 * size))
        for wanted in (2 * size, size):
            self._run("SET GLOBAL innodb_log_file_size = %s", wanted)
            until = time.monotonic() + _PATIENCE
            while int(self._value("innodb_log_file_size")) != wanted:
                if time.monotonic() > until:
                    raise EncajaError("the redo log does not change", "the database server", "see its error log")
                time.sleep(_TICK)
