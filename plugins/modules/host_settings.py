#!/usr/bin/python
"""Bring a host's marker, time zone, kernel settings and names to their state in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_settings
short_description: Converge environment marker, time zone, kernel parameters and host names in one round trip
description:
  - Compares the environment marker first, and fails before any change if the host belongs to another environment.
  - Kernel parameters are set immediately and stored in O(sysctl_file).
  - In a container only C(net.*) is set; other parameters are compared and reported, because they would change the
    container's host.
options:
  environment:
    description: >-
      The environment for O(marker). It is written where there is no marker; the module fails on a different one.
    type: str
    required: true
  marker:
    description: Path of the marker.
    type: path
    default: /etc/encaja/environment
  time_zone:
    description: Time zone, such as C(Europe/Madrid); by default it is not changed.
    type: str
  sysctl:
    description: Kernel parameters, name to value; by default they are not changed.
    type: dict
  sysctl_file:
    description: File with the kernel parameters for the next boot.
    type: path
    default: /etc/sysctl.d/60-encaja.conf
  hosts:
    description: >-
      Entries for C(/etc/hosts), each with C(address) and C(names). Other lines are kept; by default
      the file is not changed.
    type: list
    elements: dict
author: encaja
"""

EXAMPLES = r"""
- name: Configure the host
  encaja.portal.host_settings:
    environment: test
    time_zone: Europe/Madrid
    sysctl: {net.core.somaxconn: 4096}
    hosts:
      - {address: 192.0.2.10, names: [db.example.org]}
"""

RETURN = r"""
not_settable:
  description: Kernel parameters that differ and belong to the container's host.
  returned: always
  type: list
  elements: str
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import link_atomically, write_atomically

HOSTS_FILE = "/etc/hosts"
ZONES = "/usr/share/zoneinfo"
BEGIN = "# BEGIN encaja"
END = "# END encaja"


def hosts_text(current: str, entries: list[dict[str, Any]]) -> str:
    """Return the hosts file with the kit's block made of ``entries`` (no block where there are none)."""
    kept = re.sub(rf"(?ms)^{BEGIN}\n.*?^{END}\n?", "", current)
    if not entries:
        return kept
    lines = [f"{entry['address']}\t{' '.join(entry['names'])}" for entry in entries]
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return kept + "\n".join([BEGIN, *lines, END]) + "\n"


def sysctl_path(name: str) -> str:
    """Return the file below /proc/sys that holds a setting."""
    return "/proc/sys/" + name.replace(".", "/")


def sysctl_value(value: object) -> str:
    """Write a setting's value as the kernel shows it: words separated by single blanks."""
    if isinstance(value, bool):
        return str(int(value))
    return " ".join(str(value).split())


class Host:
    """The host under the module, with what was changed on it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.check: bool = module.check_mode
        self.diffs: list[dict[str, str]] = []
        self.not_settable: list[str] = []

    def _note(self, header: str, before: str, after: str) -> None:
        self.diffs.append({"before_header": header, "after_header": header, "before": before, "after": after})

    def _write(self, path: str, text: str, in_place: bool = False) -> None:
        if in_place:  # a container's /etc/hosts is a mount: it cannot be renamed over
            with open(path, "r+", encoding="utf-8") as stream:
                stream.write(text)
                stream.truncate()
            return
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        write_atomically(Path(path), text.encode(), 0o644)

    def _read(self, path: str) -> str:
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as stream:
            return stream.read()

    def _file(self, path: str, text: str, in_place: bool = False) -> None:
        now = self._read(path)
        if now != text:
            self._note(path, now, text)
            if not self.check:
                self._write(path, text, in_place)

    def marker(self, path: str, environment: str) -> None:
        """Refuse a host of another environment; mark one that has no marker."""
        now = self._read(path).strip()
        if now and now != environment:
            self.module.fail_json(
                msg=f"{path} says that this host belongs to '{now}', the inventory says '{environment}': nothing was "
                "changed (correct the inventory, or remove the marker by hand if the host really moved)"
            )
        self._file(path, f"{environment}\n")

    def time_zone(self, zone: str) -> None:
        """Point /etc/localtime at the zone; keep /etc/timezone in step where a release has one."""
        target = f"{ZONES}/{zone}"
        if not os.path.isfile(target) and not (self.check and not os.path.isdir(ZONES)):
            self.module.fail_json(msg=f"time zone '{zone}' is not in {ZONES} (write it as Area/City)")
        now = os.path.realpath("/etc/localtime")
        if now != os.path.realpath(target):
            self._note("/etc/localtime", f"{now}\n", f"{target}\n")
            if not self.check:
                link_atomically(Path("/etc/localtime"), target)
        if os.path.exists("/etc/timezone"):
            self._file("/etc/timezone", f"{zone}\n")

    def sysctl(self, settings: dict[str, Any], path: str) -> None:
        """Set what belongs to this host, now and for the next start; compare the rest."""
        inside = subprocess.run(["systemd-detect-virt", "--container", "--quiet"], check=False).returncode == 0
        own = {name: value for name, value in settings.items() if not inside or name.startswith("net.")}
        for name, value in settings.items():
            wanted = sysctl_value(value)
            where = sysctl_path(name)
            if not os.path.exists(where):
                self.not_settable.append(f"{name} is not in this kernel")
                continue
            now = sysctl_value(self._read(where))
            if now == wanted:
                continue
            if name not in own:
                self.not_settable.append(f"{name} is {now}, wanted {wanted}: belongs to the machine below")
                continue
            self._note(name, f"{now}\n", f"{wanted}\n")
            if not self.check:
                with open(where, "w", encoding="ascii") as stream:
                    stream.write(wanted)
        lines = [f"{name} = {sysctl_value(value)}\n" for name, value in sorted(own.items())]
        self._file(path, "# Managed by encaja, role base.\n" + "".join(lines))

    def hosts(self, entries: list[dict[str, Any]]) -> None:
        """Keep the kit's block in /etc/hosts."""
        self._file(HOSTS_FILE, hosts_text(self._read(HOSTS_FILE), entries), in_place=os.path.exists(HOSTS_FILE))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "environment": {"type": "str", "required": True},
            "marker": {"type": "path", "default": "/etc/encaja/environment"},
            "time_zone": {"type": "str"},
            "sysctl": {"type": "dict"},
            "sysctl_file": {"type": "path", "default": "/etc/sysctl.d/60-encaja.conf"},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "names": {"type": "list", "elements": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    host = Host(module)
    asked = module.params
    try:
        host.marker(asked["marker"], asked["environment"])
        if asked["time_zone"] is not None:
            host.time_zone(asked["time_zone"])
        if asked["sysctl"] is not None:
            host.sysctl(asked["sysctl"], asked["sysctl_file"])
        if asked["hosts"] is not None:
            host.hosts(asked["hosts"])
    except OSError as fault:
        module.fail_json(msg=str(fault))
    if host.not_settable:
        module.warn("kernel settings that this host cannot have: " + "; ".join(host.not_settable))
    module.exit_json(changed=bool(host.diffs), diff=host.diffs, not_settable=host.not_settable)


if __name__ == "__main__":
    main()
