"""`encaja forecast`: from options and journal to a forecast, and the forecast in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from encaja.errors import ConfigurationError
from encaja.runbook.durations import format_span, now, to_text
from encaja.runbook.forecast.past_passes import read_history
from encaja.runbook.forecast.simulation import Backtest, Forecast, Standing, at_place, backtest, make_forecast
from encaja.runbook.forecast.step_duration import Assumptions
from encaja.runbook.record.journal import Journal, Measure, Pass
from encaja.runbook.record.lock import is_held
from encaja.runbook.record.step_states import StepState, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.live_display import OWNER_STYLE

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?(?:/s)?\Z")
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def parse_size(text: str, option: str) -> float:
    """Bytes from `30GB`, `800kB` or `12500000`.

    Raises:
        ConfigurationError: the text is no size.
    """
    match = _SIZE.match(text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigurationError(f"'{text}' is not a size", option, "write it as 800kB, 30GB or a number of bytes")
    return float(match[1]) * _FACTORS[match[2]]


def assumptions(
    move: Move, *, link: str | None = None, size: str | None = None, leads_per_day: float | None = None
) -> Assumptions:
    """What the forecast is told, from options over the run-book's settings."""
    settings = move.runbook.settings
    leads, leads_from = settings.leads_per_hour, "run-book" if settings.leads_per_hour else ""
    if leads_per_day is None and not leads:
        leads, leads_from = _leads_of_the_crm(move)
    if leads_per_day is not None:
        if leads_per_day < 0:
            raise ConfigurationError(f"'{leads_per_day}' is not a number of leads", "--leads-per-day", "give 0 or more")
        leads, leads_from = (leads_per_day / 24,) * 24, "--leads-per-day"
    return Assumptions(
        link=parse_size(link, "--link") if link else None,
        size=parse_size(size, "--size") if size else float(settings.backup_bytes) or None,
        leads=leads,
        leads_from=leads_from,
        zone=settings.time_zone,
    )


def _leads_of_the_crm(move: Move) -> tuple[tuple[float, ...], str]:
    """Leads by hour of the week as the latest verification counted them in the restored CRM; empty without one."""
    if not move.journal.exists():
        return (), ""
    with Journal(move.journal, create=False) as journal:
        for document in reversed(journal.documents(kind="verification")):
            counted = document.body.get("leads") if isinstance(document.body, dict) else None
            if counted and sum(counted["hours"]):
                weeks = int(counted["weeks"])
                return tuple(
                    count / weeks for count in counted["hours"]
                ), f"the CRM, {weeks} weeks to {counted['until']}"
    return (), ""


def forecast(move: Move, pass_name: str | None, told: Assumptions) -> Forecast:
    """The forecast of the pass under way, or of the next one where none is."""
    moment = now()
    if not move.journal.exists():
        return make_forecast(move.runbook, {}, told, Standing(moment))
    with Journal(move.journal, create=False) as journal:
        known = journal.passes()
        current = _current(move, journal, known, pass_name)
        states = read_states(move, journal, current, running=is_held(move.lock)) if current else {}
        history = read_history(
            move.runbook, journal, [item for item in known if current is None or item.id != current.id]
        )
        measures = {name: _measures(journal, state) for name, state in states.items() if not state.done}
        going = replace(told, inventories=tuple(str(path) for path in move.inventories), chosen=dict(move.chosen))
        told = at_place(told, current) if current else going
    return make_forecast(move.runbook, history, told, Standing(moment, states, measures))


def _measures(journal: Journal, state: StepState) -> list[Measure]:
    return journal.measures(state.last.id) if state.last else []


def _current(move: Move, journal: Journal, known: Sequence[Pass], name: str | None) -> Pass | None:
    """The pass to forecast; None is one that has not begun."""
    if name is not None:
        return journal.find_pass(name)
    if not known:
        return None
    states = read_states(move, journal, known[-1])
    return None if all(state.done for state in states.values()) else known[-1]


def backtests(move: Move, journal: Journal, told: Assumptions) -> list[Backtest]:
    """Forecasts of finished passes against what came of them.

    Raises:
        ConfigurationError: there are fewer than two passes.
    """
    known = journal.passes()
    if len(known) < 2:
        raise ConfigurationError(
            "there is one pass only", str(journal.path), "a backtest needs a second one to compare with"
        )
    return backtest(move.runbook, journal, known, told)


def forecast_view(move: Move, made: Forecast) -> RenderableType:
    """The forecast as tables."""
    zone = ZoneInfo(move.runbook.settings.time_zone)

    def moment(seconds: float) -> str:
        return f"{(made.moment + timedelta(seconds=seconds)).astimezone(zone):%a %d %b %H:%M}"

    table = Table(
        border_style="dim",
        title=f"Forecast of {made.moment.astimezone(zone):%a %d %b %Y %H:%M} {zone.key}",
        title_justify="left",
    )
    table.add_column("step", style="bold", no_wrap=True)
    table.add_column("whose")
    for name in ("takes", "90 % band", "over, median", "over, 90 % sure"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from", style="dim")
    phase = None
    for item in made.steps:
        step = move.step(item.step)
        if phase is not None and step.phase != phase:
            table.add_section()
        phase = step.phase
        owner = Text(step.owner, OWNER_STYLE[step.owner])
        if item.done:
            table.add_row(item.step, owner, format_span(item.duration.median), "", "done", "", "", style="dim")
            continue
        band = f"{format_span(item.duration.low)} to {format_span(item.duration.high)}"
        table.add_row(
            item.step,
            owner,
            format_span(item.duration.median),
            band,
            moment(item.finish.median),
            moment(item.finish.p90),
            item.basis,
        )
    table.add_section()
    whole = made.whole
    band = f"{format_span(whole.low)} to {format_span(whole.high)}"
    table.add_row(
        "whole", "", format_span(whole.median), band, moment(whole.median), moment(whole.p90), "", style="bold"
    )
    parts: list[RenderableType] = [table]
    if made.gap:
        gap = made.gap
        parts.append(
            Text.assemble(
                ("The gap ", "bold"),
                f"lasts {format_span(gap.seconds.median)} "
                f"({format_span(gap.seconds.low)} to {format_span(gap.seconds.high)})",
                f"; {gap.leads.median:.0f} leads fall into it (90 % sure: at most {gap.leads.p90:.0f})"
                if gap.leads.high
                else "",
                (f"  leads by hour from {made.leads_from}" if made.leads_from else "", "dim"),
            )
        )
    if made.best_hours and made.worst_hour:
        best = ", ".join(f"{_hour(hour.at, zone)} ({hour.leads:.0f} leads)" for hour in made.best_hours)
        worst = made.worst_hour
        parts.append(
            Text.assemble(
                ("Best hours for the backup ", "bold"),
                best,
                ("; worst ", "dim"),
                f"{_hour(worst.at, zone)} ({worst.leads:.0f} leads)",
            )
        )
    return Group(*parts)


def window(move: Move, made: Forecast, words: Mapping[str, str]) -> Text:
    """When all would be over, in a line."""
    zone = ZoneInfo(move.runbook.settings.time_zone)
    median, sure = (
        (made.moment + timedelta(seconds=seconds)).astimezone(zone) for seconds in (made.whole.median, made.whole.p90)
    )
    return Text.assemble(
        (f"{words['window']} ", "bold"),
        f"{median:%Y-%m-%d %H:%M}, {words['sure']} {sure:%Y-%m-%d %H:%M} ({zone.key})",
        ("  encaja forecast", "dim"),
    )


def _hour(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %H:00}"


def forecast_json(made: Forecast) -> dict[str, Any]:
    """The forecast for programs: durations and finishing times in seconds after `moment`."""
    return {
        "moment": to_text(made.moment),
        "steps": [asdict(step) for step in made.steps],
        "whole": asdict(made.whole),
        "gap": asdict(made.gap) if made.gap else None,
        "leads_from": made.leads_from or None,
        "best_hours": [{**asdict(hour), "at": to_text(hour.at)} for hour in made.best_hours],
        "worst_hour": {**asdict(made.worst_hour), "at": to_text(made.worst_hour.at)} if made.worst_hour else None,
    }


def backtest_json(item: Backtest) -> dict[str, Any]:
    """A backtest's line for programs; an empty step is the whole."""
    return {**asdict(item), "inside": item.inside, "error": item.error}


def backtest_table(results: Sequence[Backtest]) -> Table:
    """What would have been forecast, and what came."""
    table = Table(border_style="dim")
    table.add_column("pass")
    table.add_column("step", style="bold")
    for name in ("forecast", "90 % band", "actual", "off by"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("inside")
    table.add_column("from", style="dim")
    for item in results:
        table.add_row(
            item.pass_name,
            item.step or "whole",
            format_span(item.forecast.median),
            f"{format_span(item.forecast.low)} to {format_span(item.forecast.high)}",
            format_span(item.actual),
            f"{100 * item.error:.0f} %",
            Text("yes", "green") if item.inside else Text("no", "red"),
            item.basis,
            style="" if item.step else "bold",
        )
    return table
