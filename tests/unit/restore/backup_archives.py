"""The vendor's own archives, and a small maker of tar streams for what they do not hold."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures" / "backups"
PASSWORDS = {"plain": None, "encrypted": "correct horse", "uncompressed": None, "encrypted-raw": "correct horse"}


def tar_entry(name: bytes, data: bytes = b"", kind: bytes = b"0") -> bytes:
    """One member in the vendor's dialect."""
    stream = b""
    if len(name) > 100:
        stream += tar_entry(b"././@LongLink", name, b"L")
    header = bytearray(512)
    header[0 : len(name[:100])] = name[:100]
    for at, value in ((100, 0o644), (108, 0), (116, 0), (124, len(data)), (136, 0)):
        text = b"%o" % value
        header[at : at + len(text)] = text
    header[156:157] = kind
    header[148:156] = b" " * 8
    checksum = b"%o" % sum(header)
    header[148:156] = checksum.ljust(8, b"\0")
    return stream + bytes(header) + data + bytes(-len(data) % 512)


def gzip_volume(data: bytes, last: int | None = None) -> bytes:
    """One volume in the vendor's framing, of two data members."""
    extra = (b"LN" + struct.pack("<H", last) if last is not None else bytes(4)) + b"BX" + struct.pack("<I", len(data))
    volume = b"\x1f\x8b\x08\x04\0\0\0\0\0\x03" + struct.pack("<H", len(extra)) + extra
    empty = zlib.compressobj(wbits=-15)
    volume += empty.compress(b"") + empty.flush() + bytes(8)
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        member = zlib.compressobj(6, wbits=31)
        volume += member.compress(part) + member.flush()
    return volume


def write_archive(
    folder: Path, members: Iterable[tuple[bytes, bytes]], slot: int = 4096, name: str = "a.tar.gz"
) -> Path:
    """Write an archive of several volumes and return its first volume."""
    stream = b"".join(tar_entry(*member) for member in members)
    slots = [stream[at : at + slot] for at in range(0, len(stream), slot)]
    for number, data in enumerate(slots):
        content = (
            gzip_volume(data, len(slots) - 1 if number == 0 and len(slots) > 1 else None)
            if name.endswith(".gz")
            else data
        )
        (folder / (f"{name}.{number}" if number else name)).write_bytes(content)
    return folder / name
