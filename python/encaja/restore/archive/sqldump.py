"""Reading the vendor's SQL dump as a stream of statements.

``NAME.sql``, ``NAME.sql.1`` …; a statement ends with ``;`` at the end of a line, newlines inside values are escaped;
comment
lines start with ``-- `` and the very last one is ``-- Finished: …`` (main 26.250, ``CBackup::MakeDump``; restore.php).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from encaja.restore.errors import BackupError

DUMP_NAME = re.compile(rb"bitrix/backup/[^/]+\.sql(?:\.([0-9]+))?")
AFTER_CONNECT_NAME = re.compile(rb"bitrix/backup/[^/]+_after_connect\.sql")
DATABASE_TOKEN = b"<DATABASE>"

_LONGEST = 1 << 30
"""Bytes of a statement; no server takes a longer one (``max_allowed_packet``)."""
_QUOTED = rb"`((?:[^`]|``){1,256})`(?!\s*\.)"
"""A name, of 64 characters at most, and none of another database in front of it."""
_PATTERNS = (
    (rb"INSERT INTO " + _QUOTED, "insert"),
    (rb"DROP (?:TABLE|VIEW) IF EXISTS " + _QUOTED, "drop"),
    (rb"CREATE TABLE (?:IF NOT EXISTS )?" + _QUOTED, "table"),
    (rb"CREATE (?:OR REPLACE )?(?:ALGORITHM=\w+ )?(?:DEFINER=\S+ )?(?:SQL SECURITY \w+ )?VIEW " + _QUOTED, "view"),
    (rb"SET NAMES '?(\w+)", "names"),
)
_STATEMENT = re.compile(
    rb"|".join(rb"(?P<%s>%s)" % (kind.encode(), pattern) for pattern, kind in _PATTERNS), re.IGNORECASE
)
_COMMENTS = re.compile(rb"(?:\s+|--[^\n]*(?:\n|\Z))*+")
_STARTED = re.compile(rb"^-- Started: ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8})", re.MULTILINE)
_FINISHED = re.compile(rb"^-- Finished:", re.MULTILINE)


class Kind(StrEnum):
    """What a statement does."""

    INSERT = "insert"
    DROP = "drop"
    TABLE = "table"
    VIEW = "view"
    NAMES = "names"


@dataclass(frozen=True)
class Statement:
    """One statement without its comments and its semicolon, and the table, view or character set it names."""

    kind: Kind
    name: str
    sql: bytes


def classify(sql: bytes) -> Statement:
    """Tell what a statement does.

    Raises:
        BackupError: the vendor's writer makes no such statement.
    """
    found = _STATEMENT.match(sql)
    if not found or not found.lastgroup:
        start = sql[:60].decode(errors="replace")
        raise BackupError(
            f"a statement that a backup never holds: {start!r}", "the dump", "check where this archive comes from"
        )
    name = next(value for value in found.groups()[1::2] if value is not None)
    return Statement(Kind(found.lastgroup), name.replace(b"``", b"`").decode(errors="replace"), sql)


class Splitter:
    """Cuts a dump into statements; bytes in, statements out.

    Args:
        pending: bytes of an unfinished statement, from an earlier splitter.
        finished: whether the last line of the dump was already seen.
        begun: when the dump was started by the source's clock, from its first line; empty before that line.
    """

    def __init__(self, pending: bytes = b"", *, finished: bool = False, begun: str = "") -> None:
        self.pending = bytearray(pending)
        self.finished = finished
        self.begun = begun
        self._searched = max(0, len(pending) - 1)

    def feed(self, data: bytes | memoryview) -> Iterator[Statement]:
        """Take the next bytes of the dump.

        Raises:
            BackupError: a statement that no backup holds, or one without an end.
        """
        text = self.pending
        text += data
        start = 0
        search = self._searched
        while (found := text.find(b";\n", search)) >= 0:
            yield from self._statement(bytes(text[start:found]))
            start = search = found + 2
        del text[:start]
        self._searched = max(0, len(text) - 1)
        if len(text) > _LONGEST:
            raise BackupError("a statement of more than 1 GiB", "the dump", "check where this archive comes from")

    def end_part(self) -> Iterator[Statement]:
        """One file of the dump is over; its last statement may lack the newline."""
        rest = bytes(self.pending.rstrip())
        self.pending, self._searched = bytearray(), 0
        if rest.endswith(b";"):
            yield from self._statement(rest[:-1])
            return
        comments = _COMMENTS.match(rest)
        if _FINISHED.search(rest):
            self.finished = True
        if comments and comments.end() < len(rest):
            raise BackupError(
                "the dump ends in the middle of a statement", "the dump", "have the vendor make a new backup"
            )

    def _statement(self, text: bytes) -> Iterator[Statement]:
        comments = _COMMENTS.match(text)
        start = comments.end() if comments else 0
        if start:
            if _FINISHED.search(text, 0, start):
                self.finished = True
            if not self.begun and (found := _STARTED.search(text, 0, start)):
                self.begun = found[1].decode()
            text = text[start:]
        if text:
            yield classify(text)


def after_connect(text: bytes) -> tuple[str | None, str | None]:
    """Read ``NAME_after_connect.sql``.

    Returns:
        The character set of the connection and the collation of the database; None where the file does not say.
    """
    charset = re.search(rb"SET NAMES '?(\w+)", text)
    collation = re.search(rb"ALTER DATABASE `" + re.escape(DATABASE_TOKEN) + rb"` (?:DEFAULT )?COLLATE '?(\w+)", text)
    return (charset[1].decode() if charset else None, collation[1].decode() if collation else None)
