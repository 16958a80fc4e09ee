"""The run-book and a pass as tables for the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from encaja.runbook.book.model import Action, Kind, Runbook, Step
from encaja.runbook.durations import format_span, now
from encaja.runbook.record.journal import Journal, Measure
from encaja.runbook.record.step_states import State, StepState
from encaja.runbook.record.timeline import Line
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.live_display import OWNER_STYLE, SYMBOLS, amount, share
from encaja.runbook.report.pass_diff import StepDifference, Trend
from encaja.runbook.words import read_words

WORDS = read_words("tables")
STATE_WORDS = read_words("states")


def runs_text(step: Step, move: Move, words: Mapping[str, str]) -> Text:
    """What a step runs, in a few letters."""
    if step.kind is Kind.HUMAN or step.action is None:
        within = f", {words['within']} {format_span(step.expires)}" if step.expires else ""
        return Text.assemble((f"◆ {words['human']}", "magenta"), (within, "dim"))
    text = Text(move.fill(step.action.label))
    if step.kind is Kind.CHECK:
        text.stylize("cyan")
    if step.destructive:
        text.append(f"  ! {words['destructive']}", "red")
    return text


def proof_text(step: Step, move: Move, language: str) -> str:
    """How a step is verified, in a few words; empty where nothing says it."""
    parts = []
    if step.proof.checks:
        parts.append(f"{WORDS[language]['checks']} {', '.join(step.proof.checks)}")
    elif step.verify:
        parts.append(move.fill(step.verify.label))
    parts += step.proof.steps
    if step.proof.text.en:
        parts.append(step.proof.text.get(language))
    return ", ".join(parts)


def undo_text(step: Step, move: Move, language: str) -> str:
    """How a step is undone: the command where there is one, and the sentence."""
    if step.undo_action is None:
        return step.undo.get(language)
    return f"{step.undo.get(language)} ({typed(move.filled(step.undo_action), move)})"


def typed(action: Action, move: Move) -> str:
    """An action as a person would type it."""
    if action.command:
        return shlex.join(action.command)
    words = ["encaja", "playbook"]
    for path in move.inventories:
        inside = path.is_relative_to(move.project)
        words += ["-i", str(path.relative_to(move.project) if inside else path)]
    words.append(action.playbook)
    for option, value in (("--limit", action.limit), ("--tags", ",".join(action.tags))):
        words += [option, value] if value else []
    for name, value in action.variables.items():
        words += ["-e", f"{name}={value}"]
    return shlex.join(words)


def plan_table(move: Move, language: str, states: Mapping[str, StepState] | None = None) -> RenderableType:
    """The run-book, a table for each phase; a finished step that has to be repeated says why."""
    words, runbook = WORDS[language], move.runbook
    parts: list[RenderableType] = []
    longest = max(len(step.id) for step in runbook)
    for number, phase in runbook.phases.items():
        steps = [step for step in runbook if step.phase == number]
        if not steps:
            continue
        title = f"{words['phase']} {number}: {phase.title.get(language)}  ({words['urgency']}: {words[phase.urgency]})"
        table = Table(title=title, title_justify="left", title_style="bold", expand=True, border_style="dim")
        table.add_column(words["step"], style="bold", no_wrap=True, min_width=longest)
        table.add_column(words["title"], ratio=5)
        table.add_column(words["owner"], min_width=11)
        table.add_column(words["runs"], ratio=4)
        table.add_column(words["needs"], style="dim", ratio=4)
        table.add_column(words["estimate"], justify="right", no_wrap=True, min_width=9)
        for step in steps:
            table.add_row(
                step.id,
                _with_reason(_with_undo(step, move, language), (states or {}).get(step.id), language),
                Text(words[step.owner], OWNER_STYLE[step.owner]),
                _with_proof(step, move, language),
                ", ".join(step.needs),
                format_span(step.estimate),
            )
        parts.append(table)
    return Group(*parts)


def _with_reason(text: Text, state: StepState | None, language: str) -> Text:
    if state and not state.done and (state.state is State.STALE or state.redo or state.changed_inputs):
        text.append(f"\n↻ {STATE_WORDS[language][State.STALE]}: {state.reason}", "yellow")
    return text


def _with_undo(step: Step, move: Move, language: str) -> Text:
    words = WORDS[language]
    text = Text(step.title.get(language))
    if step.undoable:
        text.append(f"\n↶ {undo_text(step, move, language)}", "dim")
    elif step.changes:
        text.append(f"\n↶ {words['unsaid_undo']}", "yellow")
    return text


def _with_proof(step: Step, move: Move, language: str) -> Text:
    words = WORDS[language]
    text = runs_text(step, move, words)
    if step.proven:
        text.append(f"\n✓ {proof_text(step, move, language)}", "dim")
    elif step.changes:
        text.append(f"\n✓ {words['unsaid']}", "yellow")
    return text


def status_table(
    runbook: Runbook,
    states: Mapping[str, StepState],
    language: str,
    progress: Mapping[str, Sequence[Measure]] | None = None,
) -> Table:
    """What, how long, result: a pass as it stands; with the last `progress` samples of the steps under way."""
    words, names = WORDS[language], STATE_WORDS[language]
    table = Table(border_style="dim", expand=False)
    table.add_column("", width=1)
    table.add_column(words["step"], style="bold", no_wrap=True)
    table.add_column(words["title"], min_width=30)
    table.add_column(words["owner"])
    table.add_column(words["took"], justify="right", no_wrap=True)
    table.add_column(words["result"])
    phase = None
    total = timedelta(0)
    for step in runbook:
        if phase is not None and step.phase != phase:
            table.add_section()
        phase = step.phase
        state = states[step.id]
        symbol, style = SYMBOLS[state.state]
        total += timedelta(seconds=state.seconds or 0)
        detail = Text(names[state.state], style)
        if state.state is State.DONE and step.kind is Kind.HUMAN and state.by:
            detail.append(f" {words['by']} {state.by}" + (f": {state.reason}" if state.reason else ""), "dim")
        elif state.reason and (state.state is not State.WAITING or step.destructive):
            detail.append(f": {state.reason}", "dim")
        for measure in (progress or {}).get(step.id, ()):
            where = f"{measure.host} " if measure.host else ""
            parts = filter(None, [share(measure), amount(measure)])
            detail.append(f"\n{where}{measure.name} {' · '.join(parts)}", "cyan")
        took = format_span(state.seconds) if state.seconds is not None else ""
        if state.state is State.RUNNING and state.last:
            took = format_span(now() - state.last.at)
        table.add_row(
            Text(symbol, style),
            step.id,
            step.title.get(language),
            Text(words[step.owner], OWNER_STYLE[step.owner]),
            took,
            detail,
        )
    table.add_section()
    table.add_row("", words["total"], "", "", format_span(total), "")
    return table


def read_progress(journal: Journal, states: Mapping[str, StepState]) -> dict[str, list[Measure]]:
    """The last progress sample of each host, for the steps that run."""
    found: dict[str, list[Measure]] = {}
    for step, state in states.items():
        if state.state is State.RUNNING:
            own = [attempt for attempt in journal.attempts() if attempt.step == step and attempt.result is None]
            latest = {measure.host: measure for attempt in own for measure in journal.measures(attempt.id)}
            found[step] = list(latest.values())
    return found


def progress_json(measure: Measure) -> dict[str, object]:
    """A progress sample for programs: amounts in its unit, the rate in units a second, the time left in seconds."""
    left = (measure.total - measure.done) / measure.rate if measure.rate > 0 and measure.total else None
    return {
        "host": measure.host,
        "name": measure.name,
        "done": measure.done,
        "total": measure.total,
        "unit": measure.unit,
        "share": measure.done / measure.total if measure.total else None,
        "rate": measure.rate,
        "left": left,
    }


_LINE_STYLE = {
    "done": "green",
    "approved": "green",
    "failed": "bold red",
    "differences": "bold red",
    "rejected": "bold red",
    "interrupted": "yellow",
    "expired": "yellow",
    "waiting": "magenta",
    "open": "cyan",
}
_KIND_STYLE = {
    "fault": "red",
    "cure": "green",
    "note": "cyan",
    "gate": "magenta",
    "again": "yellow",
    "repeated": "yellow",
}


def timeline_table(lines: Sequence[Line], *, several: bool) -> Table:
    """The journal, line by line."""
    table = Table(border_style="dim", show_lines=False)
    table.add_column("when (UTC)", no_wrap=True, style="dim")
    if several:
        table.add_column("pass")
    table.add_column("kind")
    table.add_column("step", style="bold", no_wrap=True)
    table.add_column("what")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("by")
    for line in lines:
        text = Text()
        if line.result:
            text.append(line.result, _LINE_STYLE.get(line.result, ""))
        if line.text:
            text.append(f"  {line.text}" if line.result else line.text)
        cells = [f"{line.at:%Y-%m-%d %H:%M:%S}"] + ([line.pass_name] if several else [])
        took = format_span(line.seconds) if line.seconds is not None else ""
        table.add_row(*cells, Text(line.kind, _KIND_STYLE.get(line.kind, "")), line.step, text, took, line.by)
    return table


_TREND_STYLE = {Trend.SLOWER: "red", Trend.FASTER: "green", Trend.SAME: "dim", Trend.NEW: "cyan", Trend.GONE: "yellow"}


def difference_table(items: Sequence[StepDifference], before: str, after: str) -> Table:
    """Two passes side by side."""
    table = Table(border_style="dim")
    table.add_column("step", style="bold", no_wrap=True)
    table.add_column(before, justify="right", no_wrap=True)
    table.add_column(after, justify="right", no_wrap=True)
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("")
    for item in items:
        change = ""
        if item.before is not None and item.after is not None:
            sign = "+" if item.after >= item.before else "-"
            change = sign + format_span(abs(item.after - item.before))
        text = Text(item.trend, _TREND_STYLE[item.trend])
        for fault in item.new_faults:
            text.append(f"  new fault: {fault}", "red")
        table.add_row(item.step, format_span(item.before), format_span(item.after), change, text)
    return table
