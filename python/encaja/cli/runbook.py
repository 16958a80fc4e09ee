"""`encaja check`, `plan`, `run`, `approve`, `status`, `journal` and the other commands around the run-book."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from encaja.cli.commands import COMMANDS
from encaja.cli.options import AsJson, Inventory
from encaja.cli.output import table_console
from encaja.errors import ConfigurationError, EncajaError
from encaja.notices import compose, send
from encaja.runbook.book.faults import RunbookError
from encaja.runbook.durations import from_text, to_text
from encaja.runbook.forecast.live import LiveForecast, finish_text
from encaja.runbook.record import timeline
from encaja.runbook.record.journal import EntryKind, GateState, Journal, Pass
from encaja.runbook.record.lock import is_held
from encaja.runbook.record.step_states import Inputs, State, StepState, read_states
from encaja.runbook.record.workspace import DEFAULT_PASS, Move, open_move, whoami
from encaja.runbook.report import tables
from encaja.runbook.report.live_display import TerminalDisplay
from encaja.runbook.report.notifications import TeamNotifier
from encaja.runbook.report.pass_diff import compare_passes
from encaja.runbook.report.summary import expected_seconds, print_summary, report_json, write_report
from encaja.runbook.run import gates
from encaja.runbook.run.conductor import Conductor
from encaja.runbook.run.preflight import preflight
from encaja.runbook.run.selection import RunOptions
from encaja.runbook.run.step_run import WAITING_CODE

app = typer.Typer(no_args_is_help=True)
journal_app = typer.Typer(invoke_without_command=True)
app.add_typer(journal_app, name="journal")

RunbookFile = Annotated[
    list[Path] | None,
    typer.Option("--runbook", help="A run-book file that changes the shipped one; may be given several times."),
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="A variable of the move, such as target=test; may be given several times."),
]
StateDir = Annotated[Path | None, typer.Option("--state", help="Folder of the journal; .encaja by default.")]
PassName = Annotated[
    str | None, typer.Option("--pass", help="The pass: rehearsal-1, cutover …; the latest by default.")
]
Language = Annotated[str | None, typer.Option("--language", help="en or es; the move's by default.")]
By = Annotated[str, typer.Option("--by", help="Name of whoever decides.")]
Note = Annotated[str, typer.Option("--note", help="Reason or condition.")]


def _move(
    inventory: list[Path] | None = None,
    runbook: list[Path] | None = None,
    settings: list[str] | None = None,
    state: Path | None = None,
    pass_name: str | None = None,
) -> Move:
    pairs = []
    for item in settings or []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"'{item}' is not NAME=VALUE", "--set", "write for example --set target=test")
        pairs.append((name, value))
    move = open_move(
        inventories=inventory or (), runbooks=runbook or (), variables=pairs, state=state, pass_name=pass_name
    )
    _check_commands(move)
    return move


def _check_commands(move: Move) -> None:
    """Refuses a run-book that calls a command of this program that does not exist."""
    faults = [
        f"run-book: step '{step.id}' runs 'encaja {action.command[1]}', which does not exist (see 'encaja --help')"
        for step in move.runbook
        for action in (step.action, step.verify)
        if action and action.command[:1] == ("encaja",) and action.command[1:2] and action.command[1] not in COMMANDS
    ]
    if faults:
        raise RunbookError(faults)


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
    drawing: Annotated[
        Path | None, typer.Option("--drawing", help="Draw it into this .svg or .png file instead.")
    ] = None,
) -> None:
    """With an inventory, steps that have to be repeated say why."""
    move = _move(inventory, runbook, settings, state)
    chosen = _language(move, language)
    if drawing is None:
        from encaja.runbook.forecast import view  # noqa: PLC0415 - imports numpy, which other commands do not need
        from encaja.runbook.report import forecast_tables  # noqa: PLC0415

        table_console(140).print(tables.plan_table(move, chosen, _latest_states(move)))
        made = view.forecast_pass(move, None, replace(view.read_assumptions(move), leads=()))
        table_console(140).print(forecast_tables.finish_line(move, made, tables.WORDS[chosen]))
        return
    if drawing.suffix.lower() not in (".svg", ".png"):
        raise ConfigurationError("is neither .svg nor .png", str(drawing), "give the file one of these endings")
    from encaja.runbook.report.charts import write_picture  # noqa: PLC0415 - a slow import, for pictures only
    from encaja.runbook.report.drawing import draw_runbook  # noqa: PLC0415

    write_picture(draw_runbook(move, chosen, tables.WORDS[chosen]), drawing)
    table_console(140).print(f"drawn into {drawing}")


def _latest_states(move: Move) -> dict[str, StepState]:
    """Where the latest pass stands; nothing before there is one."""
    if not move.journal.exists():
        return {}
    with Journal(move.journal, create=False) as journal:
        known = journal.passes()
        inputs = Inputs(move) if move.inventories else None
        return read_states(move, journal, known[-1], inputs) if known else {}


@app.command()
def check(
    *,
    inventory: Inventory = None,
    runbook: RunbookFile = None,
    settings: Setting = None,
    state: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Changes nothing. Exit code 2 when something is wrong."""
    move = _move(inventory, runbook, settings, state)
    return preflight(move, table_console(140), as_json=as_json)


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
        str | None,
        typer.Option(
            "--from", help="Begin at this step: it and the steps after it are repeated; the journal keeps the request."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Stop after this step.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Do not repeat this finished step, though its inputs changed or it was requested."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve every gate; the journal says so.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Ansible's check mode: show changes, make none.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Name for the journal.")] = None,
) -> int:
    """Exit code 3 when it waits at a gate, 1 when a step failed, 4 when a check found differences."""
    move = _move(inventory, runbook, settings, state, pass_name)
    console = table_console(140)
    with Journal(move.journal) as journal:
        known = journal.passes()
        name = pass_name or (known[-1].name if known else DEFAULT_PASS)
        options = RunOptions(name, by or whoami(), phase, start, until, yes, check, tuple(keep or ()))
        with LiveForecast(lambda: finish_text(move, name)) as live:
            expected = expected_seconds(move, journal)
            display = TerminalDisplay(console, expected, interactive=sys.stdin.isatty(), forecast=lambda: live.text)
            conductor = Conductor(move, journal, options, display, TeamNotifier())
            code = conductor.run()
        if not check:
            print_summary(
                move, journal, _pass(journal, name), console, conductor.inventory.addresses, part=until is not None
            )
    return code


@app.command()
def approve(step: str, *, by: By, note: Note = "", pass_name: PassName = None, state: StateDir = None) -> None:
    """The name and the note stay in the journal; then `encaja run` continues."""
    _decide(step, GateState.APPROVED, by=by, note=note, pass_name=pass_name, state=state)


@app.command()
def reject(step: str, *, by: By, note: Note = "", pass_name: PassName = None, state: StateDir = None) -> None:
    """The name and the reason stay in the journal; `encaja run` stops at the step."""
    _decide(step, GateState.REJECTED, by=by, note=note, pass_name=pass_name, state=state)


def _decide(step: str, decision: GateState, *, by: str, note: str, pass_name: str | None, state: Path | None) -> None:
    move = _move(state=state, pass_name=pass_name)
    with Journal(move.journal, create=False) as journal:
        gates.record_decision(move, journal, _pass(journal, pass_name), step, decision=decision, by=by, note=note)
    table_console(140).print(f"{step}: {decision} by {by}; 'encaja run' continues")


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
    """Exit code 3 while a gate waits."""
    move = _move(inventory, runbook, settings, state, pass_name)
    with Journal(move.journal, create=False) as journal:
        pass_ = _pass(journal, pass_name)
        inputs = Inputs(move) if move.inventories else None
        states = read_states(move, journal, pass_, inputs, running=is_held(move.lock))
        progress = tables.read_progress(journal, states)
    waiting = [step for step in move.runbook if states[step.id].state is State.WAITING]
    if as_json:
        steps = [
            {
                "id": step.id,
                "title": step.title.get(_language(move, language)),
                "state": states[step.id].state,
                "since": to_text(since) if (since := states[step.id].since) else None,
                "seconds": states[step.id].seconds,
                "reason": states[step.id].reason,
                "owner": step.owner,
                "progress": [tables.progress_json(measure) for measure in progress.get(step.id, ())],
            }
            for step in move.runbook
        ]
        print(json.dumps({"pass": pass_.name, "steps": steps}, indent=2))
    else:
        console = table_console(140)
        console.print(f"[bold]{move.title}[/bold] · pass [bold]{pass_.name}[/bold]")
        console.print(tables.status_table(move.runbook, states, _language(move, language), progress))
        for step in waiting:
            console.print(f"waits for the {step.owner}: encaja approve {step.id} --by NAME [--note TEXT]")
    return WAITING_CODE if waiting else 0


@journal_app.callback()
def journal_main(
    context: typer.Context, pass_name: PassName = None, state: StateDir = None, as_json: AsJson = False
) -> None:
    """`journal add` adds a note, `journal diff` compares two passes."""
    if context.invoked_subcommand:
        return
    move = _move(state=state, pass_name=pass_name)
    with Journal(move.journal, create=False) as journal:
        chosen = [_pass(journal, pass_name)] if pass_name else journal.passes()
        lines = [line for item in chosen for line in timeline.lines(journal, item)]
    if as_json:
        print(json.dumps([line.as_json() for line in lines], indent=2))
        return
    table_console(140).print(tables.timeline_table(lines, several=len(chosen) > 1))


@journal_app.command("add")
def journal_add(
    text: Annotated[str, typer.Argument(help="What happened.")],
    *,
    by: Annotated[str | None, typer.Option("--by", help="Whose note it is.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="note, fault or cure.")] = "note",
    step: Annotated[str, typer.Option("--step", help="The step concerned.")] = "",
    at: Annotated[
        str | None, typer.Option("--at", help="When it happened, as 2026-11-26T21:30 (UTC); now by default.")
    ] = None,
    pass_name: PassName = None,
    state: StateDir = None,
) -> None:
    """Add a note: an observation, a fault, its cure."""
    move = _move(state=state, pass_name=pass_name)
    kinds = (EntryKind.NOTE, EntryKind.FAULT, EntryKind.CURE)
    if kind not in kinds:
        raise ConfigurationError(f"there is no kind '{kind}'", "--kind", f"known are {', '.join(kinds)}")
    if not text.strip():
        raise ConfigurationError("the text is empty", "encaja journal add", "say what happened")
    if step:
        move.step(step)
    with Journal(move.journal, create=False) as journal:
        entry = journal.add_entry(
            _pass(journal, pass_name), EntryKind(kind), text.strip(), by=by or whoami(), step=step, at=_moment(at)
        )
    table_console(140).print(f"noted: {entry.kind} by {entry.by} at {entry.at:%Y-%m-%d %H:%M} UTC")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return from_text(text)
    except ValueError as error:
        raise ConfigurationError(f"'{text}' is not a moment", "--at", "write it as 2026-11-26T21:30") from error


@journal_app.command("diff")
def journal_diff(before: str, after: str, *, state: StateDir = None, as_json: AsJson = False) -> None:
    """Compare two passes: steps that were slower or faster, new faults."""
    move = _move(state=state)
    with Journal(move.journal, create=False) as journal:
        found = compare_passes(move.runbook, journal, _pass(journal, before), _pass(journal, after))
    if as_json:
        print(json.dumps([asdict(item) for item in found], indent=2))
    else:
        table_console(140).print(tables.difference_table(found, before, after))


@app.command()
def forecast(
    *,
    inventory: Inventory = None,
    runbook: RunbookFile = None,
    settings: Setting = None,
    state: StateDir = None,
    pass_name: PassName = None,
    link: Annotated[
        str | None, typer.Option("--link", help="Measured rate of the download a second, such as 800kB or 8MB.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="The backup's size, such as 30GB.")] = None,
    leads_per_day: Annotated[float | None, typer.Option("--leads-per-day", help="Leads a day, spread evenly.")] = None,
    backtested: Annotated[
        bool, typer.Option("--backtest", help="Compare forecasts of finished passes with what came.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Durations come from earlier passes and the run-book's estimates, each with a 90 % band."""
    move = _move(inventory, runbook, settings, state, pass_name)
    from encaja.runbook.forecast import view  # noqa: PLC0415 - imports numpy, which other commands do not need
    from encaja.runbook.report import forecast_tables  # noqa: PLC0415

    assumptions = view.read_assumptions(move, link=link, size=size, leads_per_day=leads_per_day)
    if backtested:
        with Journal(move.journal, create=False) as journal:
            results = view.backtests(move, journal, assumptions)
        if as_json:
            print(json.dumps([view.backtest_json(item) for item in results], indent=2))
        else:
            table_console(140).print(forecast_tables.backtest_table(results))
        return
    made = view.forecast_pass(move, pass_name, assumptions)
    if as_json:
        print(json.dumps(view.forecast_json(made), indent=2))
    else:
        table_console(140).print(forecast_tables.forecast_view(move, made))


@app.command()
def report(
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; .encaja/reports by default.")
    ] = None,
    pass_name: PassName = None,
    state: StateDir = None,
    language: Language = None,
    as_json: AsJson = False,
) -> None:
    """The file opens anywhere, also without a network."""
    move = _move(state=state, pass_name=pass_name)
    with Journal(move.journal, create=False) as journal:
        pass_ = _pass(journal, pass_name)
        chosen = _language(move, language)
        if as_json:
            print(json.dumps(report_json(move, journal, pass_), indent=2))
            return
        path = write_report(move, journal, pass_, chosen, output)
    table_console(140).print(f"report of '{pass_.name}': {path}", soft_wrap=True)


@app.command()
def notice(
    name: Annotated[str, typer.Argument(help="backup-date, request-backup, certificate …")],
    *,
    date: Annotated[str, typer.Option("--date", help="Date in the text, as people write it.")] = "",
    portal: Annotated[str, typer.Option("--portal", help="The new portal's address.")] = "",
    send_it: Annotated[bool, typer.Option("--send", help="Send it to the users' addresses in the run-book.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Name for the journal.")] = None,
    pass_name: PassName = None,
    state: StateDir = None,
    language: Language = None,
) -> None:
    """With `--send` it goes to all users, and the journal says so."""
    move = _move(state=state, pass_name=pass_name)
    step = next((item for item in move.runbook if item.notice == name), None)
    values = {"move": move.title, "pass_name": pass_name or DEFAULT_PASS}
    values |= {key: value for key, value in (("date", date), ("portal", portal)) if value}
    if step:
        values |= {"step": step.id, "title": step.title.get(_language(move, language)), "owner": str(step.owner)}
    composed = compose(name, _language(move, language), values)
    if not send_it:
        print(f"{composed.subject}\n\n{composed.body}", end="")
        return
    addresses = move.runbook.settings.announce.users
    if not addresses:
        raise ConfigurationError(
            "no addresses to send it to", "move: announce: users", "list Apprise addresses in runbook.yml"
        )
    failed = send(composed, addresses)
    with Journal(move.journal) as journal:
        pass_ = _pass(journal, pass_name) if journal.passes() else journal.start_pass(DEFAULT_PASS, by or whoami(), {})
        text = f'sent to {len(addresses) - len(failed)} of {len(addresses)} addresses: "{composed.subject}"'
        journal.add_entry(pass_, EntryKind.ANNOUNCED, text, by=by or whoami(), step=step.id if step else "")
    if failed:
        raise EncajaError("; ".join(failed), "notice", "check the addresses under 'announce' in runbook.yml")
    table_console(140).print(text)
