"""Writing files of the portal: atomically, with owner and mode kept, with a copy of what was there before."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..atomic import write_atomically
from ..errors import EncajaError

BACKUPS: Final = Path("/var/lib/encaja/kept")
"""Copies of changed files go here and not next to the file: below the document root they could be downloaded."""


@dataclass(frozen=True)
class Attributes:
    """Owner (user and group id) and permission bits of a file; None leaves what is there."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


def keep_copy(path: Path, backups: Path = BACKUPS) -> Path:
    """Copy the file to the directory of kept files (0700) under its flattened name and the time; returns the copy."""
    backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    name = str(path).strip("/").replace("/", "-")
    number = 0
    while True:
        copy = backups / f"{name}.{stamp}{f'-{number}' if number else ''}"
        try:
            descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(descriptor, "wb") as target:
            target.write(path.read_bytes())
        return copy


def write(path: Path, data: bytes, attributes: Attributes = Attributes()) -> None:
    """Replace the file; a link is followed, owner and mode are kept or set.

    A new file belongs to the owner of its directory: so the portal can read what root writes into its tree.

    Raises:
        EncajaError: the directory or file cannot be written; the old file is then as it was.
    """
    target = path.resolve()
    try:
        info = target.stat() if target.exists() else None
        owner = info or target.parent.stat()
        mode = attributes.mode if attributes.mode is not None else (info.st_mode & 0o7777 if info else 0o640)
        uid = attributes.uid if attributes.uid is not None else owner.st_uid
        gid = attributes.gid if attributes.gid is not None else owner.st_gid
        write_atomically(target, data, mode, (uid, gid))
    except OSError as fault:
        raise EncajaError(f"cannot be written: {fault.strerror}", str(path), "fix its permissions") from fault


def attributes_of(path: Path) -> Attributes:
    """Owner, group and mode that a file has now."""
    info = path.stat()
    return Attributes(info.st_uid, info.st_gid, info.st_mode & 0o7777)


def attributes_differ(path: Path, attributes: Attributes) -> bool:
    """Whether the file's owner, group or mode is another than wanted (what is None does not count)."""
    info = path.stat()
    return (
        (attributes.uid is not None and info.st_uid != attributes.uid)
        or (attributes.gid is not None and info.st_gid != attributes.gid)
        or (attributes.mode is not None and info.st_mode & 0o7777 != attributes.mode)
    )


def set_attributes(path: Path, attributes: Attributes) -> None:
    """Give the file the wanted owner, group and mode."""
    os.chown(path, -1 if attributes.uid is None else attributes.uid, -1 if attributes.gid is None else attributes.gid)
    if attributes.mode is not None:
        path.chmod(attributes.mode)
