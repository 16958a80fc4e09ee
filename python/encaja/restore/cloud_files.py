"""Files of the source portal's cloud that are not in the archive.

The manifest ``bitrix/restore_cloud.php`` or ``.txt`` has lines of ``YYYY-MM-DD HH:MM:SS SIZE PATH`` (a leading
``<?php`` line does not count). The file is at ``<mirror>/<PATH>`` and goes to ``upload/<PATH without its first part>``;
``cache/``, ``tmp/`` and ``test.txt`` at that level are left out; only the size tells whether a file is complete
(restore.php, 26 November 2023).
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

from encaja.restore.archive.tree import safe_name
from encaja.restore.errors import BackupError
from encaja.status import waiting_for

_LINE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\s+(\d+)\s(.+)")
_CONNECTIONS = 20
_ATTEMPTS = 4
_GONE = frozenset({403, 404, 410})
MISSING_LIST = "bitrix/restore_cloud_404.php"


@dataclass(frozen=True)
class CloudFile:
    """One file: its path at the mirrors, its place in the tree, its size in bytes."""

    path: str
    place: str
    size: int

    def present_in(self, tree: Path) -> bool:
        """Whether it is there in full size."""
        target = tree / self.place
        return target.is_file() and target.stat().st_size == self.size


@dataclass
class CloudReport:
    """What was fetched, what was there already, and what no mirror has."""

    fetched: int = 0
    present: int = 0
    missing: list[str] = field(default_factory=list)


def read_manifest(text: str, where: str) -> list[CloudFile]:
    """Read a manifest.

    Raises:
        BackupError: a line has another form; names the line.
    """
    files: list[CloudFile] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or (number == 1 and line.startswith("<?")):
            continue
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise BackupError(
                "not a line of a cloud manifest", f"{where}, line {number}", "have the vendor make it again"
            )
        inner = found[2].partition("/")[2]
        if not inner or inner.startswith(("cache/", "tmp/")) or inner == "test.txt":
            continue
        files.append(CloudFile(found[2], "upload/" + safe_name(inner.encode()).decode(), int(found[1])))
    return files


class CloudFetcher:
    """Fetches the files of a manifest into a tree, many at a time; those that are there in full size are left alone.

    Args:
        tree: the new tree.
        mirrors: addresses to try in order.
        owner: user and group id of what is written.
        pause_seconds: first pause before a retry.
        tell: called with what is waited for, from one thread at a time.
    """

    def __init__(
        self,
        tree: Path,
        mirrors: tuple[str, ...],
        owner: tuple[int, int] | None = None,
        pause_seconds: float = 1.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tree = tree
        self._mirrors = mirrors
        self._owner = owner
        self._pause = pause_seconds
        self._tell = tell
        self._lock = threading.Lock()
        self._ready: set[Path] = set()
        self._client = httpx.Client(
            verify=ssl.create_default_context(),
            follow_redirects=True,
            timeout=httpx.Timeout(30, pool=None),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            headers={"Accept-Encoding": "identity", "User-Agent": "encaja"},
        )

    def run(self, files: list[CloudFile], progress: Callable[[int], None] = lambda _: None) -> CloudReport:
        """Fetch.

        Args:
            files: what to fetch.
            progress: called with the size of every file that is done.
        """
        report = CloudReport()

        def one(file: CloudFile) -> None:
            present = file.present_in(self._tree)
            fetched = not present and self._fetch(file, self._tree / file.place)
            with self._lock:
                self._tell("")
                report.present += present
                report.fetched += fetched
                if not present and not fetched:
                    report.missing.append(file.path)
                progress(file.size)

        with self._client, ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(one, files))
        return report

    def _fetch(self, file: CloudFile, target: Path) -> bool:
        self._folders(target.parent)
        part = target.with_name(target.name + ".encaja-part")
        since = time.time()
        until = since + self._pause * (2**_ATTEMPTS - 1)
        for attempt in range(_ATTEMPTS):
            gone = 0
            for mirror in self._mirrors:
                try:
                    with self._client.stream("GET", f"{mirror}/{quote(file.path)}") as response:
                        gone += response.status_code in _GONE
                        size = self._write(part, response, file.size) if response.is_success else -1
                except httpx.HTTPError:
                    continue
                if size == file.size:
                    part.replace(target)
                    return True
            if gone == len(self._mirrors):
                break
            with self._lock:
                self._tell(waiting_for(f"{file.path} at {len(self._mirrors)} mirrors", "", since, until))
            time.sleep(self._pause * 2**attempt)
        part.unlink(missing_ok=True)
        return False

    def _write(self, part: Path, response: httpx.Response, size: int) -> int:
        written = 0
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as out:  # noqa: PTH123  (a descriptor)
            if self._owner:
                os.fchown(descriptor, *self._owner)
            for chunk in response.iter_raw():
                written += len(chunk)
                if written > size:
                    break
                out.write(chunk)
        return written

    def _folders(self, folder: Path) -> None:
        missing = []
        while folder != self._tree and folder not in self._ready:
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            if self._owner:  # also of one that a killed run made and did not give away
                os.chown(path, *self._owner)
            self._ready.add(path)
