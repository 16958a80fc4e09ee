"""A plain reading of an archive for comparison: written apart from the writer, so that it cannot share its mistakes."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

FIXTURES = Path(__file__).parents[2] / "fixtures" / "backups"
PASSWORD = b"correct horse"


@dataclass(frozen=True)
class Volume:
    path: Path
    content: bytes
    members: tuple[tuple[bytes, bytes], ...]
    """Packed and unpacked bytes of every gzip member; one pair of the same bytes where there is no gzip."""

    @property
    def unpacked(self) -> bytes:
        return b"".join(data for _, data in self.members)


@dataclass(frozen=True)
class TarEntry:
    header: bytes
    """Every header block, that of a long name with its data block included."""
    path: bytes
    content: bytes

    def number(self, start: int, width: int) -> int:
        field = self.header[-512:][start : start + width]
        return int(field.rstrip(b"\0") or b"0", 8)

    @property
    def kind(self) -> bytes:
        return self.header[-512:][156:157]


def volumes(directory: Path) -> list[Volume]:
    found = [path for path in directory.iterdir() if re.search(r"\.(tar|enc)(\.gz)?(\.\d+)?$", path.name)]
    found.sort(key=lambda path: int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0)
    return [_volume(path) for path in found]


def stream(archive: list[Volume]) -> bytes:
    """The tar stream in clear, without the service block."""
    data = b"".join(volume.unpacked for volume in archive)
    return decrypted(data[512:]) if ".enc" in archive[0].path.name else data


def decrypted(data: bytes) -> bytes:
    key = hashlib.md5(PASSWORD, usedforsecurity=False).hexdigest().encode()
    context = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
    return context.update(data) + context.finalize()


def entries(data: bytes) -> list[TarEntry]:
    found = []
    position = 0
    while position < len(data):
        start = position
        long_name = b""
        header = data[position : position + 512]
        if header[156:157] == b"L":
            size = int(header[124:136].rstrip(b"\0"), 8)
            long_name = data[position + 512 : position + 512 + size]
            position += 1024
            header = data[position : position + 512]
        size = int(header[124:136].rstrip(b"\0") or b"0", 8)
        body = position + 512
        found.append(
            TarEntry(data[start:body], long_name or header[:100].rstrip(b"\0"), data[body : body + size]),
        )
        position = body + -(-size // 512) * 512
    return found


def _volume(path: Path) -> Volume:
    content = path.read_bytes()
    if ".gz" not in path.name:
        return Volume(path, content, ((content, content),))
    members = []
    rest = content
    while rest:
        inflate = zlib.decompressobj(31)
        data = inflate.decompress(rest)
        assert inflate.eof, f"{path.name} ends inside a gzip member"
        members.append((rest[: len(rest) - len(inflate.unused_data)], data))
        rest = inflate.unused_data
    return Volume(path, content, tuple(members))
