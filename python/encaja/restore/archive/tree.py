"""Writing the site's tree, so that nothing leaves its folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from encaja.restore.archive.tars import Member
from encaja.restore.errors import BackupError, BackupUsageError, disk_error

_REMEMBERED = 10_000
"""Folders that a writer remembers to have made; one that it forgot is only looked at again."""
_DEEPEST = 256
"""Folders in folders; the writer takes no path of more than 512 bytes."""
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def safe_name(raw: bytes) -> bytes:
    """Turn a member's name into a path relative to the tree, in UTF-8.

    Names that are not UTF-8 are taken as cp1251, as the vendor's restore does.

    Raises:
        BackupError: the name would leave the tree.
    """
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if raw.startswith(b"/") or b".." in parts or not parts or b"\0" in raw:
        if raw.strip(b"/.") == b"" and b".." not in parts and not raw.startswith(b"/"):
            return b"."
        raise BackupError(f"a name that leaves the tree: {raw!r}", "", "do not trust this archive")
    if len(parts) > _DEEPEST:
        raise BackupError(f"a name of {len(parts)} folders in folders: {raw[:60]!r} …", "", "do not trust this archive")
    path = b"/".join(parts)
    try:
        path.decode()
    except UnicodeDecodeError:
        return path.decode("cp1251", errors="replace").encode()
    return path


class TreeWriter:
    """A sink that writes files and folders below a root.

    Args:
        root: the tree's folder; it must exist and hold nothing foreign.
        owner: user and group id for everything written; None leaves the process's own.
        file_mode: permission bits of files (the archive's own are not restored, as with the vendor's restore).
        folder_mode: permission bits of folders.
        rename: maps a safe relative path to where it goes, or None to leave it out.
    """

    def __init__(
        self,
        root: Path,
        *,
        owner: tuple[int, int] | None = None,
        file_mode: int = 0o644,
        folder_mode: int = 0o755,
        rename: Callable[[bytes], bytes | None] = lambda path: path,
    ) -> None:
        self._root = root
        self._owner = owner
        self._file_mode = file_mode
        self._folder_mode = folder_mode
        self._rename = rename
        self._umask = _umask()
        self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folders: set[bytes] = {b"", b"."}
        self._file: int | None = None
        self._path = b""
        self._written = 0
        self.files = 0
        self.bytes = 0

    def begin(self, member: Member) -> None:
        """Open the member's file or make its folder."""
        renamed = self._rename(safe_name(member.name))
        if renamed is None:
            return
        if member.directory:
            self._folder(renamed)
            return
        self._path = renamed
        self._written = 0
        folder = renamed.rpartition(b"/")[0]
        if folder not in self._folders:
            self._folder(folder)
        try:
            self._file = os.open(renamed, _FLAGS, self._file_mode, dir_fd=self._descriptor)
        except OSError as error:
            raise self._failure(error) from error
        if self._umask & self._file_mode:
            os.fchmod(self._file, self._file_mode)
        if self._owner:
            os.fchown(self._file, *self._owner)

    def data(self, piece: memoryview) -> None:
        """Write the next bytes."""
        if self._file is None:
            return
        try:
            while len(piece):
                count = os.write(self._file, piece)
                self._written += count
                piece = piece[count:]
        except OSError as error:
            raise self._failure(error) from error

    def end(self) -> None:
        """Close the member's file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self.files += 1
            self.bytes += self._written

    def state(self) -> dict[str, object]:
        """The file under way, and what was written, as plain values."""
        under_way = {"path": self._path.hex(), "written": self._written} if self._file is not None else None
        return {"file": under_way, "files": self.files, "bytes": self.bytes}

    def resume(self, state: dict[str, object]) -> None:
        """Go back to an earlier state: the file under way is cut to what it held then."""
        self.close()
        self.files = int(str(state["files"]))
        self.bytes = int(str(state["bytes"]))
        under_way = state["file"]
        if isinstance(under_way, dict):
            self._path = bytes.fromhex(under_way["path"])
            self._written = int(under_way["written"])
            try:
                self._file = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._descriptor)
                size = os.fstat(self._file).st_size
            except OSError as error:
                raise self._failure(error) from error
            if size < self._written:
                raise BackupError(
                    f"holds {size} bytes where the journal says {self._written}",
                    os.fsdecode(self._path),
                    "delete the new tree and the journal, and restore again",
                )
            os.ftruncate(self._file, self._written)
            os.lseek(self._file, self._written, os.SEEK_SET)

    def close(self) -> None:
        """Let go of the file under way."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def release(self) -> None:
        """Let go of the tree as well; the writer is of no use after it."""
        self.close()
        os.close(self._descriptor)

    def _folder(self, path: bytes) -> None:
        missing: list[bytes] = []
        if len(self._folders) > _REMEMBERED:
            self._folders = {b"", b"."}
        while path not in self._folders:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for folder in reversed(missing):
            try:
                os.mkdir(folder, self._folder_mode, dir_fd=self._descriptor)
            except FileExistsError:  # by a run that may have been killed before it gave it away
                is_folder = stat.S_ISDIR(os.stat(folder, dir_fd=self._descriptor, follow_symlinks=False).st_mode)
            except OSError as error:
                raise self._failure(error) from error
            else:
                is_folder = True
            if is_folder and self._umask & self._folder_mode:
                os.chmod(folder, self._folder_mode, dir_fd=self._descriptor)
            if is_folder and self._owner:
                os.chown(folder, *self._owner, dir_fd=self._descriptor, follow_symlinks=False)
            self._folders.add(folder)

    def _failure(self, error: OSError) -> BackupError:
        return disk_error(OSError(error.errno, error.strerror), str(self._root / os.fsdecode(self._path)))


def _umask() -> int:
    """The process's mask, read without changing it (another thread may be making files)."""
    found = re.search(r"^Umask:\s*([0-7]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1], 8) if found else 0o777


def prepare_destination(folder: Path) -> None:
    """Make the folder that a tree is unpacked to; refuse one that holds something.

    Raises:
        BackupUsageError: it is not empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BackupUsageError("the destination is not empty", str(folder), "name a new folder")
