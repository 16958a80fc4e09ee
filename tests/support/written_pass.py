"""A journal of a pass, with short ways to write into it and a screen that answers."""

from __future__ import annotations

from datetime import datetime, timedelta

from encaja.runbook.book.model import Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import GateState, Journal, Pass, Result
from encaja.runbook.record.step_states import Inputs, State, confirm_gate, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.run import gates
from support import recorded_week as case


class Screen:
    """Answers as told, and remembers what was shown."""

    def __init__(self, answer: tuple[GateState, str] | None = None) -> None:
        self.answer = answer
        self.shown: list[GateState] = []

    def gate(self, _step: Step, state: GateState, _by: str, _expires: datetime | None) -> None:
        self.shown.append(state)

    def ask(self, _step: Step, _question: str) -> tuple[GateState, str] | None:
        return self.answer


class Book:
    """A journal with a pass, and short ways to write into it."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.clock = case.Clock(now() - timedelta(days=1))
        self.journal = Journal(move.journal, clock=self.clock)
        self.pass_: Pass = self.journal.start_pass("cutover", "ana", {})
        self.announced: list[str] = []

    def keeper(self, screen: Screen | None = None, *, yes: bool = False) -> gates.GateKeeper:
        def notify(step: Step, _state: GateState, _expires: datetime | None) -> None:
            self.announced.append(step.id)

        return gates.GateKeeper(self.journal, self.pass_, screen or Screen(), notify, "ana", yes)

    def ask(self, step_id: str, screen: Screen | None = None, *, yes: bool = False) -> GateState:
        step = self.move.step(step_id)
        gate = confirm_gate(step) if step.destructive else step.id
        return gates.ask_for_decision(self.keeper(screen, yes=yes), step, gate, "question")

    def decide(self, step: str, decision: GateState = GateState.APPROVED, by: str = "eva", note: str = "n") -> None:
        gates.record_decision(self.move, self.journal, self.pass_, step, decision=decision, by=by, note=note)

    def run(self, step: str, result: Result = Result.DONE, fingerprint: str = "", part: str = "run") -> None:
        attempt = self.journal.begin(
            self.pass_, step, part, by="ana", kind="playbook", directory="/x", fingerprint=fingerprint
        )
        self.clock.go(timedelta(seconds=10))
        self.journal.finish(attempt, result)
        self.clock.go(timedelta(seconds=1))

    def state(self, step: str, inputs: Inputs | None = None) -> State:
        return read_states(self.move, self.journal, self.pass_, inputs)[step].state
