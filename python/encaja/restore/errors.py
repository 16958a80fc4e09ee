"""What can be wrong with a backup, its link or the host it is restored to."""

from __future__ import annotations

import errno

from encaja.errors import ConfigurationError, EncajaError


class BackupError(EncajaError):
    """A fault of a backup that a person has to fix."""


class BackupUsageError(ConfigurationError):
    """A backup was asked for in a way that cannot be carried out."""


class BadVolume(BackupError):  # noqa: N818  (it is a finding, named as people say it)
    """One volume is damaged.

    Args:
        number: the volume's number, the first one being 0.
        reason: what is wrong with it.
        where: its file or address.
    """

    def __init__(self, number: int, reason: str, where: str = "") -> None:
        super().__init__(f"volume {number} is bad: {reason}", where, "fetch this volume again; the others are kept")
        self.number = number
        self.reason = reason


class WrongPassword(BackupError):  # noqa: N818
    """The archive is encrypted and the password does not open it."""


class LinkExpired(BackupError):  # noqa: N818
    """The download link does not answer any more; with a new one, what is there is used."""


class NoAnswer(BackupError):  # noqa: N818
    """The server did not answer within the time limit."""


class TargetNotReady(BackupError):  # noqa: N818
    """The host is not ready for the restore."""


def disk_error(error: OSError, where: str) -> BackupError:
    """Explain an error of the disk.

    Args:
        error: of the operating system.
        where: the file or folder, where the error does not name it.
    """
    place = str(error.filename or where)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BackupError("the disk is full", place, "free space and rerun the command; it continues where it stopped")
    return BackupError(f"cannot write: {error.strerror or error}", place, "fix it and rerun the command")
