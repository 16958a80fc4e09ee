"""Whether the push server can be installed from its tarball: present, the right one, and with its libraries."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ansible_collections.encaja.portal.plugins.module_utils.push_tarball import Tarball, TarballError, read_tarball

Faults = list[tuple[str, str]]
_VARIABLE = "correct encaja_push_tarball"


def judge_file(path: Path, sha256: str, packages: Collection[str], installed: Collection[str]) -> Faults:
    """What is wrong with a tarball on the controller (what, hint), for a host that has `installed` libraries already.

    Args:
        path: the tarball.
        sha256: what it has to be.
        packages: Debian packages that the role installs.
        installed: libraries that Node finds on the host.
    """
    try:
        tarball = read_tarball(path.read_bytes())
    except OSError as fault:
        return [(f"the push server's tarball {path} cannot be read: {fault.strerror}", _VARIABLE)]
    except TarballError as fault:
        return [(f"the push server's tarball {path} {fault}", _VARIABLE)]
    return judge(str(path), tarball, sha256, packages, installed)


def judge(where: str, tarball: Tarball, sha256: str, packages: Collection[str], installed: Collection[str]) -> Faults:
    """What is wrong with a tarball that was read; the rest as in `judge_file`."""
    faults: Faults = []
    if tarball.sha256 != sha256.lower():
        hint = "get the tarball again, or correct encaja_push_tarball_sha256"
        faults.append((f"{where}: its SHA-256 is {tarball.sha256}, not {sha256}", hint))
    missing = lacking(tarball, packages, installed)
    if missing:
        what = f"the push server's tarball does not hold {', '.join(missing)}, which it runs with"
        faults.append(
            (what, "add their Debian packages to push_packages, or npm, and their package-lock.json as push_lock")
        )
    return faults


def lacking(tarball: Tarball, packages: Collection[str], installed: Collection[str]) -> list[str]:
    """The libraries that nothing brings; empty where a Debian package may hold them under another name."""
    if "npm" in packages:
        return []
    missing = [name for name in tarball.needed if name not in {*tarball.held, *installed}]
    usual = {name: f"node-{name.removeprefix('@').replace('/', '-').replace('_', '-').lower()}" for name in missing}
    other = [name for name in packages if name.startswith("node-") and name not in usual.values()]
    return [] if other else [name for name in missing if usual[name] not in packages]
