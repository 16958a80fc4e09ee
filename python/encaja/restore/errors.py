"""What can be wrong with a backup, its link or the place it is restored to."""

from __future__ import annotations

import errno

from encaja.errors import ConfigurationError, EncajaError


class BackupError(EncajaError):
    """Something about a backup that a person has to fix."""


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
    """The download link does not answer any more; a new one goes on with what is there."""


class NoAnswer(BackupError):  # noqa: N818
    """The server did not answer for as long as it was waited for."""


class TargetNotReady(BackupError):  # noqa: N818
    """The host is not in a state in which the restore may begin."""


def disk_error(error: OSError, where: str) -> BackupError:
    """Say what an error of the disk means to a person.

    Args:
        error: what the system said.
        where: the file or folder, where the error does not name it.
    """
    place = str(error.filename or where)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BackupError(
            "the disk is full", place, "free space and run the same command again; it goes on where it stopped"
        )
    return BackupError(f"cannot write: {error.strerror or error}", place, "fix it and run the same command again")
