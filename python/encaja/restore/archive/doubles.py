"""A volume in its neighbour's place. Nothing in the format says which volume a file is (main 26.250, ``CTar``)."""

from __future__ import annotations

import filecmp
from pathlib import Path

from encaja.restore.archive.naming import VolumeName
from encaja.restore.archive.stream import ArchiveStream

_PERIOD = 512


def are_doubles(name: VolumeName, one: Path, other: Path) -> bool:
    """Whether one of two neighbouring volumes is the other's copy: within a long file no header would show it.

    Volumes further apart may be equal, where a file is in the archive twice; and any that repeat themselves, as those
    of an empty image do.

    Args:
        name: any volume's name of the archive.
        one: a volume's file.
        other: where its neighbour is, if it is there.
    """
    return other.is_file() and filecmp.cmp(one, other, shallow=False) and not _repeats_itself(name, one)


def _repeats_itself(name: VolumeName, file: Path) -> bool:
    tail = b""
    for piece in ArchiveStream(name).unpacked(0, file):
        data = tail + piece
        if data[_PERIOD:] != data[:-_PERIOD]:
            return False
        tail = data[-_PERIOD:]
    return True
