"""Runs of the copy in molecule's scenarios, that can be cut off as a power cut does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import testinfra
import yaml
from testinfra.host import Host

ROOT = Path(__file__).parents[2]
INVENTORY = os.environ.get("MOLECULE_INVENTORY_FILE", "")


def reached(name: str) -> Host:
    """Another host of the scenario, by its name or group."""
    return testinfra.get_hosts([f"ansible://{name}"], ansible_inventory=INVENTORY)[0]


def regrouped(folder: Path, **groups: list[str]) -> str:
    """The scenario's inventory with other members of some groups; returns the path of its file in ``folder``."""
    kept = Path(INVENTORY)
    inventory = yaml.safe_load(kept.read_text())
    known = {name: told for group in inventory.values() for name, told in (group.get("hosts") or {}).items() if told}
    for group, members in groups.items():
        inventory[group]["hosts"] = {name: known[name] for name in members}
    (folder / kept.name).write_text(yaml.safe_dump(inventory))
    for beside in ("group_vars", "host_vars"):
        if (kept.parent / beside).exists():
            (folder / beside).symlink_to(kept.parent / beside)
    return str(folder / kept.name)


def command(inventory: str = INVENTORY) -> list[str]:
    """The run of the playbook."""
    return [
        "ansible-playbook", "-i", inventory, "playbooks/clone.yml", "-e", "clone_source=production",
        "-e", "clone_target=preproduction", "-e", "clone_confirm=preproduction",
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """Molecule's environment, but with the project's configuration."""
    mine = {name: value for name, value in os.environ.items() if name not in {"ANSIBLE_CONFIG", "ANSIBLE_FORCE_COLOR"}}
    return mine | {"ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1", "ANSIBLE_HOST_KEY_CHECKING": "False"}


def start() -> subprocess.Popen[str]:
    """Start a copy."""
    return subprocess.Popen(
        command(), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def play(*words: str, inventory: str = INVENTORY) -> subprocess.CompletedProcess[str]:
    """Run a copy, or another playbook, to its end."""
    given = ["ansible-playbook", "-i", inventory, *words] if words else command(inventory)
    return subprocess.run(given, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def descendants(pid: int) -> set[int]:
    """The process and everything that it started, whatever session that is in."""
    shown = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in shown.splitlines())
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """The controller's whole run at once, as a power cut does."""
    for pid in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()
