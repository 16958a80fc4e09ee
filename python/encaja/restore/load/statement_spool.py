"""Statements of the dump between archive and database: one file a table, read by its loader while it still grows.

Loaders see only what came from verified volumes; the rest can be taken back. The frames of a table (a length and one
statement) are the same in every run, so a loader that applied n of them continues with the next one.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from encaja.restore.archive.sqldump import Kind, Splitter, Statement
from encaja.restore.errors import BackupError

_LENGTH = struct.Struct("<Q")
_MOST_TABLES = 20_000
"""Tables and views of a dump; a portal has fewer than two thousand."""


@dataclass(eq=False)
class SpooledTable:
    """One table or view.

    Attributes:
        number: its place in the dump.
        name: its name.
        view: whether it is a view.
        length: bytes in its file.
        ready: bytes that come from verified volumes.
        closed: all its statements are in the file.
        complete: closed, and from verified volumes.
        dropped: its file is not needed any more.
    """

    number: int
    name: str
    view: bool
    length: int = 0
    ready: int = 0
    closed: bool = False
    complete: bool = False
    dropped: bool = False


class StatementSpool:
    """The statements of one dump.

    Args:
        directory: for the files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.condition = threading.Condition()
        self.tables: list[SpooledTable] = []
        self._by_name: dict[tuple[str, bool], SpooledTable] = {}
        self._file: BinaryIO | None = None
        self._open: SpooledTable | None = None
        self.splitter = Splitter()
        self.charset: str | None = None
        self.ended = False
        self.failed = False
        self.loaded: set[str] = set()
        """Names of tables that an earlier run loaded for good; nothing of them is written any more."""

    @property
    def size(self) -> int:
        """Bytes of statements that are to be loaded by this run."""
        with self.condition:
            return sum(table.ready for table in self.tables if not table.view and table.name not in self.loaded)

    # --- the writing side ---

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the dump."""
        for statement in self.splitter.feed(data):
            self._take(statement)

    def end_part(self) -> None:
        """One file of the dump is over."""
        for statement in self.splitter.end_part():
            self._take(statement)

    def end(self) -> None:
        """The dump is over.

        Raises:
            BackupError: its last line is missing.
        """
        if not self.splitter.finished:
            raise BackupError(
                "the dump has no last line '-- Finished:': the vendor's backup was cut off while it was written",
                "the archive's dump",
                "have the vendor make a new backup",
            )
        self._close()

    def commit(self, *, ended: bool = False) -> None:
        """Everything so far comes from verified volumes: show it to the loaders."""
        if self._file:
            self._file.flush()
        with self.condition:
            for table in self.tables:
                table.ready, table.complete = table.length, table.closed
            self.ended = self.ended or ended
            self.condition.notify_all()

    def state(self) -> dict[str, object]:
        """Everything but the bytes, as plain values."""
        return {
            "charset": self.charset,
            "finished": self.splitter.finished,
            "begun": self.splitter.begun,
            "pending": len(self.splitter.pending),
            "ended": self.ended,
            "tables": [[table.name, table.view, table.length, table.closed] for table in self.tables],
        }

    def save_pending(self, name: str) -> None:
        """Save the bytes of the unfinished statement."""
        (self._directory / name).write_bytes(self.splitter.pending)

    def forget_pending(self, name: str) -> None:
        """An earlier checkpoint's bytes are not needed any more."""
        (self._directory / name).unlink(missing_ok=True)

    def resume(self, state: dict[str, object], pending: str) -> None:
        """Go back to an earlier state; what came after it is cut off."""
        self._close_file()
        rows = state["tables"]
        if not isinstance(rows, list):
            raise BackupError(
                "the journal is damaged", str(self._directory), "delete the work folder and restore again"
            )
        kept = self.tables[: len(rows)]
        with self.condition:
            for number, (name, view, length, closed) in enumerate(rows):
                if number >= len(kept):
                    kept.append(SpooledTable(number, str(name), bool(view), length, length, bool(closed), bool(closed)))
                table = kept[number]
                table.dropped = table.dropped or table.name in self.loaded
                table.length, table.closed = int(length), bool(closed)
                table.ready, table.complete = min(table.ready, table.length), table.complete and table.closed
            self.tables = kept
            self._by_name = {(table.name, table.view): table for table in kept}
            self.charset = str(state["charset"]) if state["charset"] else None
            self.ended = bool(state["ended"])
        for table in kept:
            file = self.file(table)
            if file.exists() and file.stat().st_size > table.length:
                with file.open("r+b") as opened:
                    opened.truncate(table.length)
        size = int(str(state["pending"]))
        data = (self._directory / pending).read_bytes() if size else b""
        self.splitter = Splitter(data, finished=bool(state["finished"]), begun=str(state.get("begun", "")))
        last = kept[-1] if kept else None
        self._open = last if last and not last.closed else None

    def clear(self) -> None:
        """Forget everything."""
        self._close_file()
        for file in self._directory.iterdir():
            file.unlink()
        with self.condition:
            self.tables, self._by_name, self._open = [], {}, None
            self.splitter, self.charset, self.ended = Splitter(), None, False

    def close(self) -> None:
        """Close the open file."""
        self._close_file()

    def _take(self, statement: Statement) -> None:
        if statement.kind is Kind.NAMES:
            self.charset = statement.name
        elif statement.kind in (Kind.TABLE, Kind.VIEW):
            self._close()
            key = (statement.name, statement.kind is Kind.VIEW)
            if key in self._by_name:
                raise BackupError(
                    f"{statement.name!r} is twice in the dump", "the archive's dump", "have the vendor make a new one"
                )
            if len(self.tables) >= _MOST_TABLES:
                raise BackupError("too many tables", "the archive's dump", "check where this archive comes from")
            table = SpooledTable(len(self.tables), *key, dropped=statement.name in self.loaded)
            with self.condition:
                self.tables.append(table)
            self._by_name[key] = self._open = table
            self._append(table, statement.sql)
        elif statement.kind is Kind.INSERT:
            if self._open is None or self._open.name != statement.name or self._open.view:
                raise BackupError(
                    f"rows of {statement.name!r} come outside of its table",
                    "the archive's dump",
                    "have the vendor make a new one",
                )
            self._append(self._open, statement.sql)

    def _append(self, table: SpooledTable, sql: bytes) -> None:
        if not table.dropped:
            if self._file is None:
                path = self.file(table)
                self._file = path.open("r+b" if path.exists() else "wb", buffering=1 << 20)
                self._file.seek(table.length)
                self._file.truncate()
            self._file.write(_LENGTH.pack(len(sql)))
            self._file.write(sql)
        table.length += _LENGTH.size + len(sql)

    def _close(self) -> None:
        self._close_file()
        if self._open:
            self._open.closed = True
            self._open = None

    def _close_file(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    # --- the reading side ---

    def file(self, table: SpooledTable) -> Path:
        """The file of a table."""
        return self._directory / f"{table.number:05d}.sql"

    def frames(self, table: SpooledTable, skip: int) -> Iterator[bytes | None]:
        """The statements of a table after the first ``skip``; None whenever more has to be waited for.

        Ends when the table is complete, or when the spool was given up.
        """
        position, number = 0, 0
        with self.file(table).open("rb", buffering=0) as source:
            while True:
                with self.condition:
                    ready, complete = table.ready, table.complete
                if position >= ready:
                    if complete or self.failed:
                        return
                    yield None
                    with self.condition:
                        if table.ready <= position and not table.complete and not self.failed:
                            self.condition.wait(0.5)
                    continue
                source.seek(position)
                (length,) = _LENGTH.unpack(source.read(_LENGTH.size))
                if number >= skip:
                    yield _read(source, length)
                number += 1
                position += _LENGTH.size + length

    def drop(self, table: SpooledTable) -> None:
        """The table is loaded and on the disk: delete its file."""
        table.dropped = True
        if self._open is not table:
            self.file(table).unlink(missing_ok=True)

    def give_up(self) -> None:
        """No more will come; wake all that wait."""
        with self.condition:
            self.failed = True
            self.condition.notify_all()


def _read(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    while len(data) < length:
        more = source.read(length - len(data))
        if not more:
            raise BackupError(
                "the spool is shorter than its journal says", source.name, "delete the work folder and restore again"
            )
        data += more
    return data
