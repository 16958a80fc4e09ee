"""How Ansible is called: command lines and environments, made by plain functions."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from encaja.ansible.accelerator import accelerator_environment
from encaja.ansible.collection import collections_path
from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Action
from encaja.runbook.book.playbooks import get_playbook

VARIABLES_FILE = "variables.json"
# Empty groups of every name that the playbooks use, so that Ansible misses none that an inventory has no hosts for.
GROUPS = Path(__file__).with_name("groups.yml")
_HOSTS = re.compile(r"^\s+hosts \(\d+\):\s*$")


def program(name: str) -> str:
    """The full path of a program of this Python environment, or of the PATH.

    Raises:
        ConfigurationError: it is not installed.
    """
    own = Path(sys.executable).parent / name
    found = str(own) if own.is_file() else shutil.which(name)
    if not found:
        raise ConfigurationError(f"'{name}' is not installed", sys.prefix, "install encaja again")
    return found


def inventory_arguments(inventories: Sequence[Path]) -> list[str]:
    """The `-i` arguments for the given inventories, with the groups that the kit knows behind them."""
    return [word for path in (*inventories, GROUPS) for word in ("-i", str(path))] if inventories else []


def playbook_command(
    playbook: Path,
    action: Action,
    inventories: Sequence[Path],
    *,
    variables_file: Path | None = None,
    check: bool = False,
) -> list[str]:
    """The command line for a playbook. Variables go by file, so that none of them shows in the process list."""
    command = [program("ansible-playbook"), *inventory_arguments(inventories)]
    if action.limit:
        command += ["--limit", action.limit]
    if action.tags:
        command += ["--tags", ",".join(action.tags)]
    if action.skip_tags:
        command += ["--skip-tags", ",".join(action.skip_tags)]
    if variables_file:
        command += ["--extra-vars", f"@{variables_file}"]
    if check:
        command += ["--check", "--diff"]
    return [*command, str(playbook)]


def action_command(
    project: Path,
    action: Action,
    inventories: Sequence[Path],
    *,
    variables_file: Path | None = None,
    check: bool = False,
) -> list[str]:
    """The command line for an action's playbook.

    Raises:
        ConfigurationError: there is no such playbook, or Ansible is not installed.
    """
    playbook = get_playbook(project, action.playbook)
    return playbook_command(playbook, action, inventories, variables_file=variables_file, check=check)


def command_line(action: Action) -> list[str]:
    """The argument list of a command step; `encaja` means this very program."""
    if action.command[0] == "encaja":
        return [sys.executable, "-m", "encaja.cli", *action.command[1:]]
    return list(action.command)


def write_variables(directory: Path, variables: Mapping[str, Any]) -> Path | None:
    """Puts extra variables into a private file of `directory`; None where there are none."""
    if not variables:
        return None
    path = directory / VARIABLES_FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dict(variables), file)
    return path


def ansible_environment(project: Path, current: Mapping[str, str]) -> dict[str, str]:
    """What is added to the environment so that Ansible under ansible-runner behaves as it does by hand.

    ansible-runner switches host key checking off and overrides the callback path unless the environment names them;
    so what the project's `ansible.cfg` says about them is put there. The collection is the one that belongs to this
    program, whichever others there are.

    Raises:
        ConfigurationError: `ansible.cfg` is not readable, or there is no collection next to this program.
    """
    added: dict[str, str] = {"ANSIBLE_NOCOLOR": "1"}
    config = project / "ansible.cfg"
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    if config.is_file():
        added["ANSIBLE_CONFIG"] = current.get("ANSIBLE_CONFIG", str(config))
        try:
            parser.read(added["ANSIBLE_CONFIG"], encoding="utf-8")
        except configparser.Error as error:
            where = added["ANSIBLE_CONFIG"]
            raise ConfigurationError(f"is not readable: {error}".splitlines()[0], where, "fix the file") from error
    if "ANSIBLE_HOST_KEY_CHECKING" not in current:
        added["ANSIBLE_HOST_KEY_CHECKING"] = parser.get("defaults", "host_key_checking", fallback="True")
    callbacks = parser.get("defaults", "callback_plugins", fallback="")
    if callbacks and "ANSIBLE_CALLBACK_PLUGINS" not in current:
        base = Path(added["ANSIBLE_CONFIG"]).parent
        added["ANSIBLE_CALLBACK_PLUGINS"] = ":".join(_paths(callbacks, base))
    home = Path(current.get("ANSIBLE_HOME") or "~/.ansible").expanduser()
    others = current.get("ANSIBLE_COLLECTIONS_PATH") or parser.get("defaults", "collections_path", fallback="")
    searched = _paths(others or f"{home}/collections:/usr/share/ansible/collections", project)
    added["ANSIBLE_COLLECTIONS_PATH"] = ":".join(dict.fromkeys([str(collections_path()), *searched]))
    return added | accelerator_environment({**current, **added})


def _paths(listed: str, base: Path) -> list[str]:
    """The paths of a list as Ansible's configuration has it, those that are relative from `base`."""
    return [str(base / Path(part).expanduser()) for part in listed.split(":") if part]


def parse_host_list(output: str) -> list[str]:
    """The hosts that `ansible-playbook --list-hosts` names, each once, in their order."""
    hosts: list[str] = []
    depth: int | None = None
    for line in output.splitlines():
        if _HOSTS.match(line):
            depth = len(line) - len(line.lstrip())
            continue
        indent = len(line) - len(line.lstrip())
        if depth is not None and line.strip() and indent > depth:
            if line.strip() not in hosts:
                hosts.append(line.strip())
        else:
            depth = None
    return hosts
