"""What counts as done, and what has to be repeated."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from encaja.runbook.book.model import Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import EntryKind, GateState, Journal, Pass, Result
from encaja.runbook.record.step_states import Inputs, State, accepted_text, confirm_gate, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.run import gates
from support import recorded_week as case


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


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

    def run(self, step: str, result: Result = Result.DONE, fingerprint: str = "") -> None:
        attempt = self.journal.begin(
            self.pass_, step, "run", by="ana", kind="playbook", directory="/x", fingerprint=fingerprint
        )
        self.clock.go(timedelta(seconds=10))
        self.journal.finish(attempt, result)
        self.clock.go(timedelta(seconds=1))

    def state(self, step: str, inputs: Inputs | None = None) -> State:
        return read_states(self.move, self.journal, self.pass_, inputs)[step].state


@pytest.fixture
def book(move: Move) -> Book:
    return Book(move)


def test_what_follows_from_replaced_data_has_to_be_done_again(book: Book) -> None:
    book.run("restore")
    book.run("settle")
    book.ask("test-in-depth", yes=True)
    assert book.state("settle") is book.state("test-in-depth") is State.DONE
    book.clock.go(timedelta(minutes=1))
    book.run("provision")
    assert book.state("settle") is State.DONE
    book.run("restore")
    assert book.state("settle") is State.STALE
    assert book.state("test-in-depth") is State.PENDING


def test_failed_and_interrupted_steps_are_told_apart(book: Book) -> None:
    book.run("preflight", Result.FAILED)
    assert book.state("preflight") is State.FAILED
    book.journal.begin(book.pass_, "provision", "run", by="ana", kind="playbook", directory="/x")
    assert book.state("provision") is State.INTERRUPTED
    assert read_states(book.move, book.journal, book.pass_, running=True)["provision"].state is State.RUNNING


def test_changed_inputs_make_a_step_stale_unless_they_were_accepted(book: Book) -> None:
    inputs = Inputs(book.move)
    action = book.move.step("settle").action
    assert action is not None
    _, fingerprint = inputs.of(action)
    book.run("settle", fingerprint=fingerprint)
    assert book.state("settle", inputs) is State.DONE
    (book.move.project / "playbooks" / "settle.yml").write_text("[]\n")
    fresh = Inputs(book.move)
    assert book.state("settle", fresh) is State.STALE
    reason = read_states(book.move, book.journal, book.pass_, fresh)["settle"].reason
    text = accepted_text(book.move.step("settle"), fresh.of(action)[1])
    assert reason.startswith("changed since")
    book.journal.add_entry(book.pass_, EntryKind.ACCEPTED, text, by="ana", step="settle")
    assert book.state("settle", fresh) is State.DONE
