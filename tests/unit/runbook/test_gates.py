"""Gates: who decides, and what a decision is good for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import GateState, Result
from encaja.runbook.record.requests import taken_back
from encaja.runbook.record.step_states import State, confirm_gate
from encaja.runbook.record.workspace import Move
from encaja.runbook.run import gates
from support import recorded_week as case
from support.written_pass import Book, Screen


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


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


def test_a_persons_step_that_comes_again_is_asked_again(book: Book) -> None:
    """It does, when the data under it was replaced: what was approved is no longer there."""
    book.ask("test-in-depth", yes=True)
    book.clock.go(timedelta(minutes=1))
    book.run("restore")
    assert book.state("test-in-depth") is State.PENDING
    assert book.ask("test-in-depth") is GateState.WAITING
    assert book.state("test-in-depth") is State.WAITING
    assert book.announced == ["test-in-depth"]


def test_a_permission_is_not_used_up_by_a_part_or_by_what_ran_before(book: Book) -> None:
    book.run("restore")
    book.clock.go(timedelta(seconds=1))
    assert book.ask("restore") is GateState.WAITING
    book.decide("restore")
    assert book.ask("restore") is GateState.APPROVED, "the attempt before it is another"
    book.clock.go(timedelta(seconds=1))
    book.run("restore", part="check")
    book.run("restore", Result.INTERRUPTED)
    assert book.ask("restore") is GateState.APPROVED
    assert book.announced == ["restore"]


def test_a_rejected_gate_is_shown_and_not_asked_again(book: Book) -> None:
    book.ask("tell-users")
    book.decide("tell-users", GateState.REJECTED, note="too early")
    screen = Screen((GateState.APPROVED, ""))
    assert book.ask("tell-users", screen) is GateState.REJECTED
    assert screen.shown == [GateState.REJECTED]


def test_a_gate_waits_as_long_as_its_step_says(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    began = now().replace(microsecond=0)
    monkeypatch.setattr(gates, "now", lambda: began)
    book.ask("tell-users")
    expires = book.journal.gates(book.pass_, "tell-users")[0].expires
    limit = book.move.step("tell-users").expires
    assert limit is not None
    assert expires == began + limit
    book.ask("restore")
    gate = confirm_gate(book.move.step("restore"))
    assert book.journal.gates(book.pass_, gate)[0].expires is None


def test_an_unused_permission_can_be_withdrawn_once(book: Book) -> None:
    step = book.move.step("restore")
    gates.withdraw_permission(book.journal, book.pass_, step, "inputs changed")
    assert book.journal.gates(book.pass_) == []
    book.ask("restore")
    book.decide("restore")
    for _ in range(2):
        gates.withdraw_permission(book.journal, book.pass_, step, "inputs changed")
    lines = book.journal.gates(book.pass_, confirm_gate(step))
    assert [line.state for line in lines] == [GateState.WAITING, GateState.APPROVED, GateState.EXPIRED]
    assert lines[-1].note == "inputs changed"
    assert book.ask("restore") is GateState.WAITING


def test_a_decision_names_who_made_it_without_blanks_around(book: Book) -> None:
    book.ask("tell-users")
    book.decide("tell-users", by=" eva ", note=" sent ")
    last = book.journal.gates(book.pass_, "tell-users")[-1]
    assert (last.by, last.note) == ("eva", "sent")
    with pytest.raises(ConfigurationError, match=r"is not waiting: approved by eva"):
        book.decide("tell-users")


def test_what_one_answers_is_shown_with_who_answered(book: Book) -> None:
    shown: list[str] = []

    class Names(Screen):
        """Remembers by whom."""

        def gate(self, step: Step, state: GateState, by: str, expires: datetime | None) -> None:
            shown.append(f"{state} {by}")
            super().gate(step, state, by, expires)

    book.ask("tell-users", Names((GateState.REJECTED, "too early")))
    book.ask("tell-users", Names())
    book.ask("test-in-depth", Names(), yes=True)
    assert shown == ["rejected ana", "rejected ana: too early", "approved --yes"]


def test_an_answer_of_the_very_moment_in_which_an_attempt_began_is_not_used_up(book: Book) -> None:
    book.ask("restore")
    book.decide("restore")
    book.run("restore")  # begins in the same instant, as the clock does not go on
    assert book.ask("restore") is GateState.APPROVED


def test_what_expired_on_its_own_is_not_written_twice(book: Book) -> None:
    book.ask("tell-users")
    book.journal.add_gate(book.pass_, "tell-users", GateState.EXPIRED, by="encaja", note="withdrawn")
    screen = Screen()
    assert book.ask("tell-users", screen) is GateState.WAITING
    assert screen.shown == [GateState.WAITING]
    assert [line.state for line in book.journal.gates(book.pass_, "tell-users")] == [
        GateState.WAITING, GateState.EXPIRED, GateState.WAITING,
    ]  # fmt: skip


def test_a_rejection_is_not_rejected_again(book: Book) -> None:
    book.ask("tell-users")
    book.decide("tell-users", GateState.REJECTED, note="too early")
    with pytest.raises(ConfigurationError, match="is not waiting: rejected by eva"):
        book.decide("tell-users", GateState.REJECTED, note="still too early")


def test_after_a_request_to_repeat_a_person_is_asked_again_and_a_permission_stands(book: Book) -> None:
    book.ask("tell-users", yes=True)
    book.ask("restore")
    book.decide("restore")
    book.journal.ask_again(book.pass_, ["tell-users", "restore"], by="ana", bounded=False)
    redone = taken_back(book.move.runbook, book.journal, book.pass_)
    states = {}
    for name in ("tell-users", "restore"):
        step = book.move.step(name)
        keeper = replace(book.keeper(), redone=redone)
        gate = confirm_gate(step) if step.destructive else step.id
        states[name] = gates.ask_for_decision(keeper, step, gate, "question")
    assert states == {"tell-users": GateState.WAITING, "restore": GateState.APPROVED}
    book.decide("tell-users")
    assert book.state("tell-users") is State.DONE


def test_each_line_of_a_gate_says_who_why_and_until_when(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal, the display and the notice agree."""
    at = now().replace(microsecond=0)
    monkeypatch.setattr(gates, "now", lambda: at)
    shown: list[tuple[str, str, str, datetime | None]] = []
    told: list[tuple[str, str, datetime | None]] = []
    asked: list[tuple[str, str]] = []

    class Everything(Screen):
        """Remembers all that it is shown."""

        def gate(self, step: Step, state: GateState, by: str, expires: datetime | None) -> None:
            shown.append((step.id, state, by, expires))

        def ask(self, step: Step, question: str) -> None:
            asked.append((step.id, question))

    def ask() -> GateState:
        step = book.move.step("tell-users")
        notify = lambda step, state, expires: told.append((step.id, state, expires))  # noqa: E731
        keeper = replace(book.keeper(Everything()), notify=notify)
        return gates.ask_for_decision(keeper, step, step.id, "were they told?")

    assert ask() is GateState.WAITING
    limit = book.move.step("tell-users").expires
    assert limit is not None
    first, at = at + limit, at + limit + timedelta(seconds=1)
    assert ask() is GateState.WAITING
    second = at + limit
    lines = [(line.state, line.by, line.note, line.expires) for line in book.journal.gates(book.pass_, "tell-users")]
    by = book.keeper().by
    assert lines == [
        (GateState.WAITING, by, "were they told?", first),
        (GateState.EXPIRED, "encaja", "nobody decided in time", None),
        (GateState.WAITING, by, "were they told?", second),
    ]
    assert shown == [
        ("tell-users", GateState.WAITING, "", first), ("tell-users", GateState.EXPIRED, "", first),
        ("tell-users", GateState.WAITING, "", second),
    ]  # fmt: skip
    assert asked == [("tell-users", "were they told?")] * 2
    assert told == [("tell-users", GateState.WAITING, first), ("tell-users", GateState.WAITING, second)]


@pytest.mark.parametrize(
    ("step", "by", "decision", "said"),
    [
        ("tell-users", "", GateState.APPROVED, "no name is given (say who decides with --by NAME)"),
        ("tell-users", "eva", GateState.REJECTED, "a rejection needs its reason (give it with --note TEXT)"),
        ("provision", "eva", GateState.APPROVED, "has no gate ('encaja status' shows what waits)"),
        (
            "tell-users", "eva", GateState.APPROVED,
            "is not waiting: the move has not come to it yet ('encaja status' shows what waits)",
        ),
    ],
)  # fmt: skip
def test_a_refused_decision_says_why_where_and_what_to_do(
    book: Book, step: str, by: str, decision: GateState, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        book.decide(step, decision, by=by, note="")
    assert str(caught.value) == f"step '{step}': {said}"


def test_a_decision_that_comes_too_late_says_what_stands(book: Book) -> None:
    book.ask("tell-users")
    book.decide("tell-users")
    at = book.journal.gates(book.pass_, "tell-users")[-1].at
    with pytest.raises(ConfigurationError) as caught:
        book.decide("tell-users")
    assert str(caught.value) == (
        f"step 'tell-users': is not waiting: approved by eva at {at:%Y-%m-%d %H:%M} UTC, which stays in the journal"
        " ('encaja status' shows what waits)"
    )
    book.journal.add_gate(
        book.pass_, "test-in-depth", GateState.WAITING, by="ana", expires=now() - timedelta(seconds=1)
    )
    with pytest.raises(ConfigurationError) as caught:
        book.decide("test-in-depth")
    assert str(caught.value) == (
        "step 'test-in-depth': is not waiting: its time is over, 'encaja run' asks again"
        " ('encaja status' shows what waits)"
    )


def test_what_is_withdrawn_was_withdrawn_by_the_kit(book: Book) -> None:
    step = book.move.step("restore")
    book.ask("restore")
    gates.withdraw_permission(book.journal, book.pass_, step, "inputs changed")
    last = book.journal.gates(book.pass_, confirm_gate(step))[-1]
    assert (last.state, last.by, last.note) == (GateState.EXPIRED, "encaja", "inputs changed")
