"""Two passes side by side: what was slower, what was faster, which faults are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from encaja.runbook.book.model import Runbook
from encaja.runbook.forecast.past_passes import PastStep, read_history
from encaja.runbook.record.journal import Attempt, Journal, Pass, Result

# A step counts as slower or faster from a tenth of its time and one second on.
SHARE, SECONDS = 0.1, 1.0


class Trend(StrEnum):
    """How a step of the later pass compares with the earlier one."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True)
class StepDifference:
    """One step in two passes; times in seconds, None where a pass did not finish it."""

    step: str
    before: float | None
    after: float | None
    trend: Trend
    new_faults: tuple[str, ...] = ()


def compare_passes(runbook: Runbook, journal: Journal, before: Pass, after: Pass) -> list[StepDifference]:
    """The steps that at least one of the passes finished or failed, in the run-book's order."""
    first = _last(read_history(runbook, journal, [before]))
    second = _last(read_history(runbook, journal, [after]))
    old_faults, new_faults = _faults(journal, before), _faults(journal, after)
    found = []
    for step in runbook:
        past, now = first.get(step.id), second.get(step.id)
        fresh = tuple(fault for fault in new_faults.get(step.id, ()) if fault not in old_faults.get(step.id, ()))
        if past is None and now is None and not fresh:
            continue
        found.append(
            StepDifference(
                step.id, past.seconds if past else None, now.seconds if now else None, _trend(past, now), fresh
            )
        )
    return found


def _last(history: Mapping[str, Sequence[PastStep]]) -> dict[str, PastStep]:
    return {step: items[-1] for step, items in history.items()}


def _trend(past: PastStep | None, now: PastStep | None) -> Trend:
    if past is None or now is None:
        return Trend.NEW if past is None else Trend.GONE
    change = now.seconds - past.seconds
    if abs(change) < max(SECONDS, SHARE * past.seconds):
        return Trend.SAME
    return Trend.SLOWER if change > 0 else Trend.FASTER


def _faults(journal: Journal, pass_: Pass) -> dict[str, list[str]]:
    attempts: dict[int, Attempt] = {attempt.id: attempt for attempt in journal.attempts(pass_)}
    found: dict[str, list[str]] = {}
    for fault in journal.faults(pass_):
        attempt = attempts[fault.attempt]
        if attempt.result in (Result.FAILED, Result.DIFFERENCES):
            found.setdefault(attempt.step, []).append(f"{fault.host}: {fault.what}" if fault.host else fault.what)
    return found
