"""What an npm tarball of the push server holds, read without unpacking it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath

DEBIAN_LIBRARIES = ("/usr/share/nodejs", "/usr/lib/nodejs")


class TarballError(Exception):
    """It is not the push server's npm tarball."""


@dataclass(frozen=True)
class Tarball:
    """Its SHA-256, the libraries that the program needs, and those that come with it."""

    sha256: str
    needed: tuple[str, ...]
    held: tuple[str, ...]


def read_tarball(content: bytes) -> Tarball:
    """Read a tarball's bytes.

    Raises:
        TarballError: it cannot be read, or is another package's.
    """
    described: object = None
    has_server = False
    held: list[str] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for entry in archive:
                parts = PurePosixPath(entry.name).parts
                if parts == ("package", "package.json"):
                    read = archive.extractfile(entry)
                    described = json.load(read) if read else None
                elif parts == ("package", "server.js"):
                    has_server = True
                elif parts[:2] == ("package", "node_modules") and parts[-1] == "package.json" and len(parts) in (4, 5):
                    held.append("/".join(parts[2:-1]))
    except (tarfile.TarError, EOFError, OSError, ValueError) as fault:
        raise TarballError(f"cannot be read: {fault}") from fault
    if not isinstance(described, dict):
        raise TarballError("has no package/package.json, so it is not an npm tarball")
    if described.get("name") != "push-server" or not has_server:
        raise TarballError(f"is package {described.get('name')!r}, not push-server with a server.js")
    digest = hashlib.sha256(content).hexdigest()
    return Tarball(digest, tuple(sorted(described.get("dependencies") or {})), tuple(sorted(held)))
