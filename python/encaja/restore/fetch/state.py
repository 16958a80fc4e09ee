"""What was fetched so far, on disk next to the volumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from encaja.atomic import write_atomically
from encaja.restore.errors import BackupError

FILE_NAME = ".encaja-fetch.json"


def merge(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort intervals and join those that touch; ends are exclusive."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def gaps(intervals: list[tuple[int, int]], size: int, piece: int) -> list[tuple[int, int]]:
    """What is missing of ``size`` bytes, in pieces of at most ``piece`` bytes."""
    missing: list[tuple[int, int]] = []
    position = 0
    for start, end in [*merge(intervals), (size, size)]:
        while position < min(start, size):
            stop = min(position + piece, start, size)
            missing.append((position, stop))
            position = stop
        position = max(position, end)
    return missing


@dataclass
class VolumeState:
    """One volume.

    Attributes:
        state: ``new``, ``partial``, ``good`` (verified), ``used`` (verified, consumed and deleted) or ``failed``.
        size: stored bytes, once the server has said.
        etag: the server's tag of the content.
        done: intervals of bytes that are in the part file.
        rejected: how many times it arrived damaged.
        digest: MD5 of the content that was rejected last.
        reason: why it is not good.
        modified: modification time in ns of the verified file.
    """

    state: str = "new"
    size: int | None = None
    etag: str | None = None
    done: list[tuple[int, int]] = field(default_factory=list)
    rejected: int = 0
    digest: str | None = None
    reason: str = ""
    modified: int | None = None


@dataclass
class FetchState:
    """The state of one archive's download.

    Attributes:
        archive: name of the first volume.
        count: number of volumes.
        unpacked_size: unpacked bytes of every volume but the last.
        first_block: the archive's first 512 bytes, in hexadecimal.
        volumes: the volumes by number.
    """

    archive: str
    count: int | None = None
    unpacked_size: int | None = None
    first_block: str = ""
    volumes: dict[int, VolumeState] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Write it next to the volumes."""
        content = asdict(self)
        content["volumes"] = {str(number): asdict(volume) for number, volume in self.volumes.items()}
        write_atomically(directory / FILE_NAME, json.dumps(content).encode())


def load_state(directory: Path, archive: str) -> FetchState:
    """Read the state of an earlier run; a new one when there was none.

    Raises:
        BackupError: the folder belongs to another archive.
    """
    file = directory / FILE_NAME
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return FetchState(archive)
    except ValueError:
        return FetchState(archive)  # volumes that are there are verified again
    if content["archive"] != archive:
        raise BackupError(
            f"this folder holds {content['archive']}, the link leads to {archive}", str(directory), "use another folder"
        )
    volumes = {
        int(number): VolumeState(**{**volume, "done": [(start, end) for start, end in volume["done"]]})
        for number, volume in content["volumes"].items()
    }
    return FetchState(archive, content["count"], content["unpacked_size"], content["first_block"], volumes)
