"""`encaja plan`, `run`, `approve`, `status`, `journal` and the other commands around the run-book."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from encaja.errors import ConfigurationError
from encaja.runbook import gates, tables
from encaja.runbook.announce import TeamAnnouncer
from encaja.runbook.conductor import WAITING_CODE, Conductor, Options
from encaja.runbook.journal import GateState, Journal, Pass
from encaja.runbook.lock import is_held
from encaja.runbook.move import DEFAULT_PASS, Move, open_move, whoami
from encaja.runbook.screen import TerminalDisplay
from encaja.runbook.spans import to_text
from encaja.runbook.states import Inputs, State, read_states

app = typer.Typer(no_args_is_help=True)
journal_app = typer.Typer(help="What happened; 'journal add' notes something by hand.", invoke_without_command=True)
app.add_typer(journal_app, name="journal")

Inventory = Annotated[
    list[Path] | None, typer.Option("--inventory", "-i", help="Inventory; may be given several times.")
]
RunbookFile = Annotated[list[Path] | None, typer.Option("--runbook", help="A run-book file laid over the shipped one.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="A variable of the move, such as target=test.")]
StateDir = Annotated[Path | None, typer.Option("--state", help="Where the journal is kept; .encaja by default.")]
PassName = Annotated[
    str | None, typer.Option("--pass", help="The pass: rehearsal-1, cutover …; the latest by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Language = Annotated[str | None, typer.Option("--language", help="en or es; the move's by default.")]
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Note = Annotated[str, typer.Option("--note", help="Why, or under which condition.")]


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 140))


def _move(
    inventory: list[Path] | None = None,
    runbook: list[Path] | None = None,
    settings: list[str] | None = None,
    state: Path | None = None,
) -> Move:
    pairs = []
    for item in settings or []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"'{item}' is not NAME=VALUE", "--set", "write for example --set target=test")
        pairs.append((name, value))
    return open_move(inventories=inventory or (), runbooks=runbook or (), variables=pairs, state=state)


def _pass(journal: Journal, name: str | None) -> Pass:
    known = journal.passes()
    if not known:
        raise ConfigurationError("the journal holds no pass yet", str(journal.path), "start the move with 'encaja run'")
    if name is None:
        return known[-1]
    found = journal.find_pass(name)
    if found is None:
        names = ", ".join(item.name for item in known)
        raise ConfigurationError(f"there is no pass '{name}'", str(journal.path), f"known are {names}")
    return found


def _language(move: Move, language: str | None) -> str:
    chosen = language or move.runbook.settings.language
    if chosen not in tables.WORDS:
        raise ConfigurationError(f"there is no language '{chosen}'", "--language", "known are en, es")
    return chosen


@app.command()
def plan(
    *,
    inventory: Inventory = None,
    runbook: RunbookFile = None,
    settings: Setting = None,
    state: StateDir = None,
    language: Language = None,
) -> None:
    """The run-book: steps, owners, gates, estimates."""
    move = _move(inventory, runbook, settings, state)
    _console().print(tables.plan_table(move.runbook, _language(move, language)))


@app.command()
def run(
    *,
    inventory: Inventory = None,
    runbook: RunbookFile = None,
    settings: Setting = None,
    state: StateDir = None,
    pass_name: PassName = None,
    phase: Annotated[int | None, typer.Option("--phase", help="Only the steps of this phase.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Begin at this step; it and what follows are done again.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Stop after this step.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="A finished step that stands although its inputs changed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Answer every gate with yes; the journal says so.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Ansible's check mode: show, change nothing.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who runs it, for the journal.")] = None,
) -> int:
    """Go on from where the journal stands."""
    move = _move(inventory, runbook, settings, state)
    console = _console()
    with Journal(move.journal) as journal:
        known = journal.passes()
        name = pass_name or (known[-1].name if known else DEFAULT_PASS)
        options = Options(name, by or whoami(), phase, start, until, yes, check, tuple(keep or ()))
        display = TerminalDisplay(console, interactive=sys.stdin.isatty())
        return Conductor(move, journal, options, display, TeamAnnouncer()).run()


@app.command()
def approve(step: str, *, by: By, note: Note = "", pass_name: PassName = None, state: StateDir = None) -> None:
    """Say yes at a gate, by name."""
    _decide(step, GateState.APPROVED, by=by, note=note, pass_name=pass_name, state=state)


@app.command()
def reject(step: str, *, by: By, note: Note = "", pass_name: PassName = None, state: StateDir = None) -> None:
    """Say no at a gate, by name and with the reason."""
    _decide(step, GateState.REJECTED, by=by, note=note, pass_name=pass_name, state=state)


def _decide(step: str, decision: GateState, *, by: str, note: str, pass_name: str | None, state: Path | None) -> None:
    move = _move(state=state)
    with Journal(move.journal, create=False) as journal:
        gates.decide(move, journal, _pass(journal, pass_name), step, decision=decision, by=by, note=note)
    _console().print(f"{step}: {decision} by {by}; 'encaja run' goes on")


@app.command()
def status(
    *,
    inventory: Inventory = None,
    runbook: RunbookFile = None,
    settings: Setting = None,
    state: StateDir = None,
    pass_name: PassName = None,
    as_json: AsJson = False,
    language: Language = None,
) -> int:
    """Where the move stands."""
    move = _move(inventory, runbook, settings, state)
    with Journal(move.journal, create=False) as journal:
        pass_ = _pass(journal, pass_name)
        inputs = Inputs(move) if move.inventories else None
        states = read_states(move, journal, pass_, inputs, running=is_held(move.lock))
    waiting = [step for step in move.runbook if states[step.id].state is State.WAITING]
    if as_json:
        steps = [
            {
                "id": step.id,
                "state": states[step.id].state,
                "since": to_text(since) if (since := states[step.id].since) else None,
                "seconds": states[step.id].seconds,
                "reason": states[step.id].reason,
                "owner": step.owner,
            }
            for step in move.runbook
        ]
        print(json.dumps({"pass": pass_.name, "steps": steps}, indent=2))
    else:
        console = _console()
        console.print(f"[bold]{move.title}[/bold] · pass [bold]{pass_.name}[/bold]")
        console.print(tables.status_table(move.runbook, states, _language(move, language)))
        for step in waiting:
            console.print(f"waits for the {step.owner}: encaja approve {step.id} --by NAME [--note TEXT]")
    return WAITING_CODE if waiting else 0
