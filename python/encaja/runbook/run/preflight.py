"""`encaja check`: runs the preflight playbook outside of any pass and says what it found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.book.model import Action
from encaja.runbook.book.playbooks import get_playbook
from encaja.runbook.durations import format_bytes
from encaja.runbook.record.workspace import Move
from encaja.runbook.run.ansible_command import ansible_environment, playbook_command, write_variables
from encaja.runbook.run.execution import Ending, run_playbook
from encaja.runbook.words import read_words

PLAYBOOK = "preflight.yml"
KIND = "preflight"


def preflight(move: Move, console: Console, *, as_json: bool = False) -> int:
    """Checks everything that a move needs, changes nothing, and returns 0, or 2 where something is wrong.

    Raises:
        EncajaError: the check itself failed.
    """
    playbook = get_playbook(move.project, PLAYBOOK)
    if not move.inventories:
        raise ConfigurationError("no inventory is given", "encaja check", "give one with -i")
    words = read_words("preflight")[move.runbook.settings.language]
    found = verdict(_run(move, playbook, console, words["looking"]))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        console.print(view(found, words))
    return 2 if found["faults"] else 0


def _run(move: Move, playbook: Path, console: Console, looking: str) -> Ending:
    named = ", ".join(path.name for path in move.inventories)
    quiet = Console(stderr=True, quiet=not console.is_terminal)
    with TemporaryDirectory(prefix="encaja-check-") as name, quiet.status(f"{looking} {escape(named)}") as shown:
        given = {"preflight_backup_of": move.fill("$target"), "preflight_requires": move.requirements()}
        variables = write_variables(Path(name), given)
        command = playbook_command(playbook, Action(playbook=PLAYBOOK), move.inventories, variables_file=variables)
        environment = ansible_environment(move.project, os.environ)
        execution = run_playbook(0, Path(name), move.project, command, environment)
        try:
            for signals in execution:
                if signals and signals.task:
                    shown.update(f"{looking} {escape(named)}: {escape(signals.task)}")
        except BaseException:
            execution.stop()
            raise
    return execution.ending


def verdict(ending: Ending) -> Mapping[str, Any]:
    """What the preflight published: the hosts that it checked, every fault and every warning (what, where, hint).

    Raises:
        EncajaError: it published nothing, because it failed before.
    """
    for document in ending.documents:
        if document.kind == KIND:
            body: Mapping[str, Any] = document.body
            return body
    if ending.faults:
        fault = ending.faults[0]
        raise EncajaError(fault.what, fault.host or PLAYBOOK, fault.hint or "fix it and run again")
    raise EncajaError("the preflight was stopped", PLAYBOOK, "run it again")


def view(found: Mapping[str, Any], words: Mapping[str, str]) -> RenderableType:
    """The verdict for a person."""
    hosts = Text(f"{words['hosts']}: {', '.join(found['hosts']) or '-'}", "dim")
    backups = [
        Text(
            f"{words['backup']}: {item['volumes']} {words['volumes']}, {format_bytes(item['bytes'])} ({item['host']})",
            "dim",
        )
        for item in found.get("backups", ())
    ]
    warnings = found.get("warnings", ())
    parts: list[RenderableType] = []
    if found["faults"]:
        parts.append(Text.assemble(("✗ ", "bold red"), f"{len(found['faults'])} {words['faults']}"))
        parts.append(_table(found["faults"], words["where"], words["what"], words["hint"], "red"))
    else:
        parts.append(Text.assemble(("✓ ", "bold green"), words["fine"]))
    if warnings:
        parts.append(Text.assemble(("! ", "bold yellow"), f"{len(warnings)} {words['warnings']}"))
        parts.append(_table(warnings, words["where"], words["worth"], words["advice"], "yellow"))
    return Group(*parts, hosts, *backups)


def _table(rows: Iterable[Mapping[str, str]], where: str, what: str, hint: str, colour: str) -> Table:
    table = Table(border_style="dim", expand=False)
    table.add_column(where, style="bold", overflow="fold")
    table.add_column(what, style=colour, overflow="fold")
    table.add_column(hint, style="green", overflow="fold")
    for row in rows:
        table.add_row(escape(row["where"]), escape(row["what"]), escape(row["hint"]))
    return table
