"""Loading tables into the database, several at a time, each exactly once.

The number of statements applied to a table is kept in the database itself, in the same transaction as their rows. So
the next run continues with the next statement, whatever was killed at whatever moment. A table is created without its
secondary keys; they are added after its rows (three times faster).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
from pymysql.constants import ER

from encaja.restore.errors import BackupError
from encaja.restore.load import sampling
from encaja.restore.load.database import STATE_TABLE, Connection, Server, connect, explain, lost, query
from encaja.restore.load.ddl import Collations, TablePlan, plan_table, plan_view
from encaja.restore.load.statement_spool import SpooledTable, StatementSpool
from encaja.status import waiting_for

_TRANSACTION = 8 << 20
_AGAIN = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})
_INSERT = b"INSERT INTO"


@dataclass
class _Progress:
    """How much of a table is loaded; kept in the database with its rows, so that a later run can report all of it."""

    stage: str = ""
    frames: int = 0
    rows: int = 0
    warnings: list[str] = field(default_factory=list)
    fulltext_failed: bool = False

    @property
    def note(self) -> bytes:
        """Warnings, as they are kept."""
        return json.dumps({"warnings": self.warnings, "fulltext_failed": self.fulltext_failed}).encode()

    def warn(self, text: str) -> None:
        """Add a warning once."""
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass
class LoadReport:
    """What was loaded, with warnings."""

    tables: int = 0
    rows: int = 0
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    fulltext_failed: bool = False


class Loaders:
    """Loads the tables of a spool.

    Args:
        server: the database.
        spool: where the statements come from.
        collations: what the server knows.
        threads: tables at a time.
        patience: seconds to wait for a server that went away.
        came_back: called before the first connection to a server that went away.
        dump: file for what the dump holds of :data:`sampling.TABLES`; None for no file.
    """

    def __init__(
        self,
        server: Server,
        spool: StatementSpool,
        collations: Collations,
        *,
        threads: int,
        patience: float = 600.0,
        came_back: Callable[[], None] = lambda: None,
        dump: Path | None = None,
    ) -> None:
        self._server = server
        self._spool = spool
        self._collations = collations
        self._threads = [threading.Thread(target=self._work, name=f"load-{n}", daemon=True) for n in range(threads)]
        self._patience = patience
        self._came_back = came_back
        self._dump = dump
        self._taken: set[int] = set()
        self._done: list[SpooledTable] = []
        self._lock = threading.Lock()
        self._local = threading.local()
        self._stopping = False
        self._started = False
        self._last_success, self._success_at = time.monotonic(), time.time()
        self.waiting = ""
        self._charset = "utf8mb4"
        self._collation: str | None = None
        self.failure: BaseException | None = None
        self.report = LoadReport()

    def start(self, charset: str, collation: str | None) -> None:
        """Begin to load; more calls change nothing.

        Args:
            charset: of the dump.
            collation: of the new database.
        """
        if self._started:
            return
        self._started = True
        self._charset, self._collation = charset, collation
        for thread in self._threads:
            thread.start()

    def loaded_before(self) -> set[str]:
        """Names of the tables that earlier runs loaded."""
        connection = connect(self._server)
        try:
            return {
                bytes(row[0]).decode()
                for row in query(connection, f"SELECT name FROM `{STATE_TABLE}` WHERE stage = 'done'")  # noqa: S608
            }
        finally:
            connection.close()

    def settle_database(self, charset: str, collation: str | None) -> str:
        """Give the new database the collation that the archive asks for, as far as the server knows it.

        Returns:
            The collation.
        """
        wanted = self._collations.map(collation or f"{charset}_unicode_ci")
        connection = connect(self._server)
        try:
            connection.query(f"ALTER DATABASE COLLATE {wanted}")
        except pymysql.err.Error as error:
            raise explain(error, self._server) from error
        finally:
            connection.close()
        return wanted

    @property
    def started(self) -> bool:
        """Whether loading has begun."""
        return self._started

    def take_done(self) -> list[SpooledTable]:
        """The tables that were loaded since the last call."""
        with self._lock:
            done, self._done = self._done, []
            return done

    def check(self) -> None:
        """Raise the error that stopped a loader, if there was one."""
        if self.failure:
            raise self.failure

    def finish(self, wait: float) -> bool:
        """Wait a while for the end; true when every table is loaded."""
        deadline = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.check()
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End soon; what is committed stays."""
        self._stopping = True
        self._spool.give_up()
        if self._started:
            for thread in self._threads:
                thread.join()

    def total(self) -> LoadReport:
        """What all runs together have loaded, with warnings."""
        connection = connect(self._server)
        try:
            rows = query(connection, f"SELECT loaded, note FROM `{STATE_TABLE}` WHERE stage = 'done' ORDER BY name")  # noqa: S608
        finally:
            connection.close()
        whole = LoadReport(len(rows), sum(int(row[0]) for row in rows), self.report.bytes)
        for note in (json.loads(row[1]) for row in rows):
            whole.warnings += note["warnings"]
            whole.fulltext_failed = whole.fulltext_failed or note["fulltext_failed"]
        whole.warnings += self.report.warnings
        return whole

    def create_views(self) -> None:
        """Create the views, in rounds, because one may need another; those that cannot be created are reported."""
        try:
            self._create_views()
        finally:
            self._disconnect()

    def _create_views(self) -> None:
        waiting = [table for table in self._spool.tables if table.view and table.name not in self._spool.loaded]
        connection = self._connection()
        while waiting:
            failed: list[tuple[SpooledTable, Exception]] = []
            for view in waiting:
                frame = next(self._spool.frames(view, 0))
                try:
                    self._run(connection, f"DROP VIEW IF EXISTS {_quote(view.name)}".encode())
                    self._run(connection, plan_view(frame or b"", self._collations))
                except (pymysql.err.OperationalError, pymysql.err.ProgrammingError, pymysql.err.InternalError) as error:
                    if lost(error):
                        raise explain(error, self._server) from error
                    failed.append((view, error))
            if len(failed) == len(waiting):
                self.report.warnings += [
                    f"view {view.name} cannot be created: {error.args[-1]}" for view, error in failed
                ]
                return
            waiting = [view for view, _ in failed]

    # --- threads ---

    def _work(self) -> None:
        try:
            while (table := self._next()) is not None:
                self._load(table)
        except BaseException as error:
            with self._lock:
                self.failure = self.failure or error
            self._spool.give_up()
        finally:
            self._disconnect()

    def _next(self) -> SpooledTable | None:
        """The largest table that no loader has taken."""
        spool = self._spool
        with spool.condition:
            while not self._stopping and not spool.failed:
                waiting = [
                    table
                    for table in spool.tables
                    if not table.view and table.number not in self._taken and table.ready
                ]
                if waiting:
                    best = max(waiting, key=lambda table: table.ready)
                    self._taken.add(best.number)
                    return best
                if spool.ended:
                    return None
                spool.condition.wait(0.5)
        return None

    def _load(self, table: SpooledTable) -> None:
        pause = 0.2
        while not self._stopping:
            try:
                self._attempt(table)
            except pymysql.err.Error as error:
                self._disconnect()
                waited = time.monotonic() - self._last_success
                self._local.lost = lost(error)
                again = lost(error) or (error.args and error.args[0] in _AGAIN)
                if not again or waited > self._patience or self._stopping:
                    explained = explain(error, self._server)
                    raise BackupError(
                        f"table {table.name}: {explained.what}", explained.where, explained.hint
                    ) from error
                if self._local.lost:
                    server = f"the database server {self._server.place}"
                    reason = str(error.args[1] if len(error.args) > 1 else error)
                    self.waiting = waiting_for(server, reason, self._success_at, self._success_at + self._patience)
                time.sleep(pause)
                pause = min(5.0, pause * 1.5)
            else:
                return

    def _attempt(self, table: SpooledTable) -> None:
        connection = self._connection()
        progress = self._progress(connection, table)
        if progress.stage != "done":
            first = next(self._spool.frames(table, 0))
            plan = plan_table(first or b"", self._collations, self._collation)
            if not progress.stage:
                self._create(connection, table, plan)
            if not self._rows(connection, table, progress):
                return
            self._keys(connection, table, plan, progress)
            if self._dump and table.name in sampling.TABLES:
                held = sampling.take(self._spool.frames(table, 1))
                sampling.keep(self._dump, self._server.name, table.name, held, self._spool.splitter.begun)
            self._save(connection, table, "done", progress)
        with self._lock:
            self._done.append(table)
            self.report.tables += 1

    def _create(self, connection: Connection, table: SpooledTable, plan: TablePlan) -> None:
        self._run(connection, f"DROP TABLE IF EXISTS {_quote(table.name)}".encode())
        self._run(connection, plan.create)
        query(connection, f"INSERT INTO `{STATE_TABLE}` VALUES (%s, 'rows', 0, 0, '')", table.name)  # noqa: S608
        connection.commit()

    def _progress(self, connection: Connection, table: SpooledTable) -> _Progress:
        sql = f"SELECT stage, frames, loaded, note FROM `{STATE_TABLE}` WHERE name = %s"  # noqa: S608
        row = query(connection, sql, table.name)
        if not row:
            return _Progress()
        note = json.loads(row[0][3] or b"{}")
        return _Progress(str(row[0][0]), int(row[0][1]), int(row[0][2]), **note)

    def _rows(self, connection: Connection, table: SpooledTable, progress: _Progress) -> bool:
        """Apply the statements that are not applied yet; false when the load was stopped."""
        size = 0
        for frame in self._spool.frames(table, 1 + progress.frames):
            if self._stopping:
                return False
            if frame is not None:
                rows = self._insert(connection, table, frame, progress)
                progress.frames += 1
                progress.rows += rows
                size += len(frame)
                with self._lock:
                    self.report.rows += rows
                    self.report.bytes += len(frame)
            if size and (frame is None or size >= _TRANSACTION):
                self._save(connection, table, "rows", progress)
                size = 0
        if size:
            self._save(connection, table, "rows", progress)
        return table.complete

    def _insert(self, connection: Connection, table: SpooledTable, frame: bytes, progress: _Progress) -> int:
        try:
            return self._run(connection, frame)
        except pymysql.err.IntegrityError as error:
            if error.args[0] != ER.DUP_ENTRY or not frame.startswith(_INSERT):
                raise
        # The dump is no snapshot: a row that moved while it was written is in it twice. The vendor's restore
        # continues row by row; IGNORE makes the server do the same.
        rows = self._run(connection, b"INSERT IGNORE INTO" + frame[len(_INSERT) :])
        progress.warn(f"table {table.name}: rows that are twice in the dump were left out")
        return rows

    def _keys(self, connection: Connection, table: SpooledTable, plan: TablePlan, progress: _Progress) -> None:
        present = {
            str(row[0])
            for row in query(
                connection,
                "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS "
                "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s",
                table.name,
            )
        }
        missing = [definition for name, definition in plan.keys.items() if name not in present]
        alter = f"ALTER TABLE {_quote(table.name)} ".encode()
        if missing:
            self._run(connection, alter + b", ".join(b"ADD " + definition for definition in missing))
        for name, definition in plan.fulltext.items():
            if name in present:
                continue
            try:
                self._run(connection, alter + b"ADD " + definition)
            except pymysql.err.Error as error:
                if lost(error):
                    raise
                progress.fulltext_failed = True
                progress.warn(f"table {table.name}: full-text key {name} left out: {error.args[-1]}")

    def _save(self, connection: Connection, table: SpooledTable, stage: str, progress: _Progress) -> None:
        """Note how much of a table is loaded, in the same transaction."""
        sql = f"UPDATE `{STATE_TABLE}` SET stage = %s, frames = %s, loaded = %s, note = %s WHERE name = %s"  # noqa: S608
        query(connection, sql, stage, progress.frames, progress.rows, progress.note, table.name)
        connection.commit()

    def _run(self, connection: Connection, sql: bytes) -> int:
        count = connection.query(sql)
        self._last_success, self._success_at = time.monotonic(), time.time()
        self.waiting = ""
        return int(count or 0)

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            if getattr(self._local, "lost", False):
                self._came_back()
            connection = connect(self._server, charset=self._charset, collation=self._collation)
            self._local.connection = connection
        return connection

    def _disconnect(self) -> None:
        connection: Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None and connection.open:
            connection.close()


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
