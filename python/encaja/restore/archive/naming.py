"""Names of archives and volumes.

The vendor's names: ``<stem><suffix>`` with the suffix ``.tar``, ``.tar.gz``, ``.enc`` or ``.enc.gz``; the first
volume has
no number, the next ones are ``<stem><suffix>.1``, ``.2`` … (main 26.250, ``getNextName`` and ``getFirstName``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from encaja.restore.errors import BackupUsageError

MOST = 1 << 16
"""Volumes that an archive may have: the format holds the last one's number in 16 bits."""
_NAME = re.compile(r"(?P<stem>.+?)(?P<suffix>\.(?:tar|enc)(?:\.gz)?)(?:\.(?P<number>[1-9][0-9]{0,4}))?", re.DOTALL)


@dataclass(frozen=True, order=True)
class VolumeName:
    """The parsed name of one volume; sorts by archive, then naturally by number (10 after 9)."""

    stem: str
    suffix: str
    number: int = 0

    @classmethod
    def parse(cls, name: str) -> VolumeName | None:
        """Parse a file name; None when it is not the name of a volume, or of one that no archive has."""
        found = _NAME.fullmatch(name)
        number = int(found["number"] or 0) if found else MOST
        return cls(found["stem"], found["suffix"], number) if found and number < MOST else None

    @classmethod
    def require(cls, name: str, where: str = "") -> VolumeName:
        """Parse a file name.

        Raises:
            BackupUsageError: it is not the name of a volume.
        """
        parsed = cls.parse(name)
        if parsed is None:
            raise BackupUsageError(
                f"{name!r} is not the name of a backup volume", where, "it ends in .tar, .tar.gz, .enc or .enc.gz"
            )
        return parsed

    @property
    def archive(self) -> str:
        """The name of the first volume, which names the archive."""
        return f"{self.stem}{self.suffix}"

    @property
    def encrypted(self) -> bool:
        """Whether the form is ``.enc`` or ``.enc.gz``."""
        return self.suffix.startswith(".enc")

    @property
    def compressed(self) -> bool:
        """Whether every volume is a gzip file."""
        return self.suffix.endswith(".gz")

    def volume(self, number: int) -> VolumeName:
        """Name another volume of the same archive."""
        return VolumeName(self.stem, self.suffix, number)

    def __str__(self) -> str:
        return f"{self.archive}.{self.number}" if self.number else self.archive


@dataclass(frozen=True)
class VolumeSet:
    """The volumes of one archive that lie in a folder, by number; gaps are possible."""

    directory: Path
    first: VolumeName
    volumes: dict[int, Path]

    def path(self, number: int) -> Path:
        """Where a volume lies or would lie."""
        return self.directory / str(self.first.volume(number))

    @property
    def gaps(self) -> list[int]:
        """Numbers missing below the highest one that is there."""
        return [number for number in range(max(self.volumes, default=0)) if number not in self.volumes]


def find_volumes(place: Path) -> VolumeSet:
    """Find the volumes of the one archive at a place.

    Args:
        place: a folder holding one archive, or any volume of the archive.

    Raises:
        BackupUsageError: nothing is there, or more than one archive is.
    """
    directory = place if place.is_dir() else place.parent
    if not directory.is_dir() or (not place.exists() and VolumeName.parse(place.name) is None):
        where = directory if not directory.is_dir() else place
        raise BackupUsageError("no such folder", str(where), "name the folder of the backup or its first volume")
    archives: dict[str, dict[int, Path]] = {}
    for entry in directory.iterdir():
        parsed = VolumeName.parse(entry.name)
        if parsed and entry.is_file():
            archives.setdefault(parsed.archive, {})[parsed.number] = entry
    if place.is_dir():
        if not archives:
            raise BackupUsageError(
                "no backup here", str(directory), "its volumes end in .tar, .tar.gz, .enc or .enc.gz, and .1, .2 …"
            )
        if len(archives) > 1:
            names = ", ".join(sorted(archives))
            raise BackupUsageError(
                f"{len(archives)} archives in one folder: {names}", str(directory), "name the first volume of one"
            )
        archive = next(iter(archives))
    else:
        archive = VolumeName.require(place.name, str(directory)).archive
        if archive not in archives:
            raise BackupUsageError("no such backup", str(place), "check the name")
    return VolumeSet(directory, VolumeName.require(archive), dict(sorted(archives[archive].items())))
