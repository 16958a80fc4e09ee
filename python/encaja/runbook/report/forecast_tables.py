"""Forecasts and backtests as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from encaja.runbook.durations import format_span
from encaja.runbook.forecast.simulation import Backtest, Forecast
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.live_display import OWNER_STYLE


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
    table.add_column("owner")
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


def finish_line(move: Move, made: Forecast, words: Mapping[str, str]) -> Text:
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
