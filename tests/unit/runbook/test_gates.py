"""Gates: who decides, and what a decision is good for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import GateState, Journal, Pass, Result
from encaja.runbook.record.step_states import Inputs, State, confirm_gate, read_states
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


def test_gate_waits_is_announced_once_and_is_approved_by_name(book: Book) -> None:
    assert book.ask("tell-users") is GateState.WAITING
    assert book.ask("tell-users") is GateState.WAITING
    assert book.announced == ["tell-users"]
    assert book.state("tell-users") is State.WAITING
    book.decide("tell-users", note="mail sent")
    assert book.state("tell-users") is State.DONE
    line = book.journal.gates(book.pass_, "tell-users")[1]
    assert (line.state, line.by, line.note) == (GateState.APPROVED, "eva", "mail sent")


def test_yes_is_journalled_as_such(book: Book) -> None:
    assert book.ask("tell-users", yes=True) is GateState.APPROVED
    assert book.journal.gates(book.pass_, "tell-users")[-1].note == "answered by --yes"
    assert book.announced == []


def test_answer_at_the_terminal_counts(book: Book) -> None:
    assert book.ask("tell-users", Screen((GateState.REJECTED, "too early"))) is GateState.REJECTED
    assert book.state("tell-users") is State.REJECTED
    book.decide("tell-users", note="now it is time")
    assert [line.state for line in book.journal.gates(book.pass_, "tell-users")] == [
        GateState.WAITING,
        GateState.REJECTED,
        GateState.APPROVED,
    ]


def test_gate_expires_and_is_asked_anew(book: Book) -> None:
    assert book.ask("tell-users") is GateState.WAITING
    line = book.journal.gates(book.pass_, "tell-users")[0]
    assert line.expires is not None
    book.journal.add_gate(book.pass_, "tell-users", GateState.WAITING, by="ana", expires=now() - timedelta(hours=1))
    assert book.state("tell-users") is State.EXPIRED
    with pytest.raises(ConfigurationError, match="its time is over"):
        book.decide("tell-users")
    screen = Screen()
    assert book.ask("tell-users", screen) is GateState.WAITING
    assert screen.shown == [GateState.EXPIRED, GateState.WAITING]
    assert [item.state for item in book.journal.gates(book.pass_, "tell-users")][-2:] == [
        GateState.EXPIRED,
        GateState.WAITING,
    ]


@pytest.mark.parametrize(
    ("step", "by", "note", "part"),
    [
        ("tell-users", "eva", "", "has not come to it yet"),
        ("provision", "eva", "", "has no gate"),
        ("ghost", "eva", "", "there is no step"),
        ("tell-users", " ", "", "no name is given"),
    ],
)
def test_approval_that_makes_no_sense_is_refused(book: Book, step: str, by: str, note: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        book.decide(step, by=by, note=note)
    assert book.journal.gates() == []


def test_approval_cannot_be_undone_silently(book: Book) -> None:
    book.ask("tell-users")
    book.decide("tell-users")
    with pytest.raises(ConfigurationError, match="stays in the journal"):
        book.decide("tell-users", GateState.REJECTED)
    assert book.state("tell-users") is State.DONE


def test_rejection_needs_its_reason(book: Book) -> None:
    book.ask("tell-users")
    with pytest.raises(ConfigurationError, match="needs its reason"):
        book.decide("tell-users", GateState.REJECTED, note=" ")


def test_permission_to_replace_data_is_used_up_by_success_only(book: Book) -> None:
    assert book.ask("restore") is GateState.WAITING
    book.decide("restore")
    book.clock.go(timedelta(seconds=1))
    book.run("restore", Result.FAILED)
    assert book.ask("restore") is GateState.APPROVED
    book.run("restore")
    assert book.ask("restore") is GateState.WAITING
