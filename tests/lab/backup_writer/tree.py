"""What of a document root goes into an archive, and in what order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BITRIX_SKIPPED = (
    "cache",
    "cache_image",
    "managed_cache",
    "managed_flags",
    "stack_cache",
    "html_pages",
    "tmp",
    "help",
    "updates",
)
UPLOAD_SKIPPED = ("tmp", "resize_cache")
CLOUD_FILES = b"bitrix/backup/clouds"


@dataclass(frozen=True)
class Entry:
    """A file or directory to archive: its path in the archive, where it lies, and its status (links followed)."""

    path: bytes
    source: bytes
    status: os.stat_result

    @property
    def directory(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


def skipped(upload: str = "upload") -> frozenset[bytes]:
    """The directories that no archive holds, as paths from the document root."""
    return frozenset(
        [f"bitrix/{name}".encode() for name in BITRIX_SKIPPED]
        + [f"{upload}/{name}".encode() for name in UPLOAD_SKIPPED]
    )


def entries(root: Path, *, upload: str = "upload") -> Iterator[Entry]:
    """Everything under the document root that is archived, in the order in which the directories list it.

    Links are followed; broken ones, and directory links that stay inside the root, are left out. Of `bitrix/backup`
    only the files fetched from cloud storage go in.
    """
    base = os.fsencode(root.resolve())
    yield from _walk(base, b"", base, skipped(upload))


def site_entries(root: Path, site: str) -> Iterator[Entry]:
    """An additional site's own files (not its shared `bitrix` and `upload`), under `bitrix/backup/sites/<site>/`."""
    base = os.fsencode(root.resolve())
    for entry in _walk(base, b"", base, frozenset((b"bitrix", b"upload"))):
        yield Entry(b"bitrix/backup/sites/" + site.encode() + b"/" + entry.path, entry.source, entry.status)


def _walk(directory: bytes, prefix: bytes, root: bytes, leave_out: frozenset[bytes]) -> Iterator[Entry]:
    with os.scandir(directory) as listing:
        for item in listing:
            path = prefix + item.name
            if path in leave_out:
                continue
            try:
                status = item.stat()
            except FileNotFoundError:  # a broken link, or gone since it was listed
                continue
            if stat.S_ISREG(status.st_mode):
                yield Entry(path, item.path, status)
            elif stat.S_ISDIR(status.st_mode):
                if item.is_symlink() and _inside(item.path, root):
                    continue
                if path == b"bitrix/backup":
                    yield from _cloud_files(item.path, root, leave_out)
                    continue
                yield Entry(path, item.path, status)
                yield from _walk(item.path, path + b"/", root, leave_out)


def _cloud_files(backup: bytes, root: bytes, leave_out: frozenset[bytes]) -> Iterator[Entry]:
    clouds = os.path.join(backup, b"clouds")  # noqa: PTH118 - paths are bytes here
    if os.path.isdir(clouds):  # noqa: PTH112
        yield Entry(CLOUD_FILES, clouds, os.stat(clouds))  # noqa: PTH116
        yield from _walk(clouds, CLOUD_FILES + b"/", root, leave_out)


def _inside(link: bytes, root: bytes) -> bool:
    return (os.path.realpath(link) + b"/").startswith(root + b"/")
