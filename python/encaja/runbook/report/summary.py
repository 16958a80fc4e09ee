"""What is printed after a run: the table, the addresses to open, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from encaja.atomic import write_private
from encaja.errors import EncajaError
from encaja.runbook.forecast.past_passes import read_history
from encaja.runbook.record.journal import Journal, Pass
from encaja.runbook.record.step_states import Inputs, State, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.report import tables


def expected_seconds(move: Move, journal: Journal) -> dict[str, float]:
    """How long each step should take: as in the latest pass that finished it, else as the run-book estimates."""
    expected = {step.id: step.estimate.total_seconds() for step in move.runbook}
    for step, past in read_history(move.runbook, journal, journal.passes()).items():
        expected[step] = past[-1].seconds
    return expected


def print_summary(
    move: Move,
    journal: Journal,
    pass_: Pass,
    console: Console,
    addresses: Callable[[], Sequence[tuple[str, str]]],
    *,
    part: bool = False,
) -> None:
    """Prints how the pass stands; once it is complete, writes the report and says where everything is.

    Args:
        move: the move.
        journal: its journal.
        pass_: the pass that was run.
        console: where to print.
        addresses: gives the portals' names and addresses; called only then, because it may have to read the inventory.
        part: only a part of the pass was asked for; what it did has been shown already.
    """
    language = move.runbook.settings.language
    states = read_states(move, journal, pass_, Inputs(move) if move.inventories else None)
    complete = all(state.state is State.DONE for state in states.values())
    if complete or not part:
        console.print(tables.status_table(move.runbook, states, language))
    if not complete:
        return
    settings = move.runbook.settings
    shown = [(address.title.get(language), address.url) for address in settings.addresses] or addresses()
    for name, url in shown:
        console.print(f"  [bold]{name:<16}[/bold] [blue]{url}[/blue]", soft_wrap=True)
    path = write_report(move, journal, pass_, language, None)
    console.print(f"  [bold]{'report':<16}[/bold] {path}", soft_wrap=True)


def write_report(move: Move, journal: Journal, pass_: Pass, language: str, output: Path | None) -> Path:
    """Writes the report of a pass; returns its path.

    Raises:
        EncajaError: the file cannot be written.
    """
    from encaja.runbook.forecast.view import read_assumptions  # noqa: PLC0415
    from encaja.runbook.report import pass_facts  # noqa: PLC0415 - imports matplotlib, which a run does not need

    path = output or move.state / "reports" / f"{pass_.name}.html"
    page = pass_facts.to_html(pass_facts.gather(move, journal, pass_, read_assumptions(move)), language)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, page)
    except OSError as error:
        raise EncajaError(
            f"the report cannot be written: {error.strerror}", str(path), "choose another --output"
        ) from error
    return path


def report_json(move: Move, journal: Journal, pass_: Pass) -> dict[str, Any]:
    """The report's facts for programs."""
    from encaja.runbook.forecast.view import read_assumptions  # noqa: PLC0415
    from encaja.runbook.report import pass_facts  # noqa: PLC0415 - as above

    return pass_facts.to_json(pass_facts.gather(move, journal, pass_, read_assumptions(move)))
