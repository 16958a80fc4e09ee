"""A stand-in for the vendor's cloud storage of backups: a list by licence key, and requests that soon are no good."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lab.misbehaving_server import Fault, Handler, MisbehavingServer


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class VendorStorageServer(MisbehavingServer):
    """Serves a folder as the vendor's storage does, with faults of its files.

    Args:
        directory: the folder.
        licence: the licence key that opens it.
        password: of its backups.
        uses: how many requests one answer is good for; None for any number.
        faults: how its files misbehave.
    """

    def __init__(
        self,
        directory: Path,
        licence: str,
        password: str,
        *,
        uses: int | None = None,
        faults: list[Fault] | None = None,
    ) -> None:
        super().__init__(directory, faults)
        self.licence = _md5(licence)
        self.check_word = _md5("BITRIXCLOUDSERVICE" + password)
        self.uses = uses
        self.keys: dict[str, int | None] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        """Address of the service."""
        return f"{self.url}backup.php"


class _StorageHandler(Handler):
    server: VendorStorageServer

    def do_GET(self) -> None:  # noqa: N802  (its base class names it)
        parts = urlsplit(self.path)
        if parts.path == "/backup.php":
            given = {name: values[0] for name, values in parse_qs(parts.query).items()}
            return self.page(self._service(given).encode())
        with self.server.lock:
            key = self.headers.get("X-Storage-Key", "")
            left = self.server.keys.get(key, 0)
            allowed = key in self.server.keys and left != 0
            if allowed and left is not None:
                self.server.keys[key] = left - 1
        return super().do_GET() if allowed else self._answer(403)

    def _service(self, given: dict[str, str]) -> str:
        if given.get("license") != self.server.licence:
            return "<error>LICENSE_NOT_FOUND</error>"
        if given.get("action") == "get_info":
            files = (path for path in self.server.directory.iterdir() if ".enc" in path.name)
            listed = "".join(f'<file name="{path.name}" size="{path.stat().st_size}"/>' for path in files)
            return f"<files>{listed}</files>"
        name = given.get("file_name", "")
        self.server.asked.append(name)
        if given.get("check_word") != self.server.check_word or not (self.server.directory / name).is_file():
            return "<error>WRONG_FILE_NAME_OR_CHECKWORD</error>"
        key = secrets.token_hex(8)
        with self.server.lock:
            self.server.keys[key] = self.server.uses
        host = self.server.url.removeprefix("http://").rstrip("/")
        return f'<file><host>{host}</host><path>/{name}</path><header name="X-Storage-Key" value="{key}"/></file>'


VendorStorageServer.handler = _StorageHandler
