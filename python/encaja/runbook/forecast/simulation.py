"""When each step and the whole will be over, with a spread, and what the gap costs.

A step's expected duration has its median from earlier passes, the run-book's estimate or the case's, and its spread
from how much is known. The steps are drawn many times in the run-book's order: machine steps one after another as the
conductor runs them, people's steps at the same time and only in working hours. Bands are the 5 % and 95 % quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Kind, Owner, Runbook, Scale, Step
from encaja.runbook.forecast.past_passes import PastStep, read_history
from encaja.runbook.forecast.step_duration import (
    Array,
    Assumptions,
    Day,
    ExpectedDuration,
    expected_duration,
    next_day,
    rest_of_download,
    under_way,
)
from encaja.runbook.record.journal import Journal, Measure, Pass
from encaja.runbook.record.step_states import State, StepState

DRAWS = 2000
SEED = 20
HOUR = 3600.0
WEEK = 7 * 24
HORIZON = 8 * WEEK


@dataclass(frozen=True)
class Spread:
    """A quantity by its 5 %, 50 %, 90 % and 95 % quantiles."""

    low: float
    median: float
    p90: float
    high: float

    @classmethod
    def of(cls, draws: Array) -> Spread:
        """The quantiles of drawn values."""
        low, median, p90, high = (float(value) for value in np.quantile(draws, [0.05, 0.5, 0.9, 0.95]))
        return cls(low, median, p90, high)

    def holds(self, value: float) -> bool:
        """Whether a value lies inside the 90 % band."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class StepForecast:
    """A step: how long, and when it is over (seconds after the forecast's moment)."""

    step: str
    duration: Spread
    finish: Spread
    basis: str
    done: bool


@dataclass(frozen=True)
class Gap:
    """What arrives in the old portal between the backup and the start in the new one."""

    seconds: Spread
    leads: Spread


@dataclass(frozen=True)
class Hour:
    """An hour to order the backup at, and the leads in the gap if it is made then."""

    at: datetime
    leads: float
    p90: float


@dataclass(frozen=True)
class Forecast:
    """The whole forecast, made at `moment`."""

    moment: datetime
    steps: tuple[StepForecast, ...]
    whole: Spread
    gap: Gap | None = None
    best_hours: tuple[Hour, ...] = ()
    worst_hour: Hour | None = None
    leads_from: str = ""


@dataclass
class Calendar:
    """Hours from a moment on: when people work, and how many leads arrive."""

    moment: datetime
    assumptions: Assumptions
    work: Array = field(init=False)
    leads: Array = field(init=False)

    def __post_init__(self) -> None:
        try:
            zone = ZoneInfo(self.assumptions.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            what = f"there is no time zone '{self.assumptions.zone}'"
            raise ConfigurationError(what, "move: time_zone", "give one like Europe/Madrid") from error
        local = self.moment.astimezone(zone)
        first, last = self.assumptions.working_hours
        offset = local.minute / 60 + local.second / HOUR
        self._grid = np.concatenate([[0.0], (np.arange(1, HORIZON + 1) - offset) * HOUR])
        hours = [(local + timedelta(hours=number)) for number in range(HORIZON)]
        working = np.array(
            [hour.weekday() in self.assumptions.working_days and first <= hour.hour < last for hour in hours], float
        )
        rates = self.assumptions.leads if len(self.assumptions.leads) == WEEK else self.assumptions.leads * 7
        arriving = np.array([rates[hour.weekday() * 24 + hour.hour] if rates else 0.0 for hour in hours]) / HOUR
        lengths = np.diff(self._grid)
        self.work = np.concatenate([[0.0], np.cumsum(working * lengths)])
        self.leads = np.concatenate([[0.0], np.cumsum(arriving * lengths)])

    def after_work(self, start: Array, seconds: Array) -> Array:
        """When people who begin at `start` have worked `seconds`."""
        if not self.assumptions.people:
            return start + seconds
        wanted = np.interp(start, self._grid, self.work) + seconds
        # Hours off have no slope; a tiny one makes the curve invertible.
        steps = self.work + np.arange(self.work.size) * 1e-9
        finish: Array = np.maximum(np.interp(wanted, steps, self._grid), start)
        return finish

    def arrived(self, start: Array, end: Array) -> Array:
        """Leads that arrive between two moments."""
        found: Array = np.interp(end, self._grid, self.leads) - np.interp(start, self._grid, self.leads)
        return found


@dataclass(frozen=True)
class Simulation:
    """Drawn finishing times in seconds after the moment, by step."""

    starts: Mapping[str, Array]
    finishes: Mapping[str, Array]
    durations: Mapping[str, Array]


def simulate(
    runbook: Runbook,
    expected: Mapping[str, ExpectedDuration],
    calendar: Calendar,
    *,
    day: Day,
    delay: float = 0.0,
    count: int = DRAWS,
) -> Simulation:
    """Draws the move many times.

    Args:
        runbook: the steps.
        expected: how long each of them takes.
        calendar: when people work.
        day: what the day does to all that machines do.
        delay: when the first step may begin, in seconds.
        count: how many times.
    """
    random = np.random.default_rng(SEED)
    shared = day.draw(random, count)
    machine = np.full(count, delay)
    starts: dict[str, Array] = {}
    finishes: dict[str, Array] = {}
    durations: dict[str, Array] = {}
    for step in runbook:
        known = expected[step.id]
        duration = known.draw(random, count, shared)
        start = np.full(count, delay)
        for need in step.needs:
            start = np.maximum(start, finishes[need])
        if known.passed:
            finish = np.full(count, delay)
        elif step.kind is Kind.HUMAN:
            awake = step.owner is Owner.CONTRACTOR or step.gap_opens or step.estimate >= timedelta(days=1)
            finish = start + duration if awake else calendar.after_work(start, duration)
        else:
            start = np.maximum(start, machine)
            finish = machine = start + duration
        starts[step.id], finishes[step.id], durations[step.id] = start, finish, duration
    return Simulation(starts, finishes, durations)


@dataclass(frozen=True)
class PassProgress:
    """Where the pass under way stands at the forecast's moment, with progress samples of what is running."""

    moment: datetime
    states: Mapping[str, StepState] = field(default_factory=dict)
    measures: Mapping[str, Sequence[Measure]] = field(default_factory=dict)


def expected_durations(
    runbook: Runbook, history: Mapping[str, Sequence[PastStep]], assumptions: Assumptions, progress: PassProgress
) -> dict[str, ExpectedDuration]:
    """By step; finished ones take no more time, those under way what is left."""
    expected: dict[str, ExpectedDuration] = {}
    for step in runbook:
        known = expected_duration(step, history.get(step.id, ()), assumptions)
        state = progress.states.get(step.id)
        if state and state.done:
            known = ExpectedDuration(state.seconds or 0.0, 0.0, "done", passed=True)
        elif state and state.state is State.RUNNING and state.last:
            elapsed = (progress.moment - state.last.at).total_seconds()
            known = under_way(known, elapsed, progress.measures.get(step.id, ()))
        elif state and state.state is State.WAITING and step.kind is Kind.HUMAN and state.since:
            known = under_way(known, (progress.moment - state.since).total_seconds(), ())
        elif state and step.scale is Scale.LINK:
            known = rest_of_download(known, progress.measures.get(step.id, ()))
        expected[step.id] = known
    return expected


def make_forecast(
    runbook: Runbook, history: Mapping[str, Sequence[PastStep]], assumptions: Assumptions, progress: PassProgress
) -> Forecast:
    """The forecast from the moment of `progress` on.

    Args:
        runbook: the steps.
        history: what earlier passes took, by step.
        assumptions: link, size, leads and working hours.
        progress: where the pass under way stands.
    """
    expected = expected_durations(runbook, history, assumptions, progress)
    calendar = Calendar(progress.moment, assumptions)
    day = next_day(history)
    drawn = simulate(runbook, expected, calendar, day=day)
    steps = tuple(
        StepForecast(
            step.id,
            Spread.of(drawn.durations[step.id]),
            Spread.of(drawn.finishes[step.id]),
            expected[step.id].basis,
            expected[step.id].passed,
        )
        for step in runbook
    )
    whole = Spread.of(np.max(np.stack([drawn.finishes[step.id] for step in runbook]), axis=0))
    gap = _gap(runbook, drawn, calendar, progress)
    best, worst = _hours(runbook, expected, assumptions, progress, day)
    return Forecast(progress.moment, steps, whole, gap, best, worst, assumptions.leads_from)


def _ends(runbook: Runbook) -> tuple[Step, Step] | None:
    opens = next((step for step in runbook if step.gap_opens), None)
    closes = next((step for step in runbook if step.gap_closes), None)
    return (opens, closes) if opens and closes else None


def _gap(runbook: Runbook, drawn: Simulation, calendar: Calendar, progress: PassProgress) -> Gap | None:
    ends = _ends(runbook)
    if ends is None:
        return None
    opens, closes = ends
    end = drawn.finishes[closes.id]
    state = progress.states.get(opens.id)
    at = progress.moment
    before = 0.0
    if state and state.done and state.since:
        opened = state.since - timedelta(seconds=state.seconds or 0)
        before = max((at - opened).total_seconds(), 0.0)
        start = np.zeros_like(end)
        earlier = Calendar(opened, calendar.assumptions)
        already = float(earlier.arrived(np.array([0.0]), np.array([before]))[0])
    else:
        start = drawn.starts[opens.id]
        already = 0.0
    return Gap(Spread.of(end - start + before), Spread.of(calendar.arrived(start, end) + already))


def _hours(
    runbook: Runbook,
    expected: Mapping[str, ExpectedDuration],
    assumptions: Assumptions,
    progress: PassProgress,
    day: Day,
) -> tuple[tuple[Hour, ...], Hour | None]:
    """The best hours of the coming week to have the backup made, and the worst."""
    ends = _ends(runbook)
    if ends is None or not assumptions.leads:
        return (), None
    opens, closes = ends
    at = progress.moment
    state = progress.states.get(opens.id)
    if state and state.done:
        return (), None
    before = runbook.ancestors(opens.id)
    ready = {
        step.id: replace(expected[step.id], passed=True) if step.id in before else expected[step.id] for step in runbook
    }
    calendar = Calendar(at, assumptions)
    first = 1.0 - (at.minute * 60 + at.second) / HOUR
    found: list[Hour] = []
    for number in range(WEEK):
        delay = (number + first) * HOUR
        drawn = simulate(runbook, ready, calendar, day=day, delay=delay, count=200)
        leads = calendar.arrived(drawn.starts[opens.id], drawn.finishes[closes.id])
        found.append(Hour(at + timedelta(seconds=delay), float(np.median(leads)), float(np.quantile(leads, 0.9))))
    ranked = sorted(found, key=lambda hour: (round(hour.leads, 1), hour.at))
    return tuple(ranked[:3]), ranked[-1]


@dataclass(frozen=True)
class Backtest:
    """What would have been forecast for a finished pass, and how long it took."""

    pass_name: str
    step: str
    forecast: Spread
    actual: float
    basis: str

    @property
    def inside(self) -> bool:
        """Whether the actual duration lies inside the 90 % band."""
        return self.forecast.holds(self.actual)

    @property
    def error(self) -> float:
        """How far the median was off, as a share of the actual duration."""
        return abs(self.forecast.median - self.actual) / self.actual if self.actual else 0.0


def backtest(runbook: Runbook, journal: Journal, passes: Sequence[Pass], assumptions: Assumptions) -> list[Backtest]:
    """Forecasts every pass but the first from those before it, with the link as its first tenth showed it.

    Only steps that a machine ran in both are compared; the whole is their sum.
    """
    results: list[Backtest] = []
    for number in range(1, len(passes)):
        earlier = read_history(runbook, journal, passes[:number])
        actual = read_history(runbook, journal, [passes[number]])
        common = [step for step in runbook if step.kind is not Kind.HUMAN and step.id in earlier and step.id in actual]
        if not common:
            continue
        random = np.random.default_rng(SEED)
        shared = next_day(earlier).draw(random, DRAWS)
        total = np.zeros(DRAWS)
        for step in common:
            taken = actual[step.id][-1]
            known = expected_duration(
                step, earlier[step.id], at_place(measured_early(assumptions, taken), passes[number])
            )
            draws = known.draw(random, DRAWS, shared)
            total += draws
            results.append(Backtest(passes[number].name, step.id, Spread.of(draws), taken.seconds, known.basis))
        whole = sum(actual[step.id][-1].seconds for step in common)
        results.append(Backtest(passes[number].name, "", Spread.of(total), whole, "sum"))
    return results


def at_place(assumptions: Assumptions, pass_: Pass) -> Assumptions:
    """The assumptions with where a pass went."""
    details = pass_.details
    return replace(assumptions, inventories=tuple(details.get("inventories") or ()), chosen=details.get("set") or {})


def measured_early(assumptions: Assumptions, taken: PastStep) -> Assumptions:
    """The link as it showed itself in the first tenth of the download, which is when one forecasts."""
    if taken.link is None or not taken.link.rates:
        return assumptions
    early = taken.link.rates[: max(1, len(taken.link.rates) // 10)]
    return replace(assumptions, link=sum(early) / len(early), size=taken.link.size)
