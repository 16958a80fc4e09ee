"""A host's marker, time zone, kernel settings and names."""

from __future__ import annotations

import glob
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.encaja.portal.plugins.module_utils.atomic import link_atomically, write_atomically

HOSTS_FILE = "/etc/hosts"
KERNEL = "/proc/sys"
ZONES = "/usr/share/zoneinfo"
BEGIN = "# BEGIN encaja"
END = "# END encaja"


def hosts_text(current: str, entries: list[dict[str, Any]]) -> str:
    """Return the hosts file with a block for ``entries`` (no block if there are none)."""
    kept = re.sub(rf"(?ms)^{BEGIN}\n.*?^{END}\n?", "", current)
    if not entries:
        return kept
    lines = [f"{entry['address']}\t{' '.join(entry['names'])}" for entry in entries]
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return kept + "\n".join([BEGIN, *lines, END]) + "\n"


def sysctl_path(name: str) -> str:
    """Return the file below /proc/sys that holds a setting; a ``*`` in the name stands for every interface."""
    return f"{KERNEL}/" + name.replace(".", "/")


def sysctl_value(value: object) -> str:
    """Format a value as the kernel shows it, with words separated by single blanks."""
    if isinstance(value, bool):
        return str(int(value))
    return " ".join(str(value).split())


def unsupported_warning(not_settable: list[str]) -> str:
    """Return the warning about kernel parameters that cannot be set."""
    return "kernel parameters that cannot be set on this host: " + "; ".join(not_settable)


class Host:
    """Converges the host; keeps what was (or would be) changed."""

    def __init__(self, check: bool) -> None:
        self.check = check
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
        """Fail on a host of another environment; write the marker if there is none.

        Raises:
            ValueError: it is of another environment.
        """
        now = self._read(path).strip()
        if now and now != environment:
            raise ValueError(
                f"{path} says that this host belongs to '{now}', the inventory says '{environment}': nothing was "
                "changed (correct the inventory, or remove the marker by hand if the host really moved)"
            )
        self._file(path, f"{environment}\n")

    def time_zone(self, zone: str) -> None:
        """Point /etc/localtime at the zone; keep /etc/timezone in step where a release has one.

        Raises:
            ValueError: there is no such zone.
        """
        target = f"{ZONES}/{zone}"
        if not os.path.isfile(target) and not (self.check and not os.path.isdir(ZONES)):
            raise ValueError(f"time zone '{zone}' is not in {ZONES} (write it as Area/City)")
        now = os.path.realpath("/etc/localtime")
        if now != os.path.realpath(target):
            self._note("/etc/localtime", f"{now}\n", f"{target}\n")
            if not self.check:
                link_atomically(Path("/etc/localtime"), target)
        if os.path.exists("/etc/timezone"):
            self._file("/etc/timezone", f"{zone}\n")

    def sysctl(self, settings: dict[str, Any], path: str) -> None:
        """Set this host's parameters, now and for the next boot; compare those of a container's host."""
        inside = subprocess.run(["systemd-detect-virt", "--container", "--quiet"], check=False).returncode == 0
        own = {name: value for name, value in settings.items() if not inside or name.startswith("net.")}
        for name, value in settings.items():
            wanted = sysctl_value(value)
            places = sorted(glob.glob(sysctl_path(name)))
            if not places:
                self.not_settable.append(f"{name} is not in this kernel")
            for where in places:
                now = sysctl_value(self._read(where))
                if now == wanted:
                    continue
                if name not in own:
                    self.not_settable.append(f"{name} is {now}, wanted {wanted}: belongs to the machine below")
                    continue
                self._note(os.path.relpath(where, KERNEL).replace("/", "."), f"{now}\n", f"{wanted}\n")
                if not self.check:
                    with open(where, "w", encoding="ascii") as stream:
                        stream.write(wanted)
        lines = [f"{name} = {sysctl_value(value)}\n" for name, value in sorted(own.items())]
        self._file(path, "# Managed by encaja, role base.\n" + "".join(lines))

    def hosts(self, entries: list[dict[str, Any]]) -> None:
        """Converge the kit's block in /etc/hosts."""
        self._file(HOSTS_FILE, hosts_text(self._read(HOSTS_FILE), entries), in_place=os.path.exists(HOSTS_FILE))

    def converge(self, asked: dict[str, Any]) -> None:
        """Converge everything that is requested, the marker first.

        Raises:
            ValueError: the host is of another environment, or there is no such time zone.
        """
        self.marker(asked["marker"], asked["environment"])
        if asked["time_zone"] is not None:
            self.time_zone(asked["time_zone"])
        if asked["sysctl"] is not None:
            self.sysctl(asked["sysctl"], asked["sysctl_file"])
        if asked["hosts"] is not None:
            self.hosts(asked["hosts"])
