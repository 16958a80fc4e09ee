"""The state of every step of a pass, from the journal alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from encaja.runbook.book.fingerprint import Fingerprinter, changes, digest
from encaja.runbook.book.model import Action, Kind, Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import Attempt, Entry, EntryKind, Gate, GateState, Journal, Pass, Result
from encaja.runbook.record.requests import Redo, counted_gates, taken_back
from encaja.runbook.record.workspace import Move

RUN, VERIFY, CHECK = "run", "verify", "check"
CONFIRM_SUFFIX = ":start"
ANSWERED_BY_YES = "answered by --yes"


class State(StrEnum):
    """What a step's line in the table says."""

    DONE = "done"
    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DIFFERENCES = "differences"
    STALE = "stale"
    WAITING = "waiting"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class StepState:
    """A step's state, since when, and why it has to be repeated if it has."""

    step: Step
    state: State
    since: datetime | None = None
    seconds: float | None = None
    attempts: int = 0
    reason: str = ""
    changed_inputs: tuple[str, ...] = ()
    by: str = ""
    last: Attempt | None = None
    redo: Redo | None = None

    @property
    def keepable(self) -> bool:
        """Whether it was done, and could stand as it is: its inputs changed, or its repetition was requested."""
        asked = self.redo is not None and self.redo.because == self.step.id
        ended_well = self.last is not None and self.last.result is Result.DONE
        return not self.done and ended_well and (asked or bool(self.changed_inputs))

    @property
    def done(self) -> bool:
        """Whether the steps that need it may start."""
        return self.state is State.DONE


@dataclass
class Inputs:
    """Manifests of actions as the files are now."""

    move: Move
    fingerprinter: Fingerprinter = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprinter = Fingerprinter(self.move.project, self.move.inventories)

    def of(self, action: Action) -> tuple[dict[str, str], str]:
        """The manifest and fingerprint of an action as the run-book gives it."""
        manifest = self.fingerprinter.manifest(self.move.filled(action))
        return manifest, digest(manifest)


def gate_state(lines: Sequence[Gate], moment: datetime) -> tuple[GateState | None, Gate | None]:
    """A gate's state from its history: what its last line says, or expired if its time ran out while it waited."""
    if not lines:
        return None, None
    last = lines[-1]
    if last.state is GateState.WAITING and last.expires and moment >= last.expires:
        return GateState.EXPIRED, last
    return last.state, last


def confirm_gate(step: Step) -> str:
    """The name under which the permission to start a destructive step is journalled."""
    return step.id + CONFIRM_SUFFIX


def read_states(
    move: Move, journal: Journal, pass_: Pass | None, inputs: Inputs | None = None, *, running: bool = False
) -> dict[str, StepState]:
    """The state of every step.

    Args:
        move: the move.
        journal: its journal.
        pass_: the pass to look at; None is a pass that has not started.
        inputs: fingerprints of the steps as they are now; without them no step is found stale for changed inputs.
        running: whether a conductor is at work, so that an attempt without an outcome runs rather than died.
    """
    attempts: dict[str, list[Attempt]] = {}
    gates: dict[str, list[Gate]] = {}
    accepted: list[Entry] = []
    redone: dict[str, Redo] = {}
    if pass_:
        for attempt in journal.attempts(pass_):
            attempts.setdefault(attempt.step, []).append(attempt)
        for gate in journal.gates(pass_):
            gates.setdefault(gate.step, []).append(gate)
        accepted = [entry for entry in journal.entries(pass_) if entry.kind is EntryKind.ACCEPTED]
        redone = taken_back(move.runbook, journal, pass_)
    known = {entry.text for entry in accepted}
    states: dict[str, StepState] = {}
    for step in move.runbook:
        redo = redone.get(step.id)
        if step.kind is Kind.HUMAN:
            lines = gates.get(step.id, [])
            state = _human(step, counted_gates(lines, redo, permission=False))
            if redo and lines and state.state is State.PENDING:
                state = replace(state, reason=redo.reason(step), redo=redo)
            states[step.id] = _stale_for_data(state, move, states)
            continue
        own = attempts.get(step.id, [])
        state = _machine(step, own, redo, running=running)
        if state.done and inputs and state.last:
            state = _stale_for_inputs(state, state.last, journal, inputs, known)
        state = _stale_for_data(state, move, states)
        permission = counted_gates(gates.get(confirm_gate(step), []), redo, permission=True)
        states[step.id] = _with_permission(state, permission)
    return states


def _human(step: Step, lines: Sequence[Gate]) -> StepState:
    state, last = gate_state(lines, now())
    if state is None or last is None:
        return StepState(step, State.PENDING)
    first = _since_waiting(lines)
    seconds = (last.at - first).total_seconds() if state is GateState.APPROVED and first else None
    shown = {
        GateState.APPROVED: State.DONE,
        GateState.WAITING: State.WAITING,
        GateState.REJECTED: State.REJECTED,
        GateState.EXPIRED: State.EXPIRED,
    }[state]
    return StepState(step, shown, last.at, seconds, reason=last.note, by=last.by)


def _since_waiting(lines: Sequence[Gate]) -> datetime | None:
    """When the wait that the last line ended began."""
    waiting = [line for line in lines if line.state is GateState.WAITING]
    return waiting[-1].at if waiting else None


def _machine(step: Step, attempts: Sequence[Attempt], redo: Redo | None, *, running: bool) -> StepState:
    runs = [attempt for attempt in attempts if attempt.part == RUN]
    if not runs:
        return StepState(step, State.PENDING)
    last = runs[-1]
    if redo and last.id <= redo.request.attempts:
        before = _machine(step, attempts, None, running=False)
        shown = State.STALE if before.done else State.PENDING
        return replace(before, state=shown, reason=redo.reason(step), redo=redo)
    shown = _shown(last, running=running)
    ended, seconds = last.ended, last.seconds
    if shown is State.DONE and step.verify:
        verified = [attempt for attempt in attempts if attempt.part == VERIFY and attempt.id > last.id]
        if not verified:
            shown = State.INTERRUPTED
        else:
            shown = _shown(verified[-1], running=running)
            ended = verified[-1].ended
            seconds = (seconds or 0) + (verified[-1].seconds or 0)
            return StepState(
                step, shown, ended or last.at, seconds, len(runs), verified[-1].summary, by=last.by, last=last
            )
    return StepState(step, shown, ended or last.at, seconds, len(runs), last.summary, by=last.by, last=last)


def _with_permission(state: StepState, lines: Sequence[Gate]) -> StepState:
    """The state of a step that replaces data, while the permission to do so is waited for or refused."""
    if state.done or state.state is State.RUNNING:
        return state
    if state.last:
        lines = [line for line in lines if line.at > state.last.at]
    answer, last = gate_state(lines, now())
    shown = {GateState.WAITING: State.WAITING, GateState.REJECTED: State.REJECTED, GateState.EXPIRED: State.EXPIRED}
    if answer not in shown or not last or last.state is GateState.EXPIRED:  # a kept step needs none
        return state
    return replace(state, state=shown[answer], since=last.at, seconds=None, reason=last.note, by=last.by)


def _shown(attempt: Attempt, *, running: bool) -> State:
    if attempt.result is None:
        return State.RUNNING if running else State.INTERRUPTED
    return {
        Result.DONE: State.DONE,
        Result.FAILED: State.FAILED,
        Result.DIFFERENCES: State.DIFFERENCES,
        Result.INTERRUPTED: State.INTERRUPTED,
    }[attempt.result]


def _stale_for_inputs(
    state: StepState, last: Attempt, journal: Journal, inputs: Inputs, accepted: set[str]
) -> StepState:
    action = state.step.action
    if action is None or not last.fingerprint:
        return state
    manifest, fingerprint = inputs.of(action)
    if fingerprint == last.fingerprint or accepted_text(state.step, fingerprint) in accepted:
        return state
    names = changes(journal.manifest(last.fingerprint), manifest)
    return StepState(
        state.step,
        State.STALE,
        state.since,
        state.seconds,
        state.attempts,
        changed_text(names),
        tuple(names),
        state.by,
        last,
    )


def changed_text(names: Sequence[str], limit: int = 3) -> str:
    """Which inputs changed, `limit` of them by name; empty where none did."""
    if not names:
        return ""
    return f"changed since: {', '.join(names[:limit])}" + (
        f" and {len(names) - limit} more" if len(names) > limit else ""
    )


def accepted_text(step: Step, fingerprint: str) -> str:
    """How the journal says that a finished step stands although its inputs changed."""
    return f"{step.id} {fingerprint}"


def _stale_for_data(state: StepState, move: Move, states: dict[str, StepState]) -> StepState:
    """A finished step is not finished any more if the data under it was replaced since."""
    if not state.done or not state.since:
        return state
    for ancestor in move.runbook.ancestors(state.step.id):
        before = states.get(ancestor)
        if before is None or not before.step.destructive:
            continue
        replaced = before.since if before.done else None
        if before.last and before.last.at > state.since:
            replaced = before.last.at
        if replaced and replaced > state.since:
            shown = State.PENDING if state.step.kind is Kind.HUMAN else State.STALE
            reason = f"'{ancestor}' replaced the data since"
            return replace(state, state=shown, reason=reason, changed_inputs=())
    return state
