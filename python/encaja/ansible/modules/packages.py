#!/usr/bin/python
"""Install Debian packages in one transaction, and cost next to nothing where they are all there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install a list of Debian packages
description:
  - Asks dpkg's own list what is installed; apt is started only where something is missing.
  - Package lists are fetched only then, and only where they are older than O(cache_valid_time).
  - Works in check mode on a host that has never fetched a package list, where M(ansible.builtin.apt) cannot.
  - Services that packages bring are started by them as Debian does.
options:
  names:
    description: Packages. A name that another package provides counts as installed with it.
    type: list
    elements: str
    required: true
  recommends:
    description: Whether recommended packages come with them.
    type: bool
    default: false
  cache_valid_time:
    description: Seconds for which fetched package lists are good.
    type: int
    default: 86400
  lock_timeout:
    description: Seconds to wait for another apt or dpkg to end.
    type: int
    default: 300
author: encaja
"""

EXAMPLES = r"""
- name: Install the database
  packages:
    names: [mariadb-server, python3-pymysql]
"""

RETURN = r"""
missing:
  description: Packages that were (or, in check mode, would be) installed.
  returned: always
  type: list
  elements: str
"""

import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

STAMP = "/var/lib/encaja/package-lists"
QUERY = "${db:Status-Status}\t${Package}\t${Provides}\n"


def installed(listing: str) -> set[str]:
    """Return every name that the installed packages have or provide, from ``dpkg-query`` with QUERY as its format."""
    names = set()
    for line in listing.splitlines():
        status, package, provides = line.split("\t")
        if status == "installed":
            names.add(package)
            names.update(item.split("(")[0].split(":")[0].strip() for item in provides.split(",") if item.strip())
    return names


def apt_error(output: str) -> str:
    """Return what apt says is wrong, without its progress, in one line."""
    lines = [line.strip() for line in output.splitlines() if line.startswith(("E:", "Err:", "dpkg: error"))]
    return " / ".join(lines[:4] or output.strip().splitlines()[-3:])


class Apt:
    """apt-get on the host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        self.lock = f"DPkg::Lock::Timeout={module.params['lock_timeout']}"

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run apt-get and return its code and output."""
        command = ["apt-get", "-q", "-y", "-o", self.lock, *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout

    def fetch_lists(self, valid: float) -> bool:
        """Fetch the package lists where they are older than ``valid`` seconds, and tell whether it was done."""
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

    def install(self, names: list[str], recommends: bool) -> None:
        """Install in one transaction; where a name or a version has gone, fetch the lists anew and try once more."""
        option = "--install-recommends" if recommends else "--no-install-recommends"
        # A file that a role has placed before its package stays as the role wants it.
        keep = ("-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-confdef")
        fresh = self.fetch_lists(self.module.params["cache_valid_time"])
        code, output = self.run(*keep, "install", option, *names)
        if code and not fresh and self.fetch_lists(0):
            code, output = self.run(*keep, "install", option, *names)
        if code:
            self.module.fail_json(msg=f"apt cannot install {' '.join(names)}: {apt_error(output)}", output=output)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "recommends": {"type": "bool", "default": False},
            "cache_valid_time": {"type": "int", "default": 86400},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    listing = subprocess.run(["dpkg-query", "-W", "-f", QUERY], capture_output=True, text=True, check=True).stdout
    present = installed(listing)
    missing = sorted({name for name in module.params["names"] if name not in present})
    if missing and not module.check_mode:
        Apt(module).install(missing, module.params["recommends"])
    diff = {"before": "", "after": "".join(f"{name}\n" for name in missing)} if missing else {}
    module.exit_json(changed=bool(missing), missing=missing, diff=diff)


if __name__ == "__main__":
    main()
