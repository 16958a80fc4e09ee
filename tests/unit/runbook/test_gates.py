"""Gates: who decides, and what a decision is good for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.durations import now
from encaja.runbook.record.journal import GateState, Result
from encaja.runbook.record.step_states import State
from encaja.runbook.record.workspace import Move
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
