#!/usr/bin/python
"""Unpacks an npm tarball into a new directory, if it is complete and can run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: push_release
short_description: Install a release of the push server from its npm tarball
description:
  - Checks the tarball's SHA-256, unpacks it to a temporary directory, checks that its libraries are found, and moves it
    into place.
  - All failures occur before O(directory) exists, so an existing directory is a complete release.
  - Libraries may be in the tarball, in Debian packages, or installed by C(npm) where the host has it, as O(lock) pins
    them with their hashes, by O(user) and without scripts of theirs.
  - Older releases are removed except the previous one. The tarball is removed.
options:
  tarball:
    description: Path of the tarball on the host. It may be missing in check mode.
    type: path
    required: true
  sha256:
    description: SHA-256 of the tarball.
    type: str
    required: true
  directory:
    description: Directory of the release. An existing one is not changed.
    type: path
    required: true
  lock:
    description: Content of a C(package-lock.json) of the tarball, of version 2 or later, for what C(npm) installs.
    type: str
    default: ""
  user:
    description: Who runs C(npm).
    type: str
    default: push-server
author: encaja
"""

EXAMPLES = r"""
- name: Unpack the release
  encaja.portal.push_release:
    tarball: /var/cache/push-server.tgz
    sha256: "{{ push_tarball_sha256 }}"
    directory: /opt/push-server-releases/1f0c
"""

RETURN = r"""
version:
  description: Version in the tarball.
  returned: when it was unpacked
  type: str
npm:
  description: Whether npm had to install libraries.
  returned: when it was unpacked
  type: bool
"""

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.module_utils.basic import AnsibleModule

PREFIX = "package"
MISSING = """
const { createRequire } = require('module');
const { existsSync } = require('fs');
const [directory, ...names] = process.argv.slice(1);
const own = createRequire(directory + '/server.js');
const found = (name) => {
  if (existsSync(`${directory}/node_modules/${name}/package.json`)) return true;
  try { own.resolve(name); return true; } catch { return false; }
};
console.log(JSON.stringify(names.filter((name) => !found(name))));
"""


class ReleaseError(Exception):
    """The tarball cannot be installed."""


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unpack(tarball: Path, to: Path) -> dict[str, Any]:
    """Unpack the contents of ``package/`` and return the package's description.

    Raises:
        ReleaseError: it is not the push server's npm tarball, or has entries other than files inside it.
    """
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for entry in archive:
                _unpack_entry(archive, entry, to)
    except (tarfile.TarError, EOFError, OSError) as fault:
        raise ReleaseError(f"{tarball}: cannot be unpacked: {fault}") from fault
    try:
        described: dict[str, Any] = json.loads((to / "package.json").read_text())
    except (OSError, ValueError) as fault:
        raise ReleaseError(f"{tarball}: has no readable package/package.json, so it is not an npm tarball") from fault
    if described.get("name") != "push-server" or not (to / "server.js").is_file():
        raise ReleaseError(f"{tarball}: is package {described.get('name')!r}, not push-server with a server.js")
    return described


def _unpack_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, to: Path) -> None:
    parts = PurePosixPath(entry.name).parts
    if not parts or parts[0] != PREFIX or ".." in parts or not (entry.isfile() or entry.isdir()):
        raise ReleaseError(f"{archive.name!s}: has an entry {entry.name!r} that no npm tarball has")
    target = to.joinpath(*parts[1:])
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = archive.extractfile(entry)
    if source is None:
        raise ReleaseError(f"{archive.name!s}: entry {entry.name!r} cannot be read")
    with source, target.open("wb") as written:
        shutil.copyfileobj(source, written)
    target.chmod(0o755 if entry.mode & 0o100 else 0o644)


def missing_libraries(directory: Path, described: dict[str, Any]) -> list[str]:
    """Names of the libraries that Node would not find for the package in ``directory``."""
    names = sorted(described.get("dependencies") or {})
    if not names:
        return []
    asked = _run(["node", "-e", MISSING, str(directory), *names], directory)
    found: list[str] = json.loads(asked)
    return found


def complete(directory: Path, described: dict[str, Any], lock: str, user: str) -> bool:
    """Check that every library is found, or else let npm install those of the lock; returns whether npm ran.

    Raises:
        ReleaseError: a library is missing, and there is no npm or no lock, the lock has no hashes, or npm failed.
    """
    missing = missing_libraries(directory, described)
    if not missing:
        return False
    if not shutil.which("npm") or not lock:
        raise ReleaseError(
            f"the tarball does not hold {', '.join(missing)}; add their Debian packages to push_packages, or npm, "
            "and their package-lock.json as push_lock"
        )
    if unhashed := without_hash(lock):
        raise ReleaseError(f"push_lock has no hash of {', '.join(unhashed)}; make it with npm 7 or later")
    (directory / "package-lock.json").write_text(lock)
    directory.parent.chmod(0o711)
    home = directory.parent / "home"
    home.mkdir()
    account = pwd.getpwnam(user)
    _own((directory, home), account.pw_uid, account.pw_gid)
    _run(["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], directory, account, home)
    _own((directory,), os.geteuid(), os.getegid())
    return True


def without_hash(lock: str) -> list[str]:
    """Names in a ``package-lock.json`` that it does not pin by a hash.

    Source of the format: package-lock.json(5) of npm; the entry without a name is the package itself.

    Raises:
        ReleaseError: it is none, or of a version before 2.
    """
    try:
        packages: dict[str, dict[str, Any]] = json.loads(lock)["packages"]
        return [name for name, entry in packages.items() if name and not entry.get("integrity")]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ReleaseError(
            "push_lock is no package-lock.json of version 2 or later; make it with npm 7 or later"
        ) from fault


def _own(places: tuple[Path, ...], uid: int, gid: int) -> None:
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)


def prune(releases: Path, keep: Path) -> None:
    """Remove the releases except ``keep`` and the newest of the others."""
    others = sorted((p for p in releases.iterdir() if p != keep), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[1:]:
        shutil.rmtree(old, ignore_errors=True)


def install(tarball: Path, sha256: str, directory: Path, lock: str = "", user: str = "push-server") -> dict[str, Any]:
    """Install ``tarball`` as ``directory``, or raise ReleaseError and change nothing."""
    have = digest(tarball)
    if have != sha256.lower():
        raise ReleaseError(f"{tarball}: its SHA-256 is {have}, not {sha256}; nothing was changed")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=directory.parent) as staging:
        fresh = Path(staging) / "release"
        fresh.mkdir(mode=0o755)
        described = unpack(tarball, fresh)
        npm = complete(fresh, described, lock, user)
        fresh.rename(directory)
    prune(directory.parent, directory)
    with contextlib.suppress(FileNotFoundError):
        tarball.unlink()
    return {"version": str(described.get("version", "")), "npm": npm}


def _run(
    command: list[str], directory: Path, account: pwd.struct_passwd | None = None, home: Path | None = None
) -> str:
    given: dict[str, Any] = {}
    if account:
        given = {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": [],
            "env": {"PATH": os.environ["PATH"], "HOME": str(home)},
        }
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **given
        )
    except OSError as fault:
        raise ReleaseError(f"{command[0]} cannot be started: {fault}; add it to push_packages") from fault
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ReleaseError(f"{command[0]} failed: {' / '.join(lines[-3:])}")
    return str(done.stdout)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "tarball": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "lock": {"type": "str", "default": ""},
            "user": {"type": "str", "default": "push-server"},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    if directory.is_dir():
        module.exit_json(changed=False)
    if module.check_mode:
        module.exit_json(changed=True)
    os.umask(0o022)
    try:
        given = [module.params[name] for name in ("lock", "user")]
        result = install(Path(module.params["tarball"]), module.params["sha256"], directory, *given)
    except (ReleaseError, OSError) as fault:
        module.fail_json(msg=str(fault))
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
