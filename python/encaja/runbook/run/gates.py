"""Gates: a person decides, by name and with a note, and the journal keeps the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Kind, Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import Fault, Gate, GateState, Journal, Pass
from encaja.runbook.record.requests import Redo, counted_gates, taken_back
from encaja.runbook.record.step_states import ANSWERED_BY_YES, confirm_gate, gate_state
from encaja.runbook.record.workspace import Move
from encaja.runbook.run.display import GateDisplay


class Notifier(Protocol):
    """Notifies people of gates and failures."""

    def notify_gate(
        self, move: Move, pass_: Pass, step: Step, state: GateState, expires: datetime | None
    ) -> Sequence[str]:
        """Send the notice of a gate; returns a line for the journal for each message or failure to deliver."""

    def notify_failure(self, move: Move, pass_: Pass, step: Step, fault: Fault) -> Sequence[str]:
        """Notify the team of a step that failed and is not tried again; returns lines for the journal."""


@dataclass(frozen=True)
class GateKeeper:
    """Who asks, where, and for whom."""

    journal: Journal
    pass_: Pass
    display: GateDisplay
    notify: Callable[[Step, GateState, datetime | None], None]
    by: str
    yes: bool
    redone: Mapping[str, Redo] = field(default_factory=dict)


def ask_for_decision(keeper: GateKeeper, step: Step, gate: str, question: str) -> GateState:
    """Ask for a decision where none was made; returns the gate's state.

    Args:
        keeper: the conductor.
        step: the step that the gate belongs to.
        gate: the gate's name in the journal.
        question: what is to be decided.
    """
    lines = counted_gates(
        keeper.journal.gates(keeper.pass_, gate), keeper.redone.get(step.id), permission=gate != step.id
    )
    state, last = gate_state(lines, now())
    if last is not None and state is GateState.APPROVED and not _used_up(keeper, step, gate, last):
        return state
    if last is not None and state is GateState.REJECTED:
        keeper.display.gate(step, state, f"{last.by}: {last.note}" if last.note else last.by, None)
        return state
    if last is None or state is not GateState.WAITING:
        if last is not None and state is GateState.EXPIRED and last.state is GateState.WAITING:
            keeper.journal.add_gate(keeper.pass_, gate, GateState.EXPIRED, by="encaja", note="nobody decided in time")
            keeper.display.gate(step, GateState.EXPIRED, "", last.expires)
        last = _open_gate(keeper, step, gate, question)
    return _ask(keeper, step, gate, question, last.expires)


def _open_gate(keeper: GateKeeper, step: Step, gate: str, question: str) -> Gate:
    expires = now() + step.expires if step.expires else None
    opened = keeper.journal.add_gate(
        keeper.pass_, gate, GateState.WAITING, by=keeper.by, note=question, expires=expires
    )
    if not keeper.yes:
        keeper.notify(step, GateState.WAITING, expires)
    return opened


def _ask(keeper: GateKeeper, step: Step, gate: str, question: str, expires: datetime | None) -> GateState:
    answer = (GateState.APPROVED, ANSWERED_BY_YES) if keeper.yes else keeper.display.ask(step, question)
    if answer is None:
        keeper.display.gate(step, GateState.WAITING, "", expires)
        return GateState.WAITING
    decision, note = answer
    keeper.journal.add_gate(keeper.pass_, gate, decision, by=keeper.by, note=note)
    keeper.display.gate(step, decision, "--yes" if keeper.yes else keeper.by, None)
    return decision


def withdraw_permission(journal: Journal, pass_: Pass, step: Step, note: str) -> None:
    """Withdraw the question whether a step may replace data, and an answer that was not used: it is asked again."""
    gate = confirm_gate(step)
    state, _ = gate_state(journal.gates(pass_, gate), now())
    if state is not None and state is not GateState.EXPIRED:
        journal.add_gate(pass_, gate, GateState.EXPIRED, by="encaja", note=note)


def _used_up(keeper: GateKeeper, step: Step, gate: str, approval: Gate) -> bool:
    """Whether an attempt that ended well used up a permission, or a person's step has to be repeated."""
    if gate == step.id:
        return True
    return any(
        attempt.at > approval.at and attempt.result == "done" and attempt.part == "run"
        for attempt in keeper.journal.attempts(keeper.pass_, step.id)
    )


def record_decision(
    move: Move, journal: Journal, pass_: Pass, step_id: str, *, decision: GateState, by: str, note: str
) -> Gate:
    """Approve or reject a gate that waits.

    Raises:
        ConfigurationError: there is no such step, it does not wait, its time is over, or a name or note is missing.
    """
    step = move.step(step_id)
    if not by.strip():
        raise ConfigurationError("no name is given", f"step '{step_id}'", "say who decides with --by NAME")
    if decision is GateState.REJECTED and not note.strip():
        raise ConfigurationError("a rejection needs its reason", f"step '{step_id}'", "give it with --note TEXT")
    if not step.gated:
        raise ConfigurationError("has no gate", f"step '{step_id}'", "'encaja status' shows what waits")
    gate = step.id if step.kind is Kind.HUMAN else confirm_gate(step)
    redo = taken_back(move.runbook, journal, pass_).get(step.id)
    lines = counted_gates(journal.gates(pass_, gate), redo, permission=gate != step.id)
    state, last = gate_state(lines, now())
    if state is GateState.WAITING:
        return journal.add_gate(pass_, gate, decision, by=by.strip(), note=note.strip())
    if state is GateState.REJECTED and decision is GateState.APPROVED and last is not None:
        # A change of mind: the rejection stays in the journal, right above the approval.
        return journal.add_gate(pass_, gate, decision, by=by.strip(), note=note.strip())
    raise ConfigurationError(_why_not(state, last), f"step '{step_id}'", "'encaja status' shows what waits")


def _why_not(state: GateState | None, last: Gate | None) -> str:
    if state is None or last is None:
        return "is not waiting: the move has not come to it yet"
    if state is GateState.EXPIRED:
        return "is not waiting: its time is over, 'encaja run' asks again"
    return f"is not waiting: {state} by {last.by} at {last.at:%Y-%m-%d %H:%M} UTC, which stays in the journal"
