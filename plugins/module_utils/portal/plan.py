"""What has to be changed in a portal, computed before anything is touched.

Every part of settling is a function that looks at the portal and fills a :class:`Plan`. The plan shows itself (check
mode, differences with secrets hidden) or is applied: rows in one transaction, files with a copy kept, all or nothing,
and the portal's caches are purged afterwards only when there was something to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EncajaError
from . import php
from .database import Database, quoted
from .files import BACKUPS, Attributes, attributes_of, keep_copy, write
from .packed import looks_packed
from .settings import HIDDEN, HIDDEN_CHANGED, is_secret

_SHOWN = 300


def shown(value: Any, *, secret: bool = False, changed: bool = False) -> str:
    """A value as it is shown: quoted and cut, or hidden."""
    if value is None:
        return "NULL"
    if secret:
        return HIDDEN_CHANGED if changed else HIDDEN
    if isinstance(value, bytes) and looks_packed(value):
        return f"({len(value)} bytes, packed)"
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)")


@dataclass(frozen=True)
class RowChange:
    """One statement, with a description of what it changes."""

    label: str
    sql: str
    arguments: tuple[Any, ...]
    before: str
    after: str


@dataclass(frozen=True)
class FileChange:
    """One file with its new text; None for the new text removes the file."""

    path: Path
    before: str
    after: str | None
    shown_before: str
    shown_after: str


@dataclass
class Plan:
    """Changes in the order in which they are made, a report for people and programs, and warnings."""

    rows: list[RowChange] = field(default_factory=list)
    files: list[FileChange] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.rows or self.files)

    def update(
        self, table: str, key: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], *, name: str = ""
    ) -> None:
        """Set columns of one row (found by its key) that differ from what they hold; ``name`` says if it is secret."""
        different = {column: value for column, value in after.items() if before.get(column) != value}
        if not different:
            return
        assignments = ", ".join(f"{quoted(column)} = %s" for column in different)
        condition = " AND ".join(f"{quoted(column)} = %s" for column in key)
        place = "/".join(str(value) for value in key.values())
        secret = {column: is_secret(name) or is_secret(column) for column in different}
        self.rows.append(
            RowChange(
                f"{table}[{place}]",
                f"UPDATE {quoted(table)} SET {assignments} WHERE {condition}",  # noqa: S608  names are quoted
                (*different.values(), *key.values()),
                " ".join(f"{column}={shown(before.get(column), secret=secret[column])}" for column in different),
                " ".join(
                    f"{column}={shown(different[column], secret=secret[column], changed=True)}" for column in different
                ),
            )
        )

    def insert(self, table: str, values: Mapping[str, Any], *, label: str = "", name: str = "") -> None:
        """Add one row."""
        columns = ", ".join(quoted(column) for column in values)
        marks = ", ".join(["%s"] * len(values))
        text = " ".join(
            f"{column}={shown(value, secret=is_secret(name) and column == 'VALUE')}" for column, value in values.items()
        )
        self.rows.append(
            RowChange(
                f"{table}[{label or 'new'}]",
                f"INSERT INTO {quoted(table)} ({columns}) VALUES ({marks})",  # noqa: S608  names are quoted
                tuple(values.values()),
                "",
                text,
            )
        )

    def delete(self, table: str, key: Mapping[str, Any], before: str) -> None:
        """Remove the rows of a key; ``before`` says what they held."""
        condition = " AND ".join(f"{quoted(column)} = %s" for column in key)
        place = "/".join(str(value) for value in key.values())
        self.rows.append(
            RowChange(
                f"{table}[{place}]",
                f"DELETE FROM {quoted(table)} WHERE {condition}",  # noqa: S608  names are quoted
                tuple(key.values()),
                before,
                "",
            )
        )

    def statement(self, label: str, sql: str, arguments: Sequence[Any] = (), before: str = "", after: str = "") -> None:
        """Add any statement, with a description; the caller has made sure that it changes something."""
        self.rows.append(RowChange(label, sql, tuple(arguments), before, after))

    def file(self, path: Path, before: str, after: str | None, show: tuple[str, str] | None = None) -> None:
        """Replace (or remove) a file when its text differs; ``show`` is what the difference may show of it."""
        if before != after:
            self.files.append(FileChange(path, before, after, *(show or (before, after or ""))))

    def extend(self, other: Plan) -> None:
        """Take over another plan's changes and warnings, and its report under the same keys."""
        self.rows += other.rows
        self.files += other.files
        self.warnings += other.warnings
        self.report.update(other.report)

    def diff(self) -> list[dict[str, str]]:
        """The changes in Ansible's form, secrets hidden."""
        result = []
        if self.rows:
            result.append(
                {
                    "before_header": "database",
                    "after_header": "database",
                    "before": "".join(f"{row.label} {row.before}\n" for row in self.rows if row.before),
                    "after": "".join(f"{row.label} {row.after}\n" for row in self.rows if row.after),
                }
            )
        result += [
            {
                "before_header": str(change.path),
                "after_header": str(change.path),
                "before": change.shown_before,
                "after": change.shown_after,
            }
            for change in self.files
        ]
        return result

    def apply(self, database: Database, backups: Path = BACKUPS) -> list[str]:
        """Make all changes or none of them; returns the copies that were kept of changed files."""
        # With the copy of what was there, None for a new file, and its owner, because a file may have been removed.
        touched: list[tuple[Path, Path | None, Attributes]] = []
        try:
            with database.transaction():
                for row in self.rows:
                    database.execute(row.sql, *row.arguments)
                for change in self.files:
                    copy = keep_copy(change.path, backups) if change.path.exists() else None
                    touched.append((change.path, copy, attributes_of(change.path) if copy else Attributes()))
                    if change.after is None:
                        change.path.unlink()
                    else:
                        write(change.path, php.encode(change.after))
        except BaseException as fault:
            for path, copy, attributes in reversed(touched):  # a file may have been changed twice
                with suppress(EncajaError, OSError):
                    if copy is None:
                        path.unlink(missing_ok=True)
                    else:
                        write(path, copy.read_bytes(), attributes)
            if isinstance(fault, OSError):
                raise EncajaError(
                    f"not changed: {fault.strerror}", str(fault.filename), "fix its permissions"
                ) from fault
            raise
        return [str(copy) for _, copy, _ in touched if copy]
