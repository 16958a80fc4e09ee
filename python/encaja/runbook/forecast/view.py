"""From options and journal to a forecast or a backtest, and both as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from encaja.errors import ConfigurationError
from encaja.runbook.durations import now, to_text
from encaja.runbook.forecast.past_passes import read_history
from encaja.runbook.forecast.simulation import Backtest, Forecast, PassProgress, at_place, backtest, make_forecast
from encaja.runbook.forecast.step_duration import Assumptions
from encaja.runbook.record.journal import Journal, Measure, Pass
from encaja.runbook.record.lock import is_held
from encaja.runbook.record.step_states import StepState, read_states
from encaja.runbook.record.workspace import Move

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


def read_assumptions(
    move: Move, *, link: str | None = None, size: str | None = None, leads_per_day: float | None = None
) -> Assumptions:
    """The forecast's assumptions: options, else the run-book's settings, else what the CRM shows."""
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


def forecast_pass(move: Move, pass_name: str | None, assumptions: Assumptions) -> Forecast:
    """The forecast of the pass under way, or of the next one where none is."""
    moment = now()
    if not move.journal.exists():
        return make_forecast(move.runbook, {}, assumptions, PassProgress(moment))
    with Journal(move.journal, create=False) as journal:
        known = journal.passes()
        current = _current(move, journal, known, pass_name)
        states = read_states(move, journal, current, running=is_held(move.lock)) if current else {}
        history = read_history(
            move.runbook, journal, [item for item in known if current is None or item.id != current.id]
        )
        measures = {name: _measures(journal, state) for name, state in states.items() if not state.done}
        going = replace(
            assumptions, inventories=tuple(str(path) for path in move.inventories), chosen=dict(move.chosen)
        )
        assumptions = at_place(assumptions, current) if current else going
    return make_forecast(move.runbook, history, assumptions, PassProgress(moment, states, measures))


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


def backtests(move: Move, journal: Journal, assumptions: Assumptions) -> list[Backtest]:
    """Forecasts of finished passes against how they went.

    Raises:
        ConfigurationError: there are fewer than two passes.
    """
    known = journal.passes()
    if len(known) < 2:
        raise ConfigurationError(
            "there is one pass only", str(journal.path), "a backtest needs a second one to compare with"
        )
    return backtest(move.runbook, journal, known, assumptions)


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
