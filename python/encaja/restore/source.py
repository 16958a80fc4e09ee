"""Where a restore gets its volumes: a folder that holds all of them, or a download under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from encaja.restore.archive import gzips, naming, verify_volume
from encaja.restore.archive.doubles import are_doubles
from encaja.restore.archive.stream import first_block
from encaja.restore.archive.unpack import require_complete
from encaja.restore.archive.volume_set import describe
from encaja.restore.errors import BackupError, BadVolume
from encaja.restore.fetch import Fetcher, FetchProgress

HEAD = 1 << 16
AHEAD = 6
"""Volumes that a restore with low disk use fetches past the one it reads."""


class VolumeSource(Protocol):
    """Gives the volumes in order.

    Attributes:
        name: name of the first volume.
        count: number of volumes.
        first_block: the archive's first 512 bytes without gzip; b"" where they are gone already.
        head: the first stored bytes.
        stored: bytes of all volumes.
        unpacked: unpacked bytes of all volumes, estimated where the form does not say.
        proven_first: volumes are verified before they are given.
    """

    name: naming.VolumeName
    count: int
    first_block: bytes
    head: bytes
    stored: int
    unpacked: int
    proven_first: bool

    def room(self, *, low_disk: bool) -> int:
        """Bytes that the volumes still take, or (negative) give back while they are consumed."""

    def wait(self, number: int, beat: Callable[[], None]) -> Path:
        """The file of a volume, as soon as it is there; ``beat`` is called meanwhile."""

    def reject(self, number: int, reason: str) -> None:
        """Reject a volume that turned out to be bad while it was read.

        Raises:
            BadVolume: there is no other to be had.
        """

    def consumed(self, number: int, *, delete: bool) -> None:
        """Note that a volume is not needed any more."""

    def progress(self) -> FetchProgress | None:
        """Progress of the download; None without one."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it volumes may be asked for."""

    def stop(self) -> None:
        """Stop soon."""


class Folder:
    """All volumes in one folder.

    Args:
        directory: the folder.
        begun: name of the archive and number of its volumes, when a restore of it has started: volumes that it does
            not need any more may be gone.
    """

    proven_first = False

    def __init__(self, directory: Path, begun: tuple[naming.VolumeName, int] | None = None) -> None:
        self.directory = directory
        self.first_block = self.head = b""
        self.stored = self.unpacked = self._largest = 0
        if begun:
            self.name, self.count = begun
            return
        volumes = naming.find_volumes(directory)
        self.name, self.count = volumes.first, require_complete(volumes)
        first = volumes.path(0)
        self.first_block = first_block(self.name, first)
        verify_volume.check_first_block(self.name, self.first_block, str(first))
        with first.open("rb") as opened:
            self.head = opened.read(HEAD)
        for number in range(1, self.count):
            if are_doubles(self.name, volumes.path(number), volumes.path(number - 1)):
                reason = f"volumes {number - 1} and {number} hold the same: one is the other's copy"
                raise BackupError(reason, str(volumes.path(number)), "copy both there again and rerun the command")
        found = describe(volumes)
        self.stored, self._largest = found.stored_bytes, max(found.sizes.values())
        self.unpacked = found.unpacked_bytes or found.stored_bytes * 4

    def room(self, *, low_disk: bool) -> int:
        """Volumes that are deleted as they are consumed give their room back, all but the one being read."""
        return self._largest - self.stored if low_disk else 0

    def _path(self, number: int) -> Path:
        return self.directory / str(self.name.volume(number))

    def wait(self, number: int, _beat: Callable[[], None] = lambda: None) -> Path:
        """It has to be there."""
        path = self._path(number)
        if not path.is_file():
            raise BackupError("the volume is missing", str(path), "copy it there and rerun the command")
        return path

    def reject(self, number: int, reason: str) -> None:
        """A person has to copy it there; name the others that are bad as well."""
        for other in range(number + 1, self.count):
            path = self._path(other)
            try:
                if not path.is_file():
                    reason += f"; volume {other} is missing"
                elif self.name.compressed:
                    gzips.prove_volume(path, other)
            except BadVolume as error:
                reason += f"; volume {other} too: {error.reason}"
        raise BadVolume(number, reason, str(self._path(number)))

    def consumed(self, number: int, *, delete: bool) -> None:
        """Delete it where asked to."""
        if delete:
            self._path(number).unlink(missing_ok=True)

    def progress(self) -> None:
        """Nothing is fetched."""
        return

    @contextmanager
    def running(self) -> Iterator[None]:
        """Nothing has to run."""
        yield

    def stop(self) -> None:
        """Nothing runs."""


class Download:
    """Volumes that are being downloaded.

    Args:
        fetcher: downloads them.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        fetcher.prepare()
        self._fetcher = fetcher
        self.name, self.count = fetcher.name, fetcher.count
        self.first_block, self.head = fetcher.first_block, fetcher.head
        self.stored = fetcher.first_size * self.count
        self.unpacked = (fetcher.unpacked_size or fetcher.first_size) * self.count
        self.proven_first = fetcher.name.compressed
        self.last_byte: float | None = None

    def room(self, *, low_disk: bool) -> int:
        """What is missing, or as much of it as is kept at a time."""
        missing = max(0, self.stored - self._fetcher.progress().done)
        return missing * min(AHEAD, self.count) // max(1, self.count) if low_disk else missing

    def wait(self, number: int, beat: Callable[[], None] = lambda: None) -> Path:
        """Wait until it is verified."""
        path = self._fetcher.wait(number, beat)
        if number == self.count - 1:
            self.last_byte = self.last_byte or time.monotonic()
        return path

    def reject(self, number: int, reason: str) -> None:
        """It is fetched again."""
        self._fetcher.reject(number, reason)

    def consumed(self, number: int, *, delete: bool) -> None:
        """Makes room for the next one."""
        self._fetcher.consumed(number, delete=delete)

    def progress(self) -> FetchProgress:
        """Progress of the download."""
        return self._fetcher.progress()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Fetch in the background."""

        def fetch() -> None:
            with suppress(BaseException):  # raised in ``wait``
                self._fetcher.run(hold=True)

        thread = threading.Thread(target=fetch, name="fetch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._fetcher.stop()
            thread.join()

    def stop(self) -> None:
        """Stop the download."""
        self._fetcher.stop()
