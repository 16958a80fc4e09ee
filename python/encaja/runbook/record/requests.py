"""Requests to repeat steps (`encaja run --from`), and what in the journal they take back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from encaja.runbook.book.model import Kind, Runbook, Step
from encaja.runbook.record.journal import Attempt, EntryKind, Gate, GateState, Journal, Pass, Request, Result


@dataclass(frozen=True)
class Redo:
    """Why what the journal says of a step before a request does not count: `because` is the step that is repeated."""

    request: Request
    because: str

    def reason(self, step: Step) -> str:
        """For people."""
        if self.because == step.id:
            return f"requested again by {self.request.by}, {self.request.at:%Y-%m-%d %H:%M} UTC"
        return f"comes after '{self.because}', which is repeated"


def taken_back(runbook: Runbook, journal: Journal, pass_: Pass) -> dict[str, Redo]:
    """The latest request that each step falls under, by step.

    A request takes back what was done of its first step, of the steps of machines in its stretch, and of every step
    that depends on one of these, approvals included. `--keep` takes a step out of it that was not done since.
    """
    requests = journal.requests(pass_)
    if not requests:
        return {}
    before = {step.id: runbook.ancestors(step.id) for step in runbook}
    attempts = journal.attempts(pass_)
    found: dict[str, Redo] = {}
    for request in requests:
        kept = _kept(journal, pass_, request, attempts)
        again = [
            step.id
            for step in runbook
            if step.id in request.steps
            and (step.kind is not Kind.HUMAN or step.id == request.steps[0])
            and step.id not in kept
        ]
        for step in runbook:
            if step.id in again:
                found[step.id] = Redo(request, step.id)
            elif step.id not in kept and (first := next((name for name in again if name in before[step.id]), None)):
                found[step.id] = Redo(request, first)
    return found


def _kept(journal: Journal, pass_: Pass, request: Request, attempts: Sequence[Attempt]) -> set[str]:
    accepted = {
        entry.step
        for entry in journal.entries(pass_)
        if entry.kind is EntryKind.ACCEPTED and entry.id > request.entries
    }
    return {name for name in accepted if not _ran(name, request.attempts, attempts)}


def _ran(step: str, after: int, attempts: Sequence[Attempt]) -> bool:
    return any(
        item.step == step and item.part == "run" and item.id > after and item.result is Result.DONE for item in attempts
    )


def counted_gates(lines: Sequence[Gate], redo: Redo | None, *, permission: bool) -> list[Gate]:
    """What still counts of a gate's history.

    After a request a person is asked again. A `permission` to replace data that was given before and is not used up
    stands, so that the same command may be given again after the approval.
    """
    if redo is None:
        return list(lines)
    after = [line for line in lines if line.id > redo.request.gates]
    if not after and permission and lines and lines[-1].state is GateState.APPROVED:
        return [lines[-1]]
    return after


def open_request(runbook: Runbook, journal: Journal, pass_: Pass) -> Request | None:
    """The latest request, while any of its steps was not done since."""
    requests = journal.requests(pass_)
    if not requests:
        return None
    request = requests[-1]
    redone = taken_back(runbook, journal, pass_)
    attempts = journal.attempts(pass_)
    kept = _kept(journal, pass_, request, attempts)
    gates: dict[str, list[Gate]] = {}
    for gate in journal.gates(pass_):
        gates.setdefault(gate.step, []).append(gate)

    def done(step: Step) -> bool:
        if step.kind is Kind.HUMAN:
            lines = counted_gates(gates.get(step.id, []), redone.get(step.id), permission=False)
            return any(line.state is GateState.APPROVED for line in lines)
        return step.id in kept or _done_since(step, request, attempts)

    return None if all(done(step) for step in runbook if step.id in request.steps) else request


def _done_since(step: Step, request: Request, attempts: Sequence[Attempt]) -> bool:
    """Whether a step was run after a request, and verified after that."""
    good = [item for item in attempts if item.step == step.id and item.result is Result.DONE]
    last = max((item.id for item in good if item.part == "run"), default=0)
    if last <= request.attempts:
        return False
    return step.verify is None or any(item.part == "verify" and item.id > last for item in good)


def what_is_left(runbook: Runbook, request: Request, undone: Mapping[str, bool]) -> list[Step]:
    """The steps of a bounded request, and those before them that are not done and that they need, in order."""
    needed = {name for step in request.steps for name in runbook.ancestors(step)}
    return [step for step in runbook if step.id in request.steps or (step.id in needed and undone[step.id])]
