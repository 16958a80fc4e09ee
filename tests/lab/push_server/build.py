"""Packs the stand-in of the vendor's push server as an npm tarball: the same bytes, so the same SHA-256, each time.

Like the vendor's, the tarball needs no npm on the host. Its one library comes as a Debian package (`PACKAGES`), which
Debian's Node finds by itself. Usage: `python3 build.py DIRECTORY` writes `push-server-<version>.tgz` there and prints
its path, SHA-256 and packages as JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import tarfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "package"
PACKAGES = ("node-ws",)
"""Debian packages that hold the library named in package.json."""

_STORED_BLOCK = 65_535


@dataclass(frozen=True)
class Tarball:
    """What was built."""

    path: str
    sha256: str
    version: str
    packages: tuple[str, ...] = PACKAGES


def build(directory: Path) -> Tarball:
    """Write the tarball into `directory` and tell what it is."""
    version = json.loads((SOURCE / "package.json").read_text())["version"]
    content = _gzip(_tar())
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"push-server-{version}.tgz"
    path.write_bytes(content)
    return Tarball(str(path), hashlib.sha256(content).hexdigest(), version)


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(SOURCE.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(f"package/{path.relative_to(SOURCE).as_posix()}")
                entry.size = path.stat().st_size
                entry.mode = 0o755 if path.read_bytes().startswith(b"#!") else 0o644
                entry.mtime = 499_162_500  # the time that npm itself puts on every file
                with path.open("rb") as file:
                    archive.addfile(entry, file)
    return buffer.getvalue()


def _gzip(data: bytes) -> bytes:
    """Gzip with stored blocks only: what a compressor makes differs between versions of zlib, and so would the hash."""
    blocks = [data[at : at + _STORED_BLOCK] for at in range(0, len(data), _STORED_BLOCK)] or [b""]
    body = b"".join(
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, 1)
    )
    return bytes.fromhex("1f8b08000000000000ff") + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build.py DIRECTORY")
    print(json.dumps(asdict(build(Path(sys.argv[1])))))
