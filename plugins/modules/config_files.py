#!/usr/bin/python
"""Host side of ``config_files``: bring a list of files, directories and links to their state at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Place all configuration files of a component in one round trip
description:
  - Renders the templates of a role on the controller and converges every file, directory and link in one call.
  - One task per role in place of one per file, because what a run costs is round trips.
  - Files are written beside their place and renamed. When O(validate) fails, every file is put back as it was.
options:
  files:
    description:
      - The files, in the order in which they are made. Each has exactly one of C(template) (a template of the role),
        C(content) (text), C(copy) (a file of the role), C(directory), C(link) (with C(to)) or C(absent).
      - The first three take C(dest). All but C(absent) take C(owner) (root), C(group) (root), C(mode) (0644,
        directories 0755).
      - C(secret=true) keeps the content out of diffs and results. C(force=false) leaves a file that exists alone.
      - Empty items are passed over, so that an item can be conditional.
    type: list
    elements: dict
    required: true
  validate:
    description: A command, without a shell, which must succeed when all files are in place.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Configure nginx
  encaja.portal.config_files:
    files:
      - {template: nginx.conf.j2, dest: /etc/nginx/nginx.conf}
      - {absent: /etc/nginx/sites-enabled/default}
    validate: nginx -t
  notify: Reload nginx
"""

RETURN = r"""
files_changed:
  description: Paths that were (or, in check mode, would be) changed.
  returned: always
  type: list
  elements: str
"""

import base64
import grp
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

HIDDEN = "(content not shown)\n"


def _uid(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"(binary, {len(data)} bytes)\n"


class Converger:
    """Compares and applies one item after another; remembers enough to put everything back."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.check: bool = module.check_mode
        self.changed: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self._undo: list[tuple[str, str | None]] = []
        self._kept = tempfile.mkdtemp(prefix="encaja-config-")

    def close(self) -> None:
        """Forget the copies kept for putting back."""
        shutil.rmtree(self._kept, ignore_errors=True)

    def restore(self) -> None:
        """Put every file back as it was before this call."""
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
        if self.module.params["diff"]:
            self.diffs.append({"before_header": path, "after_header": path, "before": before, "after": after})

    def _owner(self, item: dict[str, Any]) -> tuple[int, int] | None:
        try:
            return _uid(item["owner"]), _gid(item["group"])
        except KeyError as fault:
            if self.check:  # a package that is not installed yet makes its users
                return None
            raise ValueError(f"{item['path']}: no such owner or group: {fault}") from fault

    def _attributes(self, item: dict[str, Any], is_new: bool) -> None:
        path = item["path"]
        mode = int(item["mode"] or ("0755" if item["kind"] == "directory" else "0644"), 8)
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

    def file(self, item: dict[str, Any]) -> None:
        """Converge one regular file."""
        path = os.path.realpath(item["path"]) if os.path.islink(item["path"]) else item["path"]
        item = {**item, "path": path}
        wanted = base64.b64decode(item["content"])
        current = None
        if os.path.exists(path):
            if not os.path.isfile(path):
                raise ValueError(f"{path}: exists and is not a file")
            with open(path, "rb") as stream:
                current = stream.read()
        if current is not None and not item["force"]:
            return
        if current != wanted:
            hidden = item["secret"]
            before = "" if current is None else HIDDEN if hidden else _text(current)
            self._note(path, before, HIDDEN if hidden else _text(wanted))
            if not self.check:
                self._remember(path)
                self._write(path, wanted, item)
        self._attributes(item, is_new=current is None)

    def _write(self, path: str, data: bytes, item: dict[str, Any]) -> None:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise ValueError(f"{path}: its directory does not exist; list it before the file")
        handle, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(beside, int(item["mode"] or "0644", 8))
            owner = self._owner(item)
            if owner:
                os.chown(beside, *owner)
            os.rename(beside, path)
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise

    def directory(self, item: dict[str, Any]) -> None:
        """Converge one directory (parents are made with it)."""
        path = item["path"]
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
        self._attributes(item, is_new)

    def link(self, item: dict[str, Any]) -> None:
        """Converge one symbolic link."""
        path, target = item["path"], item["to"]
        if os.path.lexists(path) and not os.path.islink(path):
            raise ValueError(f"{path}: exists and is not a link")
        now = os.readlink(path) if os.path.islink(path) else ""
        if now == target:
            return
        self._note(path, f"-> {now}\n" if now else "", f"-> {target}\n")
        if not self.check:
            self._remember(path)
            beside = f"{path}.encaja-new"
            if os.path.lexists(beside):
                os.unlink(beside)
            os.symlink(target, beside)
            os.rename(beside, path)

    def absent(self, item: dict[str, Any]) -> None:
        """Remove one file or link. A directory is refused: it may hold what nobody listed."""
        path = item["path"]
        if not os.path.lexists(path):
            return
        if os.path.isdir(path) and not os.path.islink(path):
            raise ValueError(f"{path}: is a directory; 'absent' removes files and links only")
        self._note(path, "present\n", "")
        if not self.check:
            self._remember(path)
            os.unlink(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "kind": {"type": "str", "required": True},
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "no_log": True},
                    "to": {"type": "str"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str"},
                    "secret": {"type": "bool", "default": False, "no_log": False},
                    "force": {"type": "bool", "default": True},
                },
            },
            "validate": {"type": "str"},
            "diff": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    converger = Converger(module)
    error = ""
    try:
        for item in module.params["files"]:
            getattr(converger, item["kind"])(item)
        command = module.params["validate"]
        if command and converger.changed and not module.check_mode:
            done = subprocess.run(
                shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines()
                error = f"'{command}' refused the new files, the old ones are back: {' / '.join(lines[-5:])}"
    except (OSError, ValueError) as fault:
        error = f"{fault}; the files of this task are as they were before"
    if error:
        converger.restore()
    converger.close()
    if error:
        module.fail_json(msg=error)
    module.exit_json(changed=bool(converger.changed), files_changed=converger.changed, diff=converger.diffs)


if __name__ == "__main__":
    main()
