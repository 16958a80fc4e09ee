"""The gzip framing of a volume.

Each volume is a gzip file of several members. The first member is empty and carries an extra field of 10 bytes: ``LN``
and the number of the last volume (only in the first volume of several), then ``BX`` and the volume's unpacked size
modulo 2**32. A volume that was never closed has the ASCII digits ``0000`` there (main 26.250, ``CTar``; reader of
restore.php).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from encaja.restore.errors import BadVolume

HEADER_LENGTH = 22
"""Bytes of a volume that hold everything ``read_header`` looks at."""
_UNFINISHED = 0x30303030
_READ = 1 << 20
_OUTPUT = 4 << 20
_PIECE = 1 << 16
_WINDOW = 1 << 12
_HONEST_RATIO = 50
"""Unpacked bytes per stored one that no volume of a portal reaches as a whole; zlib itself reaches 1032."""
_UNDECLARED = 1 << 30
"""Bytes that a volume may unpack to that does not say how many; the vendor's class makes them no larger by default."""


@dataclass(frozen=True)
class VolumeHeader:
    """What a volume says about itself.

    Attributes:
        last: number of the archive's last volume; None when the volume does not say.
        size: unpacked bytes modulo 2**32; None when the volume does not say.
        unfinished: the writer never closed the volume.
    """

    last: int | None
    size: int | None
    unfinished: bool = False


def read_header(data: bytes) -> VolumeHeader | None:
    """Read the first bytes of a volume; None when they are not gzip at all."""
    if data[:3] != b"\x1f\x8b\x08":
        return None
    if len(data) < HEADER_LENGTH or data[3] != 4 or data[10:12] != b"\x0a\x00" or data[16:18] != b"BX":
        return VolumeHeader(None, None)
    (size,) = struct.unpack_from("<I", data, 18)
    last = struct.unpack_from("<H", data, 14)[0] if data[12:14] == b"LN" else None
    return VolumeHeader(last, None if size == _UNFINISHED else size, size == _UNFINISHED)


class GzipDecoder:
    """Unpacks a gzip stream of any number of members; zlib checks CRC and length of each one.

    Args:
        limit: bytes that it may unpack to; None for any number.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._member: zlib._Decompress | None = None
        self._limit = limit
        self._window = 0
        self.produced = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack more bytes, in pieces of about 4 MiB at most.

        Raises:
            zlib.error: the stream is damaged, or longer than it may be.
        """
        view, at, pending, held = memoryview(data), 0, [], 0
        while at < len(view):
            if self._member is None:  # what follows a member is copied: a short look, as it may be a short one
                self._member, self._window = zlib.decompressobj(wbits=31), _WINDOW
            given = view[at : at + self._window]
            output = self._member.decompress(given, _OUTPUT)
            at += len(given) - len(self._member.unconsumed_tail or self._member.unused_data)
            self._window = min(_READ, 2 * self._window)
            if self._member.eof:
                self._member = None
            self.produced += len(output)
            if self._limit is not None and self.produced > self._limit:
                raise zlib.error(f"it unpacks to more than the {self._limit} bytes that it may")
            pending.append(output)
            held += len(output)
            if held >= _PIECE or at == len(view):
                if held:
                    yield b"".join(pending)
                pending, held = [], 0

    def finish(self) -> None:
        """End the stream.

        Raises:
            zlib.error: it ends inside a member.
        """
        if self._member is not None:
            raise zlib.error("the stream ends before its last member does")


def most_unpacked(header: VolumeHeader, stored: int) -> int:
    """Bytes that a volume may unpack to, by what it declares modulo 2**32 and by its stored size."""
    honest = stored * _HONEST_RATIO
    if header.size is None:
        return max(_UNDECLARED, honest)
    return header.size + (max(0, honest - header.size) >> 32 << 32)


def read_volume(path: Path, number: int) -> Iterator[bytes]:
    """Unpack and verify a volume: gzip checksums, size field, whole 512-byte blocks.

    The pieces come before the volume is verified; the caller must be able to take them back.

    Raises:
        BadVolume: the volume is damaged, truncated or unfinished.
    """
    decoder = GzipDecoder()
    header: VolumeHeader | None = None
    with path.open("rb", buffering=0) as source:
        try:
            while data := source.read(_READ):
                if header is None:
                    header = read_header(data)
                    if header is None:
                        raise BadVolume(number, "it is not a gzip file", str(path))
                    if header.unfinished:
                        raise BadVolume(number, "its writer never finished it (size field 0000)", str(path))
                    decoder = GzipDecoder(most_unpacked(header, path.stat().st_size))
                yield from decoder.feed(data)
            decoder.finish()
        except zlib.error as error:
            reason = str(error).removeprefix("Error -3 while decompressing data: ")
            raise BadVolume(number, f"gzip: {reason} (after {decoder.produced} unpacked bytes)", str(path)) from error
    if header is None:
        raise BadVolume(number, "the file is empty", str(path))
    if header.size is not None and decoder.produced % (1 << 32) != header.size:
        raise BadVolume(number, f"unpacks to {decoder.produced} bytes, its size field says {header.size}", str(path))
    if header.size is not None and decoder.produced % 512:
        raise BadVolume(number, f"unpacks to {decoder.produced} bytes, no multiple of 512", str(path))


def prove_volume(path: Path, number: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Unpack a volume without keeping anything.

    Args:
        path: the file.
        number: its number in the archive.
        progress: called with the number of unpacked bytes of every piece.

    Returns:
        The unpacked size in bytes.
    """
    total = 0
    for piece in read_volume(path, number):
        total += len(piece)
        progress(len(piece))
    return total
