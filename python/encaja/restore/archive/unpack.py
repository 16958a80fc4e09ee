"""Unpacking an archive into a folder, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from encaja.restore.archive.naming import VolumeSet
from encaja.restore.archive.stream import ArchiveStream, first_block, read_ahead
from encaja.restore.archive.tars import TarError, TarReader
from encaja.restore.archive.tree import TreeWriter, prepare_destination
from encaja.restore.archive.volume_set import expected_volumes
from encaja.restore.errors import BackupError, BadVolume


@dataclass(frozen=True)
class Unpacked:
    """What was written: number of files and their bytes."""

    files: int
    bytes: int


def require_complete(volumes: VolumeSet) -> int:
    """Check that all volumes that the archive speaks of are there.

    Returns:
        The number of volumes.

    Raises:
        BackupError: some are missing, or there are too many.
    """
    expected = expected_volumes(volumes)
    top = max(max(volumes.volumes) + 1, expected or 0)
    missing = [number for number in range(top) if number not in volumes.volumes]
    where = str(volumes.directory)
    if missing:
        names = ", ".join(str(volumes.first.volume(number)) for number in missing[:5]) + (
            " …" if len(missing) > 5 else ""
        )
        raise BackupError(
            f"{len(missing)} of {top} volumes are missing: {names}", where, "fetch them; what is there is kept"
        )
    if expected is not None and top > expected:
        raise BackupError(
            f"{top} volumes, but the first one says {expected}", where, "take away what is not this archive's"
        )
    return top


def unpack(
    volumes: VolumeSet,
    destination: Path,
    password: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Unpacked:
    """Write the archive's tree, dumps included, exactly as it is in the archive.

    Args:
        volumes: the archive; all its volumes must be there.
        destination: a new or empty folder.
        password: of an encrypted archive.
        progress: called with the stored bytes of each volume when it is done.

    Raises:
        BadVolume: a volume is damaged; its number and the reason are in the message.
        BackupError: the archive is not one, incomplete, or a name leaves the destination.
    """
    count = require_complete(volumes)
    stream = ArchiveStream(volumes.first, password)
    if volumes.first.encrypted:
        check_password(volumes, stream)
    prepare_destination(destination)
    writer = TreeWriter(destination)
    reader = TarReader(writer)
    number = 0
    try:
        for number in range(count):
            path = volumes.path(number)
            with read_ahead(stream.pieces(number, path)) as pieces:
                for piece in pieces:
                    reader.feed(piece)
            progress(path.stat().st_size)
        reader.finish()
    except TarError as error:
        raise BadVolume(number, error.what, str(volumes.path(number))) from error
    finally:
        writer.release()
    return Unpacked(writer.files, writer.bytes)


def check_password(volumes: VolumeSet, stream: ArchiveStream) -> None:
    """Find out at once whether the password opens the archive."""
    block = first_block(volumes.first, volumes.path(0))
    if len(block) == 512:
        stream.open(block, str(volumes.path(0)))
