"""Replacing a file or link so that a crash, a full disk or a loss of power leaves the old one or the new one.

Modules and host tools share this one. Two files keep a copy of their own, because each is delivered alone and needs
nothing but the standard library: ``nightly_backup.py`` on hosts, and the run-book's supervisor, started by its path.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(
    path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None, *, durable: bool = True
) -> None:
    """Replace a file in one step.

    The new content is written to a file of another name in the same folder, which nobody can have prepared.

    Args:
        path: the file; its folder must exist. A link is replaced, not followed.
        data: the new content.
        mode: permission bits, whatever the umask.
        owner: user and group id; None leaves the process's own.
        durable: content and name are on the disk afterwards.

    Raises:
        OSError: it cannot be written; the old content is still there.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if owner:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            if durable:
                os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    if durable:
        sync_folder(path.parent)


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner only; a device or pipe is written to as it is.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
    else:
        write_atomically(path, text.encode())


def link_atomically(link: Path, target: str | Path) -> None:
    """Make a symbolic link in one step, in place of a link or file of that name; it is on the disk afterwards."""
    temporary = link.with_name(f".{link.name}.encaja-new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_folder(link.parent)


def sync_folder(folder: Path) -> None:
    """Force to the disk which names a folder holds: a file renamed into it may otherwise be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
