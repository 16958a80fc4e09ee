"""`encaja check`: runs the preflight playbook outside of any pass and shows what it says."""

from __future__ import annotations

import os
import subprocess

from rich.console import Console

from encaja.errors import ConfigurationError
from encaja.runbook.command import ansible_environment, playbook_command
from encaja.runbook.load import find_playbook
from encaja.runbook.model import Action
from encaja.runbook.move import Move

PLAYBOOK = "preflight.yml"


def preflight(move: Move, console: Console) -> int:
    """Looks at everything that a move needs, changes nothing, and returns 0, or 2 where something is wrong."""
    playbook = find_playbook(move.project, PLAYBOOK)
    if playbook is None:
        raise ConfigurationError("does not exist", f"playbook '{PLAYBOOK}'", "restore it from the repository")
    if not move.inventories:
        raise ConfigurationError("no inventory is given", "encaja check", "give one with -i")
    command = playbook_command(playbook, Action(playbook=PLAYBOOK), move.inventories)
    environment = {**os.environ, **ansible_environment(move.project, os.environ)}
    environment.pop("ANSIBLE_NOCOLOR", None)
    if console.is_terminal:
        environment["ANSIBLE_FORCE_COLOR"] = "1"
    console.print(f"checking [bold]{', '.join(path.name for path in move.inventories)}[/bold]")
    done = subprocess.run(command, cwd=move.project, env=environment, check=False)
    return 0 if done.returncode == 0 else 2
