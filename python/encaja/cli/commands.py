"""The table of commands: a command's module is imported only when it is called, so that `encaja --help` stays quick."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer


@dataclass(frozen=True)
class Entry:
    """A command of `app` in `encaja.cli.MODULE`; for a `group` that `app` as a whole.

    `help` is the first line of the command's help; the docstring of its function adds to it.
    """

    module: str
    help: str
    panel: str
    group: bool = False


_MOVE, _PORTAL, _TOOLS = "The move", "The portal and its copies", "Tools"
COMMANDS: dict[str, Entry] = {
    "init": Entry("init", "Make a project: inventories of three environments, with generated secrets.", _MOVE),
    "check": Entry("runbook", "Preflight: report everything that would stop the move.", _MOVE),
    "plan": Entry("runbook", "Show the run-book: steps, owners, gates, estimates.", _MOVE),
    "run": Entry("runbook", "Run the next steps, until a gate or the end.", _MOVE),
    "approve": Entry("runbook", "Approve a gate.", _MOVE),
    "reject": Entry("runbook", "Reject a gate, with the reason.", _MOVE),
    "status": Entry("runbook", "Show the state of every step.", _MOVE),
    "journal": Entry("runbook", "Show what happened, or add a note.", _MOVE),
    "forecast": Entry("runbook", "Forecast the end of each step and of the move, and what the gap costs.", _MOVE),
    "report": Entry("runbook", "Write the report of a pass as an HTML file, or print it as JSON.", _MOVE),
    "notice": Entry("runbook", "Print or send a text for the people concerned.", _MOVE),
    "backup": Entry(
        "backup", "Inspect, verify, fetch, unpack or restore a backup in the vendor's format.", _PORTAL, group=True
    ),
    "verify": Entry("portal", "Verify an environment against the case's checklist.", _PORTAL),
    "prove": Entry("prove", "Prove on an environment what the kit assumes of the vendor's product.", _PORTAL),
    "health": Entry("health", "Show how the hosts of an environment are, on one screen.", _PORTAL),
    "clone": Entry("clone", "Make one environment a full, neutralised copy of another.", _PORTAL),
    "compare": Entry("clone", "Compare two environments.", _PORTAL),
    "recover": Entry("recover", "Recover an environment's portal as of any second that its backup covers.", _PORTAL),
    "carry-over": Entry("carryover", "Carry over what was made in the cloud since the backup.", _PORTAL),
    "reconcile": Entry("carryover", "Compare cloud and box, record by record and field by field.", _PORTAL),
    "playbook": Entry("ansible", "Run a playbook of the kit or of the project with ansible-playbook.", _TOOLS),
    "vault": Entry("ansible", "Edit or view secrets with ansible-vault.", _TOOLS),
    "certificate": Entry("certificate", "List and check certificates.", _TOOLS, group=True),
    "telephony": Entry("telephony", "Make test calls.", _TOOLS, group=True),
    "lab": Entry("lab", "Run all hosts on this machine, as Debian containers.", _TOOLS, group=True),
}


def load(name: str) -> Any:
    """The command of this name, its module imported."""
    entry = COMMANDS[name]
    app = importlib.import_module(f"encaja.cli.{entry.module}").app
    holder = typer.Typer(add_completion=False)
    holder.callback()(lambda: None)
    holder.add_typer(app, name=name if entry.group else None)
    group: Any = typer.main.get_command(holder)
    command = group.commands[name]
    command.help = f"{entry.help}\n\n{command.help or ''}".strip()
    return command
