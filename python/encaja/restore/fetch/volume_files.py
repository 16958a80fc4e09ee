"""The file of a volume while it arrives."""

from __future__ import annotations

import os
from pathlib import Path

from encaja.restore.errors import BackupError, disk_error


class PartFile:
    """``<volume>.part``, written at any place by several connections, renamed when the volume is proven.

    Args:
        final: the volume's own name.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = final.with_name(f"{final.name}.part")
        self._descriptor: int | None = None
        self._retired: list[int] = []

    def open(self) -> int:
        """Descriptor to write to."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._descriptor

    def duplicate(self) -> int | None:
        """Another descriptor of the same file, to force it to the disk; None while the file is not open."""
        return None if self._descriptor is None else os.dup(self._descriptor)

    def allocate(self, number: int, size: int) -> None:
        """Reserve the space, so that a full disk is found before the download and not in its middle.

        Raises:
            BackupError: there is no room.
        """
        try:
            os.posix_fallocate(self.open(), 0, max(1, size))
            os.ftruncate(self.open(), size)
        except OSError as error:
            raise BackupError(
                f"no room for volume {number} of {size} bytes: {error.strerror}",
                str(self.path.parent),
                "free space and rerun the command",
            ) from error

    def write(self, descriptor: int, data: bytes, position: int) -> None:
        """Write at a place.

        Raises:
            BackupError: the disk is full or broken.
        """
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(descriptor, view, position)
                position += written
                view = view[written:]
        except OSError as error:
            raise disk_error(error, str(self.path)) from error

    def detach(self) -> int | None:
        """Take the descriptor away; who takes it closes it."""
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def discard(self) -> None:
        """Delete what arrived; the descriptor stays open until ``release``, for a connection that is just writing."""
        if self._descriptor is not None:
            self._retired.append(self._descriptor)
            self._descriptor = None
        for file in (self.path, self.final):
            file.unlink(missing_ok=True)

    def release(self) -> None:
        """Nobody writes any more to what was discarded."""
        while self._retired:
            os.close(self._retired.pop())

    def close(self) -> None:
        """Let go of the file."""
        self.release()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
