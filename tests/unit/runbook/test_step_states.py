"""What counts as done, and what has to be repeated."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from encaja.runbook.record.journal import EntryKind, Result
from encaja.runbook.record.step_states import Inputs, State, accepted_text, read_states
from encaja.runbook.record.workspace import Move
from support import recorded_week as case
from support.written_pass import Book


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


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
