"""From volumes to the one tar stream of an archive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from encaja.restore.archive import crypt, gzips
from encaja.restore.archive.naming import VolumeName
from encaja.restore.errors import BackupError, BadVolume

_READ = 1 << 20


def _raw_volume(path: Path, number: int) -> Iterator[bytes]:
    total = 0
    with path.open("rb", buffering=0) as source:
        while data := source.read(_READ):
            total += len(data)
            yield data
    if not total or total % 512:
        raise BadVolume(number, f"{total} bytes, no multiple of 512", str(path))


class ArchiveStream:
    """Unpacks and decrypts volumes in their order.

    Args:
        name: any volume's name of the archive.
        password: of an encrypted archive.
        header: the first 512 bytes of an encrypted archive, when the reading does not begin at volume 0.
    """

    def __init__(self, name: VolumeName, password: str | None = None, header: bytes | None = None) -> None:
        self.name = name
        self._password = password
        self._decryptor: crypt.Decryptor | None = None
        self.header = b""
        if header:
            self.open(header)

    def open(self, header: bytes, where: str = "") -> None:
        """Check the password against the first 512 bytes of the archive and choose the cipher."""
        self._decryptor = crypt.open_header(header, self._password, where)
        self.header = header[: crypt.HEADER_LENGTH]

    @property
    def decryptor(self) -> crypt.Decryptor | None:
        """The cipher, once the header was opened."""
        return self._decryptor

    @property
    def cipher(self) -> str | None:
        """Name of the cipher, once known."""
        return self._decryptor.name if self._decryptor else None

    def unpacked(self, number: int, path: Path) -> Iterator[bytes]:
        """The bytes of one volume without its gzip layer, still encrypted; proves the volume as far as its form can."""
        return gzips.read_volume(path, number) if self.name.compressed else _raw_volume(path, number)

    def pieces(self, number: int, path: Path) -> Iterator[bytes]:
        """The tar bytes of one volume; proves the volume as far as its form can.

        Raises:
            BadVolume: the volume is damaged; what it gave before must be taken back.
            WrongPassword: the password does not open the archive.
        """
        if not self.name.encrypted:
            yield from self.unpacked(number, path)
            return
        block = b""
        for data in self.unpacked(number, path):
            if number == 0 and len(block) < crypt.HEADER_LENGTH:
                block += data
                if len(block) < crypt.HEADER_LENGTH:
                    continue
                self.open(block[: crypt.HEADER_LENGTH], str(path))
                data = block[crypt.HEADER_LENGTH :]  # noqa: PLW2901  (what is left of the piece)
            if self._decryptor is None:
                raise BackupError("the first volume has to be read before the others", str(path))
            yield self._decryptor.update(data)
        if number == 0 and len(block) < crypt.HEADER_LENGTH:
            raise BadVolume(number, "too short to hold the encryption's header", str(path))


def first_block(name: VolumeName, path: Path) -> bytes:
    """The first 512 bytes of an archive without its gzip layer; fewer when the volume is too short or damaged."""
    block = b""
    try:
        for data in ArchiveStream(name).unpacked(0, path):
            block += data
            if len(block) >= crypt.HEADER_LENGTH:
                break
    except BadVolume:
        pass
    return block[: crypt.HEADER_LENGTH]


@contextmanager
def read_ahead(pieces: Iterator[bytes], depth: int = 3) -> Generator[Iterator[bytes]]:
    """Run a source in a thread of its own, at most ``depth`` pieces ahead of its reader.

    zlib and OpenSSL let go of the interpreter while they work, so unpacking and writing overlap. Errors of the source
    reach the reader at the place where they happened.
    """
    pipe: queue.Queue[bytes | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                pipe.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for piece in pieces:
                if not put(piece):
                    return
            put(None)
        except BaseException as error:
            put(error)

    def drain() -> Iterator[bytes]:
        while (item := pipe.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield drain()
    finally:
        stopped.set()
        thread.join()
