"""The items of ``config_files`` (files, directories, links): their form, and how they are converged."""

from __future__ import annotations

import base64
import grp
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import link_atomically, sync_folder

KINDS = ("template", "content", "copy", "directory", "link", "absent")
OPTIONS: dict[str, Any] = {
    "template": {"type": "str"},
    "content": {"type": "str", "no_log": True},
    "copy": {"type": "str"},
    "directory": {"type": "path"},
    "link": {"type": "path"},
    "absent": {"type": "path"},
    "dest": {"type": "path"},
    "to": {"type": "str"},
    "encoding": {"type": "str", "choices": ["text", "base64"], "default": "text"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "secret": {"type": "bool", "default": False, "no_log": False},
    "force": {"type": "bool", "default": True},
}
RULES: dict[str, Any] = {
    "mutually_exclusive": [KINDS],
    "required_one_of": [KINDS],
    "required_by": {"template": "dest", "content": "dest", "copy": "dest", "link": "to"},
}
HIDDEN = "(content not shown)\n"


def content_of(item: dict[str, Any]) -> bytes:
    """The wanted content of a file."""
    text: str = item["content"]
    return base64.b64decode(text) if item["encoding"] == "base64" else text.encode()


def recorded(item: dict[str, Any]) -> dict[str, Any]:
    """The item for the host's records, with the SHA-256 of its content instead of the content."""
    kept = {key: value for key, value in item.items() if key != "content" and value is not None}
    if item.get("content") is not None:
        kept["sha256"] = hashlib.sha256(content_of(item)).hexdigest()
    return kept


def _uid(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def path_of(item: dict[str, Any]) -> str:
    """The path of the item."""
    return str(next(item[key] for key in ("dest", "directory", "link", "absent") if item.get(key)))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"(binary, {len(data)} bytes)\n"


class Converger:
    """Compares and applies one item after another; keeps enough to restore everything."""

    def __init__(self, module: AnsibleModule, check: bool = False) -> None:
        self.module = module
        self.check: bool = check or module.check_mode
        self.changed: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self._undo: list[tuple[str, str | None]] = []
        self._kept = tempfile.mkdtemp(prefix="encaja-config-")

    def close(self) -> None:
        """Delete the copies kept for restoring."""
        shutil.rmtree(self._kept, ignore_errors=True)

    def restore(self) -> None:
        """Restore every file to its state before this call."""
        for path, copy in reversed(self._undo):
            if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
                os.unlink(path)
            elif os.path.isdir(path) and copy is None:
                shutil.rmtree(path)
            if copy is not None:
                shutil.move(copy, path)

    def _remember(self, path: str) -> None:
        copy = None
        if os.path.islink(path) or os.path.isfile(path):
            copy = os.path.join(self._kept, str(len(self._undo)))
            shutil.copy2(path, copy, follow_symlinks=False)
            if not os.path.islink(path):
                info = os.lstat(path)
                os.chown(copy, info.st_uid, info.st_gid)
        self._undo.append((path, copy))

    def _note(self, path: str, before: str, after: str) -> None:
        if path not in self.changed:
            self.changed.append(path)
        if self.module._diff:
            self.diffs.append({"before_header": path, "after_header": path, "before": before, "after": after})

    def _owner(self, item: dict[str, Any]) -> tuple[int, int] | None:
        try:
            return _uid(item["owner"]), _gid(item["group"])
        except KeyError as fault:
            if self.check:  # a package that is not installed yet creates its users
                return None
            raise ValueError(f"{path_of(item)}: no such owner or group: {fault}") from fault

    def _attributes(self, item: dict[str, Any], path: str, default: str, is_new: bool) -> None:
        mode = int(item.get("mode") or default, 8)
        owner = self._owner(item)
        if is_new and self.check:
            return
        now = os.lstat(path)
        have = (stat.S_IMODE(now.st_mode), (now.st_uid, now.st_gid))
        want = (mode, owner or have[1])
        if have == want:
            return
        if not is_new:
            self._note(
                path,
                f"mode {have[0]:04o} owner {have[1][0]}:{have[1][1]}\n",
                f"mode {want[0]:04o} owner {want[1][0]}:{want[1][1]}\n",
            )
        if not self.check:
            os.chown(path, *want[1])
            os.chmod(path, want[0])

    def converge(self, item: dict[str, Any]) -> None:
        """Converge one item."""
        for kind in ("directory", "link", "absent"):
            if item.get(kind):
                getattr(self, f"_{kind}")(item)
                return
        self._file(item)

    def _file(self, item: dict[str, Any]) -> None:
        path = os.path.realpath(item["dest"]) if os.path.islink(item["dest"]) else item["dest"]
        current = None
        if os.path.exists(path):
            if not os.path.isfile(path):
                raise ValueError(f"{path}: exists and is not a file")
            with open(path, "rb") as stream:
                current = stream.read()
        if current is not None and not item["force"]:
            return
        if current is None or hashlib.sha256(current).hexdigest() != recorded(item)["sha256"]:
            hidden = item["secret"] or "content" not in item
            before = "" if current is None else HIDDEN if hidden else _text(current)
            self._note(path, before, HIDDEN if hidden else _text(content_of(item)))
            if not self.check:
                self._remember(path)
                if current is not None:  # keep the attributes of the replaced file
                    self._attributes(item, path, "0644", is_new=False)
                self._write(path, content_of(item))
        self._attributes(item, path, "0644", is_new=current is None)

    def _write(self, path: str, data: bytes) -> None:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise ValueError(f"{path}: its directory does not exist; list it before the file")
        handle, new = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
        self.module.add_cleanup_file(new)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        self.module.atomic_move(new, path)
        sync_folder(Path(folder))

    def _directory(self, item: dict[str, Any]) -> None:
        """Converge a directory and its parents."""
        path = item["directory"]
        is_new = not os.path.isdir(path)
        if is_new:
            if os.path.lexists(path):
                raise ValueError(f"{path}: exists and is not a directory")
            self._note(path, "", "directory\n")
            if not self.check:
                missing = path
                while not os.path.isdir(os.path.dirname(missing)):
                    missing = os.path.dirname(missing)
                self._undo.append((missing, None))
                os.makedirs(path)
        self._attributes(item, path, "0755", is_new)

    def _link(self, item: dict[str, Any]) -> None:
        path, target = item["link"], item["to"]
        if os.path.lexists(path) and not os.path.islink(path):
            raise ValueError(f"{path}: exists and is not a link")
        now = os.readlink(path) if os.path.islink(path) else ""
        if now == target:
            return
        self._note(path, f"-> {now}\n" if now else "", f"-> {target}\n")
        if not self.check:
            self._remember(path)
            link_atomically(Path(path), target)

    def _absent(self, item: dict[str, Any]) -> None:
        """Remove a file or link; fails on a directory, which may contain other files."""
        path = item["absent"]
        if not os.path.lexists(path):
            return
        if os.path.isdir(path) and not os.path.islink(path):
            raise ValueError(f"{path}: is a directory; 'absent' removes files and links only")
        self._note(path, "present\n", "")
        if not self.check:
            self._remember(path)
            os.unlink(path)
