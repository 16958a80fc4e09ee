"""How long a step will take: a median and a spread, from what earlier passes took and what is known of the link.

A step that was done once has one observation, which says nothing of how much it varies. So the spread starts from what
is usual and gives way to what the passes themselves show (a scaled inverse chi-squared prior, whose prediction is
Student's t). The one observation varied as the next one will: both count. With more passes the band narrows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from encaja.runbook.book.model import Kind, Scale, Step
from encaja.runbook.forecast.past_passes import Link, PastStep, link_of, place
from encaja.runbook.record.journal import Measure

Array = NDArray[np.float64]

# Spreads are standard deviations of the logarithm of a duration.
SPREAD_ESTIMATE = 0.45
SPREAD_PERSON = 0.35
# How much one run of a step differs from the next on the same hosts.
SPREAD_RUN = 0.08
# What makes one step slow on a day (a busy machine, a slow disk) makes the others slow as well.
SPREAD_DAY = 0.07
# So many passes the two above weigh against what the passes show.
PRIOR_WEIGHT = 5
# The case's two downloads took 10 and 14 hours: that is what a link does from one day to another.
SPREAD_LINK_UNMEASURED = 0.24
SPREAD_LINK_MEASURED = 0.05
SPREAD_FAILURE = 0.2
# Seconds by which the start of processes differs from run to run: much of a short step, nothing of a long one.
START_SECONDS = 0.25
LINK_PARTS = 8


@dataclass(frozen=True)
class Assumptions:
    """What a forecast assumes: link in bytes a second, size in bytes, leads by hour of the day or week, their source.

    `inventories` and `chosen`, the pass's own variables, say where it goes: a step that ran on the same hosts before
    has less to change.
    """

    link: float | None = None
    size: float | None = None
    leads: tuple[float, ...] = ()
    leads_from: str = ""
    working_hours: tuple[int, int] = (9, 18)
    working_days: tuple[int, ...] = (0, 1, 2, 3, 4)
    zone: str = "UTC"
    people: bool = True
    inventories: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExpectedDuration:
    """A step's duration: median in seconds, spread, and what it was taken from.

    Of a download, `median` is the transfer alone and `fixed` what the step does besides. `freedom` are the degrees of
    freedom of Student's t that the spreads are scales of; 0 is the normal distribution.
    """

    median: float
    spread: float
    basis: str
    fixed: float = 0.0
    fixed_spread: float = 0.0
    passed: bool = False
    machine: bool = True
    freedom: int = 0

    def draw(self, random: np.random.Generator, count: int, day: Array | None = None) -> Array:
        """Drawn durations in seconds; `day` are logarithms of what the day does to all that machines do."""
        shared = np.zeros(count) if day is None or self.passed else day
        if not self.fixed:
            own = self._scatter(random, count, self.spread)
            return self.median * np.exp(own + shared if self.machine and self.spread else own)
        besides = self._scatter(random, count, self.fixed_spread)
        link = random.normal(0.0, self.spread, count) if self.spread else np.zeros(count)
        return self.fixed * np.exp(besides + shared) + self.median * np.exp(link)

    def _scatter(self, random: np.random.Generator, count: int, spread: float) -> Array:
        return _scatter(random, count, spread, self.freedom)


def _scatter(random: np.random.Generator, count: int, spread: float, freedom: int) -> Array:
    if not spread:
        return np.zeros(count)
    drawn: Array = random.standard_t(freedom, count) if freedom else random.normal(size=count)
    return spread * drawn


@dataclass(frozen=True)
class Day:
    """How much all machines together are slower or faster in the next pass than in those so far."""

    spread: float
    freedom: int

    def draw(self, random: np.random.Generator, count: int) -> Array:
        """Drawn logarithms."""
        return _scatter(random, count, self.spread, self.freedom)


def expected_duration(step: Step, past: Sequence[PastStep], assumptions: Assumptions) -> ExpectedDuration:
    """How long a step will take, before anything of it has happened."""
    human = step.kind is Kind.HUMAN
    if not past:
        if step.scale is Scale.LINK and assumptions.link and assumptions.size:
            return ExpectedDuration(
                assumptions.size / assumptions.link, SPREAD_LINK_UNMEASURED, "measured link", machine=False
            )
        spread = SPREAD_PERSON * math.sqrt(2) if human else SPREAD_ESTIMATE
        return ExpectedDuration(
            step.estimate.total_seconds(), spread if step.estimate else 0.0, "run-book", machine=not human
        )
    links = [item.link for item in past if item.link]
    if step.scale is Scale.LINK and links:
        return _link_duration(past, links, assumptions)
    here = place(step, assumptions.inventories, assumptions.chosen)
    known = [_seconds(item, here) for item in past]
    median, spread, freedom = _learned([seconds for seconds, _ in known], SPREAD_PERSON if human else SPREAD_RUN)
    spread = math.hypot(_widened(spread, median, past), known[-1][1])
    return ExpectedDuration(median, spread, _basis(past), machine=not human, freedom=freedom)


def _seconds(item: PastStep, here: tuple[str, ...]) -> tuple[float, float]:
    """What a pass says that the step takes, and the spread of that: less where its changes will be there already."""
    if item.converged and item.place and item.place == here:
        return item.converged.seconds, item.converged.spread
    return item.seconds, 0.0


def _learned(values: Sequence[float], usual: float) -> tuple[float, float, int]:
    """Median, spread and degrees of freedom of the next value, from those so far and the usual spread."""
    logs = np.log(np.maximum(values, 0.05))
    count = len(logs)
    freedom = PRIOR_WEIGHT + count - 1
    variance = (PRIOR_WEIGHT * usual**2 + float(np.sum((logs - np.mean(logs)) ** 2))) / freedom
    return math.exp(float(np.median(logs))), math.sqrt(variance * (1 + 1 / count)), freedom


def _widened(spread: float, median: float, past: Sequence[PastStep]) -> float:
    """A spread with what comes on top: a step that failed may do so again, and a short one has its start's share."""
    if past[-1].failures:
        spread = math.hypot(spread, SPREAD_FAILURE)
    return math.hypot(spread, min(0.5, START_SECONDS * math.sqrt(1 + 1 / len(past)) / max(median, START_SECONDS)))


def _link_duration(past: Sequence[PastStep], links: Sequence[Link], assumptions: Assumptions) -> ExpectedDuration:
    besides = [max(item.seconds - item.link.seconds, 0.0) for item in past if item.link]
    link = links[-1]
    size = assumptions.size or link.size
    rate = assumptions.link or math.exp(float(np.median([math.log(item.rate) for item in links])))
    base = SPREAD_LINK_MEASURED if assumptions.link else SPREAD_LINK_UNMEASURED
    spread = math.hypot(base, max(unsteadiness(item.rates) for item in links))
    basis = f"{_basis(past)}, {'measured link' if assumptions.link else 'link as it was'}"
    fixed, fixed_spread, freedom = _learned(besides, SPREAD_RUN)
    if max(besides) <= 0:
        return ExpectedDuration(size / rate, spread, basis, machine=False)
    fixed_spread = _widened(fixed_spread, fixed, past)
    return ExpectedDuration(size / rate, spread, basis, fixed=fixed, fixed_spread=fixed_spread, freedom=freedom)


def unsteadiness(rates: Sequence[float]) -> float:
    """How far a short measurement of a link is off the mean of the download after it, as a spread.

    The measurement is taken to last as long as one of the parts that the download with these rates is cut into.
    """
    parts = min(LINK_PARTS, len(rates) // 2)
    if parts < 2:
        return 0.1
    means = np.array([float(np.mean(part)) for part in np.array_split(np.array(rates), parts)])
    return float(np.std(means, ddof=1) / np.mean(means))


def _basis(past: Sequence[PastStep]) -> str:
    names = list(dict.fromkeys(item.pass_name for item in past))
    return names[0] if len(names) == 1 else f"{len(names)} passes"


def next_day(history: Mapping[str, Sequence[PastStep]]) -> Day:
    """What the day will do to all machines, from how the passes so far differ over all their steps."""
    machines = [past for past in history.values() if past and past[0].machine]
    off: dict[str, list[float]] = {item.pass_name: [] for past in machines for item in past}
    for past in machines:
        logs = np.log(np.maximum([item.seconds for item in past], 0.05))
        for item, log in zip(past, logs, strict=True):
            off[item.pass_name].append(float(log - np.mean(logs)))
    count = max(len(off), 1)
    freedom = PRIOR_WEIGHT + count - 1
    variance = (PRIOR_WEIGHT * SPREAD_DAY**2 + sum(float(np.median(values)) ** 2 for values in off.values())) / freedom
    return Day(math.sqrt(variance * (1 + 1 / count)), freedom)


def under_way(known: ExpectedDuration, elapsed: float, measures: Sequence[Measure]) -> ExpectedDuration:
    """What is left of a step that began `elapsed` seconds ago."""
    recent = [item for item in measures if item.unit == "bytes"]
    link = link_of(recent)
    if link and recent[-1].total > recent[-1].done:
        rates = [item.rate for item in recent if item.rate > 0][-20:]
        rate = sum(rates) / len(rates) if rates else link.rate
        if rate > 0:
            left = (recent[-1].total - recent[-1].done) / rate
            return ExpectedDuration(left, math.hypot(SPREAD_LINK_MEASURED, 0.05), "under way", machine=False)
    left = known.fixed + known.median - elapsed
    # An overdue step takes at least a tenth of its time so far.
    return ExpectedDuration(max(left, elapsed * 0.1), max(known.spread, 0.2), "under way", machine=known.machine)


def rest_of_download(known: ExpectedDuration, measures: Sequence[Measure]) -> ExpectedDuration:
    """What is left of an interrupted download: what has arrived is not fetched again."""
    arrived = [item for item in measures if item.unit == "bytes" and item.total > 0]
    if not arrived:
        return known
    last = max(arrived, key=lambda item: (item.total, item.at))
    return replace(known, median=max(known.median * (1 - last.done / last.total), 1.0))
