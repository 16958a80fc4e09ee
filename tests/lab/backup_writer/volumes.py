"""Volumes of an archive: cut on uncompressed bytes, each a gzip file of its own that tells its size in its header."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from .errors import BackupWriterError
from .tar import BLOCK

DEFAULT_LIMIT = 104_857_600
"""Uncompressed bytes in every volume but the last, as the vendor's settings have it."""

DEFAULT_HIT = 8 * 1024 * 1024
"""Uncompressed bytes that go into one gzip member. The vendor starts a member with each of its timed steps ("hits");
a fixed size makes the same archive each time, and is what the worker threads share."""

_UNFINISHED = b"0000"
_LAST_VOLUME_AT = 12
_SIZE_AT = 18
_GZIP_HEADER = bytes.fromhex("1f8b0800000000000003")
_EMPTY_MEMBER = bytes.fromhex("000000ffff0300") + bytes(8)


def first_member(size: bytes = _UNFINISHED) -> bytes:
    """The empty gzip member at a volume's front; `size` is four bytes, "0000" as long as the volume is unfinished.

    Bytes 12-15 stay zero until the number of the last volume is known ("LN", first volume only).
    """
    extra = bytes(4) + b"BX" + size
    return bytes.fromhex("1f8b0804000000000003") + struct.pack("<H", len(extra)) + extra + _EMPTY_MEMBER


def member(data: bytes, level: int) -> bytes:
    """One gzip member with the plain ten-byte header that the vendor's writer leaves."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join(
        (
            _GZIP_HEADER,
            deflate.compress(data),
            deflate.flush(),
            struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF),
        )
    )


class VolumeWriter:
    """Takes a stream of bytes and leaves `first`, `first.1`, `first.2` …

    Compression and encryption run in threads; what is written is in order and does not depend on their number.
    `preamble` goes before the stream as it is, unencrypted, and counts towards the first volume's size.
    """

    def __init__(
        self,
        first: Path,
        *,
        limit: int = DEFAULT_LIMIT,
        compress: bool = True,
        level: int = 6,
        hit: int = DEFAULT_HIT,
        encrypt: Callable[[bytes], bytes] | None = None,
        preamble: bytes = b"",
        threads: int | None = None,
    ) -> None:
        for name, value in (("volume size", limit), ("hit size", hit)):
            if value < BLOCK or value % BLOCK:
                raise BackupWriterError(f"A {name} of {value} bytes is not a multiple of {BLOCK}")
        self.first = first
        self.volumes = 0
        self.size = 0
        self._limit, self._hit, self._level = limit, hit, level
        self._compress, self._encrypt = compress, encrypt
        self._lead = preamble
        self._chunks: list[bytes] = []
        self._buffered = len(preamble)
        self._queued_in_volume = 0
        self._written_in_volume = 0
        self._file: BinaryIO | None = None
        threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads)
        self._depth = threads + 1
        self._pending: deque[tuple[Future[bytes], int]] = deque()

    def write(self, data: bytes) -> None:
        """Append bytes; memory held stays at a few hits whatever the size of `data`."""
        view = memoryview(data)
        while view:
            room = min(self._hit, self._limit - self._queued_in_volume) - self._buffered
            piece = bytes(view[:room])
            self._chunks.append(piece)
            self._buffered += len(piece)
            view = view[room:]
            if len(piece) == room:
                self._submit()

    def close(self) -> None:
        """Write what is left, finish the last volume and tell the first one how many there are."""
        self._submit()
        while self._pending:
            self._take()
        self._close_volume()
        if self._compress and self.volumes > 1:
            with self.first.open("r+b") as file:
                file.seek(_LAST_VOLUME_AT)
                file.write(b"LN" + struct.pack("<H", self.volumes - 1))
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._pool.shutdown(cancel_futures=True)
        if self._file is not None:
            self._file.close()

    def _submit(self) -> None:
        if not self._buffered:
            return
        self._pending.append((self._pool.submit(self._pack, self._lead, b"".join(self._chunks)), self._buffered))
        self._queued_in_volume = (self._queued_in_volume + self._buffered) % self._limit
        self._lead, self._chunks, self._buffered = b"", [], 0
        while len(self._pending) > self._depth:
            self._take()

    def _pack(self, lead: bytes, data: bytes) -> bytes:
        data = lead + (self._encrypt(data) if self._encrypt is not None else data)
        return member(data, self._level) if self._compress else data

    def _take(self) -> None:
        future, size = self._pending.popleft()
        packed = future.result()
        if self._written_in_volume == self._limit:
            self._close_volume()
        if self._file is None:
            self._open_volume()
        assert self._file is not None
        self._file.write(packed)
        self._written_in_volume += size
        self.size += size

    def _open_volume(self) -> None:
        path = self.first if not self.volumes else self.first.with_name(f"{self.first.name}.{self.volumes}")
        self._file = path.open("wb")
        self.volumes += 1
        self._written_in_volume = 0
        if self._compress:
            self._file.write(first_member())

    def _close_volume(self) -> None:
        if self._file is None:
            return
        if self._compress:
            self._file.seek(_SIZE_AT)
            self._file.write(struct.pack("<I", self._written_in_volume & 0xFFFFFFFF))
        self._file.close()
        self._file = None
