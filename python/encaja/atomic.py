"""Replacing a file so that a crash or a full disk leaves either its old content or its new one."""

from __future__ import annotations

import os
from pathlib import Path

from encaja.status import sync_folder


def write_atomically(path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace a file in one step, its new content on the disk before, and that it is in its place afterwards.

    Args:
        path: the file; its folder must exist.
        data: the new content.
        mode: permission bits.
        owner: user and group id; None leaves the process's own.

    Raises:
        OSError: it cannot be written; the old content is still there.
    """
    beside = path.with_name(f"{path.name}.encaja-new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:  # noqa: PTH123  (a descriptor)
        stream.write(data)
        stream.flush()
        os.fchmod(descriptor, mode)
        if owner:
            os.fchown(descriptor, *owner)
        os.fsync(descriptor)
    beside.replace(path)
    sync_folder(path.parent)
