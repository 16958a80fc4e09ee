"""The items of ``service_units`` (systemd units): their form, and how they are converged."""

from __future__ import annotations

import glob
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically

STATES = ("started", "stopped", "restarted", "reloaded", "refreshed")
PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "DropInPaths",
    "ActiveEnterTimestamp",
)
DROP_INS = "/etc/systemd/system"
RESOLVED = "/var/lib/encaja/resolved"
UNIT_FOLDERS = (
    DROP_INS,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
LINKS = ("unmask", "enable", "disable")
RUNS = {"active", "activating", "reloading"}


def normalise(unit: object) -> dict[str, Any]:
    """Turn one item of ``units`` into a dictionary with all four keys.

    Raises:
        ValueError: the item names no unit, or has a key or state that is not known.
    """
    if isinstance(unit, str):
        unit = {"name": unit}
    if not isinstance(unit, dict) or not unit.get("name"):
        raise ValueError(f"{unit!r}: a unit must be a name, or a dictionary with 'name'")
    name = str(unit["name"])
    if "." not in name:
        raise ValueError(f"{name}: give the unit with its suffix, such as {name}.service")
    if unknown := set(unit) - {"name", "state", "enabled", "masked", "restart_if_newer", "resolves"}:
        raise ValueError(f"{name}: unknown key {', '.join(sorted(unknown))}")
    asked = {key: unit.get(key) for key in ("state", "enabled", "masked")}
    if all(value is None for value in asked.values()):
        asked = {"state": "started", "enabled": True, "masked": None}
    if asked["state"] not in (None, *STATES):
        raise ValueError(f"{name}: unknown state {asked['state']!r}; use one of {', '.join(STATES)}")
    return {"name": name, **asked, **{key: list(unit.get(key) or []) for key in ("restart_if_newer", "resolves")}}


def parse_show(text: str) -> list[dict[str, str]]:
    """Split the output of ``systemctl show`` into one dictionary per unit, in the order asked for."""
    blocks = [block for block in text.strip().split("\n\n") if block.strip()]
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def plan(unit: dict[str, Any], now: dict[str, str]) -> list[str]:
    """The verbs of systemctl that bring one unit from its current to the wanted state."""
    verbs = []
    is_masked = now["LoadState"] == "masked"
    if is_masked and unit["masked"] is not False:
        return []  # masked on purpose, as on an isolated copy
    if unit["masked"] is False and is_masked:
        verbs.append("unmask")
    if unit["enabled"] is True and now["UnitFileState"] in ("disabled", "", "masked"):
        verbs.append("enable")
    if unit["enabled"] is False and now["UnitFileState"] in ("enabled", "enabled-runtime"):
        verbs.append("disable")
    runs = now["ActiveState"] in RUNS
    if unit["state"] == "started" and not runs:
        verbs.append("start")
    if unit["state"] == "stopped" and runs:
        verbs.append("stop")
    if unit["state"] == "restarted" or (
        unit["state"] == "started" and runs and is_outdated(unit["restart_if_newer"], now)
    ):
        verbs.append("restart")
    elif unit["state"] == "started" and runs and has_moved(unit):
        verbs.append("reload-or-restart")
    if unit["state"] == "reloaded":
        verbs.append("reload-or-restart" if runs else "start")
    if unit["state"] == "refreshed" and runs:
        verbs.append("reload-or-restart")
    if unit["masked"] is True and not is_masked:
        verbs.append("mask")
    return verbs


def differs(unit: dict[str, Any], now: dict[str, str]) -> bool:
    """Whether systemd shows a unit with other links than wanted."""
    return not set(LINKS).isdisjoint(plan(unit, now))


def is_stale(name: str, now: dict[str, str], folder: str = DROP_INS) -> bool:
    """Whether systemd has loaded older versions of the unit's files than those on disk.

    Systemd 252 does not notice by itself the first drop-in of a unit whose directory is new.
    """
    on_disk = set(glob.glob(os.path.join(folder, f"{name}.d", "*.conf")))
    return now.get("NeedDaemonReload") == "yes" or not on_disk <= set(now.get("DropInPaths", "").split())


def is_outdated(files: list[str], now: dict[str, str]) -> bool:
    """Whether a file changed in a later second than the unit's start (shown as ``@seconds``)."""
    started = now.get("ActiveEnterTimestamp", "").lstrip("@")
    if not started.isdigit():
        return False
    return any(int(os.stat(path).st_mtime) > int(started) for path in files if os.path.exists(path))


def addresses(names: list[str]) -> dict[str, list[str]]:
    """Name to its current addresses on this host; names that do not resolve are left out."""
    found = {}
    for name in names:
        try:
            found[name] = sorted({str(item[4][0]) for item in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
        except OSError:
            continue
    return found


def known_addresses(unit: dict[str, Any]) -> dict[str, list[str]]:
    """The result of :func:`addresses` when the unit was last started or reloaded; empty if unknown."""
    try:
        with open(os.path.join(RESOLVED, f"{unit['name']}.json")) as stream:
            return dict(json.load(stream))
    except (OSError, ValueError):
        return {}


def has_moved(unit: dict[str, Any]) -> bool:
    """Whether the address of a name has changed since the unit resolved it."""
    known = known_addresses(unit)
    return any(known.get(name) != where for name, where in addresses(unit["resolves"]).items())


def note_addresses(unit: dict[str, Any]) -> None:
    """Record the addresses of the names that the unit has just resolved."""
    path = os.path.join(RESOLVED, f"{unit['name']}.json")
    os.makedirs(RESOLVED, exist_ok=True)
    noted = {**known_addresses(unit), **addresses(unit["resolves"])}
    write_atomically(Path(path), json.dumps(noted).encode(), 0o644)


def settled(units: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the units with their wanted state after this call: started, if restarted or reloaded."""
    verbs = {"restarted": "started", "reloaded": "started", "refreshed": None}
    return [{**unit, "state": verbs.get(unit["state"], unit["state"])} for unit in units]


def holds(unit: dict[str, Any], now: dict[str, str]) -> bool:
    """Whether a unit needs no change."""
    return not (
        plan(unit, now) or is_stale(unit["name"], now) or (now["LoadState"] == "not-found" and needs_unit(unit))
    )


def has_file(name: str, folders: Sequence[str] = UNIT_FOLDERS) -> bool:
    """Whether there is a file for the unit or its template."""
    template = re.sub(r"@[^.]*\.", "@.", name)
    return any(os.path.exists(os.path.join(folder, one)) for folder in folders for one in (name, template))


def needs_unit(unit: dict[str, Any]) -> bool:
    """Whether the wanted state requires that the unit exists."""
    return bool(unit["enabled"]) or unit["state"] not in (None, "stopped", "refreshed")


def parse_address(text: str) -> tuple[str, str, int]:
    """Split ``unix:/path`` or ``tcp:host:port`` into kind, host or path, and port (0 for a socket file).

    Raises:
        ValueError: it is neither.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        return kind, rest, 0
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit():
        return kind, host.strip("[]"), int(port)
    raise ValueError(f"{text}: use unix:/path or tcp:host:port")


def answers(address: tuple[str, str, int]) -> bool:
    """Whether something accepts a connection there."""
    kind, host, port = address
    try:
        if kind == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(host)
        else:
            socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def show(names: Sequence[str]) -> list[str]:
    """Return the arguments of systemctl for showing the units' properties."""
    return ["show", "--timestamp=unix", f"--property={','.join(PROPERTIES)}", *names]


class Units:
    """Converges the units of one call with systemctl."""

    def __init__(self, module: AnsibleModule, units: list[dict[str, Any]]) -> None:
        self.module = module
        self.units = units
        self.actions: list[str] = []

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl and return its output; on failure, fail the module with the journals of the failed units.

        Links are made without a word to the manager, which would take all that it holds for outdated from then on.
        """
        environment = {**os.environ, "SYSTEMD_OFFLINE": "1"} if arguments[0] in LINKS else None
        command = ["systemctl", "--no-pager", *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            told = " / ".join((done.stderr or done.stdout).strip().splitlines()[:2])
            names = [name for name in arguments[1:] if not name.startswith("-")]
            journals = "".join(self.journal(name) for name in self.failed(names))
            self.module.fail_json(msg=f"systemctl {' '.join(arguments)} failed: {told}{journals}", actions=self.actions)
        return done.stdout

    def failed(self, names: Sequence[str]) -> list[str]:
        """Return the failed ones of the named units, or all if none has failed."""
        if not names:
            return []
        asked = ["systemctl", "--no-pager", "is-failed", *names]
        states = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        return [name for name, state in zip(names, states, strict=False) if state == "failed"] or list(names)

    def journal(self, unit: str) -> str:
        """Return the last lines of the unit's journal, for a message."""
        asked = ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "6", "-u", unit]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        return f" (journal of {unit}: {' / '.join(lines)})" if lines else ""

    def state(self) -> list[dict[str, str]]:
        """Read all units at once."""
        shown = parse_show(self.systemctl(*show([unit["name"] for unit in self.units])))
        if len(shown) != len(self.units):
            self.module.fail_json(msg=f"systemctl shows {len(shown)} units where {len(self.units)} were asked for")
        return shown

    def converge(self) -> None:
        """Apply the differences: links first, one reload if necessary, then each verb for all its units at once."""
        pairs = list(zip(self.units, self.state(), strict=True))
        unknown = [unit["name"] for unit, shown in pairs if shown["LoadState"] == "not-found" and needs_unit(unit)]
        missing = [name for name in unknown if not has_file(name)]
        if missing and not self.module.check_mode:
            self.module.fail_json(msg=f"{', '.join(missing)}: no such unit on this host (install its package first)")
        verbs: dict[str, list[str]] = {}
        for unit, shown in pairs:
            for verb in plan(unit, shown):
                verbs.setdefault(verb, []).append(unit["name"])
        is_linked = self.apply(verbs, LINKS)
        if not self.module.check_mode:
            seen = list(zip(self.units, self.state(), strict=True)) if is_linked else pairs
            if unknown or any(is_stale(unit["name"], shown) or differs(unit, shown) for unit, shown in seen):
                self.systemctl("daemon-reload")
        is_begun = self.apply(verbs, ("start", "restart", "reload-or-restart"))
        self.apply(verbs, ("stop", "mask"))
        if is_begun and not self.module.check_mode:
            self._confirm()
            for unit in self.units:
                if unit["resolves"]:
                    note_addresses(unit)

    def apply(self, verbs: dict[str, list[str]], which: Sequence[str]) -> bool:
        """Run the given ``verbs`` in this order; returns whether there was one."""
        chosen = [verb for verb in which if verb in verbs]
        for verb in chosen:
            self.actions += [f"{verb} {name}" for name in verbs[verb]]
            if not self.module.check_mode:
                self.systemctl(verb, *verbs[verb])
        return bool(chosen)

    def _confirm(self) -> None:
        for unit, shown in zip(self.units, self.state(), strict=True):
            if unit["state"] in ("started", "restarted", "reloaded") and shown["ActiveState"] not in RUNS:
                self.module.fail_json(
                    msg=f"{unit['name']} is {shown['ActiveState']} after its start{self.journal(unit['name'])}",
                    actions=self.actions,
                )

    def wait(self, addresses: list[str], timeout: int) -> None:
        """Wait until all addresses answer, or fail with the one that does not."""
        deadline = time.monotonic() + timeout
        for text in addresses:
            while not answers(parse_address(text)):
                if time.monotonic() > deadline:
                    journals = "".join(self.journal(unit["name"]) for unit in self.units)
                    self.module.fail_json(msg=f"nothing answers at {text} after {timeout} s{journals}")
                time.sleep(0.1)
