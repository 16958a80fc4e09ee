"""The kit's errors: each one says in one line what is wrong, where, and how to fix it."""

from __future__ import annotations

from typing import ClassVar


class EncajaError(Exception):
    """A failure that a person can act on.

    Args:
        what: what is wrong, as a short clause without a full stop.
        where: the file, host, step or command that it concerns.
        hint: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line} ({self.hint})" if self.hint else line


class ConfigurationError(EncajaError):
    """Bad usage, or a run-book, inventory or option that cannot be used as it is."""

    exit_code: ClassVar[int] = 2


class DifferencesFound(EncajaError):  # noqa: N818 - a finding, not a fault
    """A verification or comparison ran to its end and found differences."""

    exit_code: ClassVar[int] = 4
