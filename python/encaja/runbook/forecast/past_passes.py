"""What is known from earlier passes: how long each step took, the rate of its link, how often it failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from statistics import median

from encaja.runbook.book.model import Kind, Runbook, Scale, Step
from encaja.runbook.record.journal import Attempt, Event, Gate, GateState, Journal, Measure, Pass, Result
from encaja.runbook.record.step_states import ANSWERED_BY_YES, CHECK, RUN

# What the tools that fetch a backup call that phase: `encaja backup fetch`, and the restore, which unpacks meanwhile.
DOWNLOADS = ("fetch", "stream")
# What a task takes that only looks, where no task of the step says.
LOOKING_SECONDS = 0.5
# How far the time of a step that has nothing more to change is off what is worked out from its first time.
CONVERGED_SPREAD = 0.3


@dataclass(frozen=True)
class Link:
    """A download: `size` in bytes, `seconds` for all of it at its mean rate, `rates` in bytes a second."""

    size: float
    seconds: float
    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        """The mean rate in bytes a second."""
        return self.size / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Converged:
    """How long a step would take where what it changed is there already, in seconds, and the spread of that."""

    seconds: float
    spread: float


@dataclass(frozen=True)
class PastStep:
    """A step as one pass went through it; times in seconds. `place` says on which hosts it worked."""

    step: str
    pass_name: str
    seconds: float
    failures: int
    begun: datetime
    ended: datetime
    link: Link | None = None
    converged: Converged | None = None
    place: tuple[str, ...] = ()
    machine: bool = True


def past_step(step: Step, pass_: Pass, attempts: Sequence[Attempt], measures: Sequence[Measure]) -> PastStep | None:
    """What a pass says about a step that it finished; None where it did not.

    A step that continues where it stopped (a download, a carry-over) counts all its attempts; any other only the last
    one of each part, for that is what the next pass will have to do.
    """
    counted = [attempt for attempt in attempts if attempt.part != CHECK and attempt.ended]
    done = [attempt for attempt in counted if attempt.result is Result.DONE]
    if not done:
        return None
    failures = sum(attempt.result in (Result.FAILED, Result.DIFFERENCES) for attempt in counted)
    if step.scale in (Scale.LINK, Scale.RECORDS):
        used = counted
    else:
        used = list({attempt.part: attempt for attempt in done}.values())
    seconds = sum(attempt.seconds or 0.0 for attempt in used)
    ended = max(attempt.ended for attempt in done if attempt.ended)
    link = link_of(measures) if step.scale is Scale.LINK else None
    return PastStep(step.id, pass_.name, seconds, failures, counted[0].at, ended, link, place=place_of(step, pass_))


def place_of(step: Step, pass_: Pass) -> tuple[str, ...]:
    """Where a step of a pass worked, see `place`."""
    return place(step, pass_.details.get("inventories") or (), pass_.details.get("set") or {})


def place(step: Step, inventories: Iterable[object], chosen: Mapping[str, str]) -> tuple[str, ...]:
    """What says on which hosts a step works: the inventories, and those of the pass's variables that the step uses."""
    named = tuple(str(path) for path in inventories)
    text = repr(step.action)
    used = tuple(f"{key}={value}" for key, value in sorted(chosen.items()) if re.search(rf"\$\{{?{key}\b", text))
    return (*named, *used) if named else ()


def converged(seconds: float, events: Iterable[Event]) -> Converged | None:
    """What is left of a step that took `seconds` once none of its tasks has anything to change; None if none changed.

    Ansible goes from task to task: a task takes as long as its slowest host. One that changed something is taken to
    need as long as the others, in the middle, once it only looks.
    """
    tasks: list[tuple[str, float, bool, set[str]]] = []
    for event in events:
        if event.kind not in ("ok", "changed", "skipped"):
            continue
        if not tasks or tasks[-1][0] != event.task or event.host in tasks[-1][3]:
            tasks.append((event.task, 0.0, False, set()))
        name, longest, changed, hosts = tasks[-1]
        tasks[-1] = (name, max(longest, event.seconds), changed or event.changed, hosts | {event.host})
    changing = [longest for _, longest, changed, _ in tasks if changed]
    if not changing:
        return None
    looking = median([longest for _, longest, changed, _ in tasks if not changed] or [LOOKING_SECONDS])
    saved = sum(max(longest - looking, 0.0) for longest in changing)
    left = max(seconds - saved, LOOKING_SECONDS)
    return Converged(left, CONVERGED_SPREAD * min(1.0, saved / left))


def past_gate(step: Step, pass_: Pass, lines: Sequence[Gate]) -> PastStep | None:
    """How long a person took in an earlier pass; None where the gate was not approved, or answered by `--yes`."""
    waiting = next((line for line in lines if line.state is GateState.WAITING), None)
    approved = next((line for line in reversed(lines) if line.state is GateState.APPROVED), None)
    if waiting is None or approved is None or approved.note == ANSWERED_BY_YES:
        return None
    seconds = (approved.at - waiting.at).total_seconds()
    return PastStep(
        step.id, pass_.name, seconds, 0, waiting.at, approved.at, place=place_of(step, pass_), machine=False
    )


def link_of(measures: Iterable[Measure]) -> Link | None:
    """The download among a step's progress samples, else its biggest transfer in bytes."""
    by_name: dict[str, list[Measure]] = {}
    for measure in measures:
        if measure.unit == "bytes":
            by_name.setdefault(measure.name, []).append(measure)
    if not by_name:
        return None
    downloads = [items for name, items in by_name.items() if name in DOWNLOADS]
    samples = with_rates(_while_it_ran(max(downloads or by_name.values(), key=lambda items: items[-1].total)))
    # Between two attempts nothing was transferred: that time is not the link's.
    pairs = [(a, b) for a, b in pairwise(samples) if a.attempt == b.attempt]
    moved = sum(after.done - before.done for before, after in pairs)
    seconds = sum((after.at - before.at).total_seconds() for before, after in pairs)
    rates = tuple(sample.rate for sample in samples if sample.rate > 0)
    if seconds <= 0 or moved <= 0:
        mean = sum(rates) / len(rates) if rates else 0.0
        return Link(samples[-1].total, samples[-1].total / mean, rates) if mean else None
    # What came before a first sample took as long as its share at the mean rate.
    return Link(samples[-1].total, seconds * samples[-1].total / moved, rates)


def _while_it_ran(samples: Sequence[Measure]) -> Sequence[Measure]:
    """The samples up to the first that has everything: what a tool does after the last byte is not the link's time."""
    end = samples[-1].done
    whole = end >= samples[-1].total
    last = next((number for number, sample in enumerate(samples) if whole and sample.done >= end), len(samples) - 1)
    return samples[: last + 1]


def with_rates(samples: Sequence[Measure]) -> list[Measure]:
    """The samples with the rate between each and the one before; a tool's own rate is a mean since its start."""
    found = [samples[0]]
    for before, sample in pairwise(samples):
        seconds = (sample.at - before.at).total_seconds()
        if seconds > 0 and sample.done >= before.done and sample.attempt == before.attempt:
            found.append(replace(sample, rate=(sample.done - before.done) / seconds))
        else:
            found.append(sample)
    return found


def _converged(found: PastStep, attempts: Sequence[Attempt], journal: Journal) -> Converged | None:
    done = [attempt for attempt in attempts if attempt.result is Result.DONE and attempt.part == RUN]
    return converged(found.seconds, journal.events(done[-1].id)) if done else None


def read_history(runbook: Runbook, journal: Journal, passes: Iterable[Pass]) -> dict[str, list[PastStep]]:
    """What the given passes say about each step, the oldest pass first."""
    history: dict[str, list[PastStep]] = {}
    for pass_ in passes:
        attempts: dict[str, list[Attempt]] = {}
        for attempt in journal.attempts(pass_):
            attempts.setdefault(attempt.step, []).append(attempt)
        gates: dict[str, list[Gate]] = {}
        for gate in journal.gates(pass_):
            gates.setdefault(gate.step, []).append(gate)
        for step in runbook:
            if step.kind is Kind.HUMAN:
                found = past_gate(step, pass_, gates.get(step.id, []))
            else:
                own = attempts.get(step.id, [])
                measures = [item for attempt in own for item in journal.measures(attempt.id)] if own else []
                found = past_step(step, pass_, own, measures)
                if found and runbook.converges(step):
                    found = replace(found, converged=_converged(found, own, journal))
            if found:
                history.setdefault(step.id, []).append(found)
    return history
