"""The journal in order of time: attempts, gates, faults and notes of a pass as lines of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from encaja.runbook.durations import format_bytes, to_text
from encaja.runbook.record.journal import Attempt, Journal, Pass
from encaja.runbook.record.step_states import CONFIRM_SUFFIX


@dataclass(frozen=True)
class Line:
    """One thing that happened."""

    at: datetime
    pass_name: str
    kind: str
    step: str
    text: str
    by: str = ""
    seconds: float | None = None
    result: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs: the moment in ISO 8601 UTC, the duration in seconds."""
        return {
            "at": to_text(self.at),
            "pass": self.pass_name,
            "kind": self.kind,
            "step": self.step,
            "text": self.text,
            "by": self.by,
            "seconds": self.seconds,
            "result": self.result or None,
        }


def lines(journal: Journal, pass_: Pass) -> list[Line]:
    """All lines of a pass, the oldest first."""
    attempts = journal.attempts(pass_)
    steps = {attempt.id: attempt.step for attempt in attempts}
    found = [_attempt_line(journal, pass_, attempt) for attempt in attempts]
    for gate in journal.gates(pass_):
        step = gate.step.removesuffix(CONFIRM_SUFFIX)
        found.append(Line(gate.at, pass_.name, "gate", step, gate.note, gate.by, result=str(gate.state)))
    for fault in journal.faults(pass_):
        where = " · ".join(filter(None, [fault.host, fault.task]))
        text = f"{where}: {fault.what}" if where else fault.what
        found.append(Line(fault.at, pass_.name, "fault", steps[fault.attempt], text))
    for request in journal.requests(pass_):
        first, last = request.steps[0], request.steps[-1]
        text = f"'{first}'" + (f" to '{last}'" if len(request.steps) > 1 else "") + " to be repeated"
        found.append(Line(request.at, pass_.name, "again", first, text, request.by))
    found += [
        Line(entry.at, pass_.name, str(entry.kind), entry.step, entry.text, entry.by)
        for entry in journal.entries(pass_)
    ]
    return sorted(found, key=lambda line: line.at)


def _attempt_line(journal: Journal, pass_: Pass, attempt: Attempt) -> Line:
    words = [attempt.part if attempt.number == 1 else f"{attempt.part} {attempt.number}"]
    if attempt.stats.get("changed"):
        words.append(f"{attempt.stats['changed']} changed")
    transfers = {item.name: item for item in journal.measures(attempt.id) if item.unit == "bytes"}
    words += [f"{name} {format_bytes(item.done)}" for name, item in transfers.items()]
    if attempt.summary:
        words.append(attempt.summary)
    result = str(attempt.result) if attempt.result else "open"
    return Line(attempt.at, pass_.name, "step", attempt.step, ", ".join(words), attempt.by, attempt.seconds, result)
