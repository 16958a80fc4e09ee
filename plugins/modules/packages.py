#!/usr/bin/python
"""Installs Debian packages in one transaction; fast if they are all installed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install a list of Debian packages
description:
  - M(ansible.builtin.apt) starts services during the installation, with Debian's defaults, and fails in check mode on a
    host without package lists. This module can leave services stopped (O(later)), works in check mode, and runs apt
    only if something is missing.
  - Reads dpkg's list of installed packages. Package lists are updated only if something is missing and they are older
    than O(cache_valid_time).
  - Units of the packages are enabled and started as Debian does, except that those in O(later) are not started.
options:
  names:
    description: The packages. A virtual package counts as installed if an installed package provides it.
    type: list
    elements: str
    required: true
  recommends:
    description: Whether to install recommended packages.
    type: bool
    default: false
  later:
    description:
      - Units of these packages that the caller starts after configuring them, so that none runs with Debian's
        defaults. If one of them runs already, or a package with units would be upgraded, Debian's own behaviour
        applies, which restarts what is necessary.
    type: list
    elements: str
    default: []
  cache_valid_time:
    description: Seconds for which package lists are valid.
    type: int
    default: 86400
  lock_timeout:
    description: Seconds to wait for another apt or dpkg.
    type: int
    default: 300
  fingerprint:
    description:
      - Name under which the host records that these are installed, for M(encaja.portal.converged).
      - Set by the action.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Install the database
  encaja.portal.packages:
    names: [mariadb-server, python3-pymysql]
    later: [mariadb.service]
"""

RETURN = r"""
missing:
  description: Packages that were (or, in check mode, would be) installed.
  returned: always
  type: list
  elements: str
started:
  description: Units started because the packages enable them.
  returned: always
  type: list
  elements: str
"""

import os
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import records
from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically
from ansible_collections.encaja.portal.plugins.module_utils.dpkg import UNITS, missing_of

STAMP = "/var/lib/encaja/package-lists"
TYPES = "--type=service,socket,timer,path"
PATTERNS = ("*.service", "*.socket", "*.timer", "*.path")
PROPERTIES = "Id,ActiveState,FragmentPath,NeedDaemonReload"
# Run by apt before dpkg, with the archives to unpack as input; fails on another version of a package with units.
LOUD = "encaja: brings units to another version: "
INFO = "/var/lib/dpkg/info"
LOOK = """
while read -r archive; do
  name=${{archive##*/}}; name=${{name%%_*}}
  for list in {info}/"$name".list {info}/"$name":*.list; do
    if [ -e "$list" ] && grep -q /systemd/system/ "$list"; then echo "{loud}$name"; exit 1; fi
  done
done
exit 0
"""


def apt_error(output: str) -> str:
    """Return apt's errors in one line, without its progress."""
    lines = [line.strip() for line in output.splitlines() if line.startswith(("E:", "Err:", "dpkg: error"))]
    return " / ".join(lines[:4] or output.strip().splitlines()[-3:])


def systemctl(*arguments: str) -> str:
    """Run systemctl and return its output, whatever its exit code."""
    command = ["systemctl", "--no-pager", "--no-legend", "--plain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def enabled() -> set[str]:
    """Return the enabled units, without templates."""
    listed = systemctl("list-unit-files", "--state=enabled", TYPES).split("\n")
    return {line.split()[0] for line in listed if line.strip() and "@." not in line.split()[0]}


def known() -> list[dict[str, str]]:
    """Return the units that systemd has loaded, a dictionary of PROPERTIES per unit."""
    shown = systemctl("show", f"--property={PROPERTIES}", *PATTERNS)
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]


def is_orphan(unit: dict[str, str]) -> bool:
    """Whether a unit runs although its file was removed."""
    path = unit.get("FragmentPath", "")
    return unit.get("ActiveState") == "active" and bool(path) and not os.path.exists(path)


class Quiet:
    """One installation after which systemd is updated once, instead of by every package.

    Systemd reads a unit that it has not loaded when the unit is used, so it is reloaded only if a loaded one changed.
    A reload for every file costs more than starting most services.

    The enabled units are recorded first, so that the next run completes one that was killed.
    """

    def __init__(self, later: list[str]) -> None:
        self.later = later

    def begin(self) -> bool:
        """Record the enabled units, unless an earlier run has; returns whether this run did."""
        if os.path.exists(UNITS):
            return False
        os.makedirs(os.path.dirname(UNITS), exist_ok=True)
        write_atomically(Path(UNITS), "\n".join(sorted(enabled())).encode(), 0o644)
        return True

    def end(self) -> list[str]:
        """Start new units except those in ``later``, stop removed ones; returns the started ones."""
        with open(UNITS, encoding="utf-8") as file:
            before = set(file.read().split())
        units = known()
        if gone := [unit["Id"] for unit in units if is_orphan(unit)]:
            systemctl("stop", *gone)
        if any(unit.get("NeedDaemonReload") == "yes" and not is_orphan(unit) for unit in units):
            systemctl("daemon-reload")
        new = sorted(enabled() - before - set(self.later))
        if new:
            systemctl("start", *new)
        os.unlink(UNITS)
        return new


class Apt:
    """apt-get on the host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        self.quiet = Quiet(module.params["later"])
        self.lock = f"DPkg::Lock::Timeout={module.params['lock_timeout']}"

    def run(self, *arguments: str, offline: bool = False) -> tuple[int, str]:
        """Run apt-get, ``offline`` without notifying systemd, and return its exit code and output."""
        command = ["apt-get", "-q", "-y", "-o", self.lock, *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self.environment, "SYSTEMD_OFFLINE": "1"} if offline else self.environment,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout

    def fetch_lists(self, valid: float) -> bool:
        """Update the package lists if they are older than ``valid`` seconds; returns whether it was done."""
        if os.path.exists(STAMP) and time.time() - os.path.getmtime(STAMP) < valid and os.listdir("/var/lib/apt/lists"):
            return False
        code, output = self.run("--error-on=any", "update")
        if code:
            self.module.fail_json(
                msg=f"the package lists cannot be fetched: {apt_error(output)} (see apt's sources and the network)"
            )
        os.makedirs(os.path.dirname(STAMP), exist_ok=True)
        with open(STAMP, "w", encoding="ascii"):
            pass
        return True

    def install(self, names: list[str]) -> list[str]:
        """Install in one transaction; if a name or a version is missing, update the lists and retry once.

        Returns:
            The units that were started for it.
        """
        option = "--install-recommends" if self.module.params["recommends"] else "--no-install-recommends"
        # A role's file that was installed before its package is kept.
        keep = ("-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-confdef")
        command = (*keep, "install", option, *names)
        fresh = self.fetch_lists(self.module.params["cache_valid_time"])
        code, output = self.transact(command)
        if code and not fresh and self.fetch_lists(0):
            code, output = self.transact(command)
        if code:
            self.module.fail_json(msg=f"apt cannot install {' '.join(names)}: {apt_error(output)}", output=output)
        return self.quiet.end() if os.path.exists(UNITS) else []

    def transact(self, command: tuple[str, ...]) -> tuple[int, str]:
        """Install offline if possible; first complete a killed run."""
        if os.listdir("/var/lib/dpkg/updates"):
            subprocess.run(["dpkg", "--configure", "-a"], capture_output=True, env=self.environment, check=False)
        if self.may_be_quiet():
            is_begun = self.quiet.begin()
            look = f"DPkg::Pre-Install-Pkgs::={LOOK.format(info=INFO, loud=LOUD)}"
            code, output = self.run("-o", look, *command, offline=True)
            if LOUD not in output:
                return code, output
            if is_begun:
                os.unlink(UNITS)  # nothing was installed, and Debian starts the new units
        return self.run(*command)

    def may_be_quiet(self) -> bool:
        """Whether the new units are listed in ``later``, and none of them runs yet."""
        later = self.module.params["later"]
        return bool(later) and "active" not in systemctl("is-active", *later).split()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "recommends": {"type": "bool", "default": False},
            "later": {"type": "list", "elements": "str", "default": []},
            "cache_valid_time": {"type": "int", "default": 86400},
            "lock_timeout": {"type": "int", "default": 300},
            "fingerprint": {"type": "str"},
        },
        supports_check_mode=True,
    )
    missing = missing_of(module.params["names"])
    cut_off = os.path.exists(UNITS)
    started = []
    if missing and not module.check_mode:
        started = Apt(module).install(missing)
    elif cut_off and not module.check_mode:
        started = Quiet(module.params["later"]).end()
    if module.params["fingerprint"] and not module.check_mode:
        records.remember(module.params["fingerprint"], {"packages": module.params["names"]})
    diff = {"before": "", "after": "".join(f"{name}\n" for name in missing)} if missing else {}
    module.exit_json(changed=bool(missing) or cut_off, missing=missing, started=started, diff=diff)


if __name__ == "__main__":
    main()
