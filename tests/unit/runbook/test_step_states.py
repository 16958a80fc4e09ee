"""What counts as done, and what has to be repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from encaja.runbook.record.journal import EntryKind, Gate, GateState, Result
from encaja.runbook.record.step_states import (
    Inputs,
    State,
    StepState,
    accepted_text,
    changed_text,
    confirm_gate,
    gate_state,
    read_states,
)
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


def line(state: GateState, at: datetime, expires: datetime | None = None) -> Gate:
    return Gate(1, 1, "x", at, state, "ana", "", expires)


def test_a_gate_that_waits_is_over_at_the_very_moment_that_was_set() -> None:
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)
    instant = timedelta(microseconds=1)
    waiting = [line(GateState.WAITING, noon, noon + timedelta(hours=1))]
    over = noon + timedelta(hours=1)
    assert [gate_state(waiting, at)[0] for at in (over - instant, over, over + instant)] == [
        GateState.WAITING, GateState.EXPIRED, GateState.EXPIRED,
    ]  # fmt: skip
    assert gate_state([line(GateState.WAITING, noon)], over) == (GateState.WAITING, line(GateState.WAITING, noon))
    approved = line(GateState.APPROVED, noon, noon + timedelta(hours=1))
    assert gate_state([*waiting, approved], over)[0] is GateState.APPROVED, "a decision does not run out"
    assert gate_state([], over) == (None, None)


def test_a_step_is_done_only_when_it_was_verified_after_it_ran(book: Book) -> None:
    book.run("release")
    assert book.state("release") is State.INTERRUPTED, "the conductor died before it verified"
    book.run("release", part="verify")
    assert book.state("release") is State.DONE
    book.run("release")
    assert book.state("release") is State.INTERRUPTED, "what was verified is what was there before"
    book.run("release", Result.FAILED, part="verify")
    assert book.state("release") is State.FAILED
    book.run("release", part="verify")
    assert book.state("release") is State.DONE
    book.run("release", Result.FAILED)
    assert book.state("release") is State.FAILED
    book.run("release", part="verify")
    assert book.state("release") is State.FAILED, "a verification does not mend a failed step"


def test_a_verification_alone_is_no_step_and_takes_its_part_of_the_time(book: Book) -> None:
    book.run("release", part="verify")
    book.run("restore", part="check")
    states = read_states(book.move, book.journal, book.pass_)
    assert states["release"].state is states["restore"].state is State.PENDING
    book.run("release")
    book.run("release", part="verify")
    ended = book.journal.attempts()[-1].ended
    found = read_states(book.move, book.journal, book.pass_)["release"]
    assert (found.seconds, found.attempts, found.since) == (20.0, 1, ended)
    assert (found.done, found.keepable) == (True, False)


def test_a_verification_under_way_is_not_done(book: Book) -> None:
    book.run("release")
    book.journal.begin(book.pass_, "release", "verify", by="ana", kind="playbook", directory="/x")
    assert book.state("release") is State.INTERRUPTED
    assert read_states(book.move, book.journal, book.pass_, running=True)["release"].state is State.RUNNING


def test_each_result_of_an_attempt_is_a_state_of_its_own(book: Book) -> None:
    for result, state in (
        (Result.DONE, State.DONE),
        (Result.FAILED, State.FAILED),
        (Result.DIFFERENCES, State.DIFFERENCES),
        (Result.INTERRUPTED, State.INTERRUPTED),
    ):
        book.run("preflight", result)
        assert book.state("preflight") is state
    assert [one.done for one in read_states(book.move, book.journal, book.pass_).values()].count(True) == 0


def test_a_pass_that_has_not_begun_has_done_nothing(book: Book) -> None:
    book.run("preflight")
    assert {one.state for one in read_states(book.move, book.journal, None).values()} == {State.PENDING}


def test_a_persons_step_took_as_long_as_it_was_waited_for(book: Book) -> None:
    book.ask("tell-users")
    book.clock.go(timedelta(minutes=5))
    book.decide("tell-users", GateState.REJECTED, note="too early")
    rejected = read_states(book.move, book.journal, book.pass_)["tell-users"]
    assert (rejected.state, rejected.seconds, rejected.reason, rejected.by) == (
        State.REJECTED, None, "too early", "eva",
    )  # fmt: skip
    book.clock.go(timedelta(minutes=1))
    book.decide("tell-users")
    assert read_states(book.move, book.journal, book.pass_)["tell-users"].seconds == 360


def test_another_note_in_the_journal_accepts_no_changed_inputs(book: Book) -> None:
    inputs = Inputs(book.move)
    action = book.move.step("settle").action
    assert action is not None
    book.run("settle", fingerprint=inputs.of(action)[1])
    (book.move.project / "playbooks" / "settle.yml").write_text("[]\n")
    fresh = Inputs(book.move)
    text = accepted_text(book.move.step("settle"), fresh.of(action)[1])
    book.journal.add_entry(book.pass_, EntryKind.TAKEOVER, text, by="ana", step="settle")
    stale = read_states(book.move, book.journal, book.pass_, fresh)["settle"]
    assert (stale.state, stale.keepable) == (State.STALE, True)
    assert stale.changed_inputs
    book.run("verify")
    assert book.state("verify", fresh) is State.DONE, "it was journalled without inputs"


def test_what_changed_is_named_up_to_a_limit() -> None:
    assert changed_text([]) == ""
    assert changed_text(["a", "b", "c"]) == "changed since: a, b, c"
    assert changed_text(["a", "b", "c", "d", "e"]) == "changed since: a, b, c and 2 more"


def test_a_question_whether_data_may_be_replaced_shows_until_the_step_runs(book: Book) -> None:
    assert confirm_gate(book.move.step("restore")) != "restore", "a permission is not a decision about the step"
    assert book.ask("restore") is GateState.WAITING
    assert book.state("restore") is State.WAITING
    book.clock.go(timedelta(seconds=1))
    book.decide("restore", GateState.REJECTED, note="not now")
    assert book.state("restore") is State.REJECTED
    book.clock.go(timedelta(seconds=1))
    book.decide("restore")
    assert book.state("restore") is State.PENDING
    book.clock.go(timedelta(seconds=1))
    book.journal.begin(book.pass_, "restore", "run", by="ana", kind="playbook", directory="/x")
    book.clock.go(timedelta(seconds=1))
    book.journal.add_gate(book.pass_, confirm_gate(book.move.step("restore")), GateState.WAITING, by="ana")
    assert read_states(book.move, book.journal, book.pass_, running=True)["restore"].state is State.RUNNING
    assert book.state("restore") is State.WAITING


def test_an_older_answer_does_not_stand_for_a_step_that_failed_since(book: Book) -> None:
    book.ask("restore")
    book.decide("restore", GateState.REJECTED, note="not now")
    book.clock.go(timedelta(seconds=1))
    book.run("restore", Result.FAILED)
    assert book.state("restore") is State.FAILED


def test_data_that_an_unfinished_step_has_begun_to_replace_is_replaced(book: Book) -> None:
    book.run("restore")
    book.run("settle")
    book.clock.go(timedelta(minutes=1))
    book.run("restore", Result.FAILED)
    assert book.state("settle") is State.STALE
    found = read_states(book.move, book.journal, book.pass_)["settle"]
    assert "'restore' replaced the data since" in found.reason
    assert not found.keepable


def test_what_does_not_depend_on_replaced_data_stays_done(book: Book) -> None:
    book.run("provision")
    book.run("test-host")
    book.clock.go(timedelta(minutes=1))
    book.run("restore")
    assert book.state("provision") is State.DONE
    assert book.state("test-host") is State.STALE


def state_of(book: Book, step: str, inputs: Inputs | None = None) -> StepState:
    return read_states(book.move, book.journal, book.pass_, inputs)[step]


def test_a_machines_step_says_since_when_how_long_how_often_and_by_whom(book: Book) -> None:
    step = book.move.step("preflight")
    assert state_of(book, "preflight") == StepState(step, State.PENDING)
    for result in (Result.FAILED, Result.DIFFERENCES):
        attempt = book.journal.begin(book.pass_, "preflight", "run", by="eva", kind="playbook", directory="/x")
        book.clock.go(timedelta(seconds=90))
        book.journal.finish(attempt, result, summary=f"it {result}")
        last = book.journal.attempts(book.pass_, "preflight")[-1]
        known = state_of(book, "preflight")
        assert known == StepState(
            step, State(result), last.ended, 90.0, len(book.journal.attempts(book.pass_)), f"it {result}", by="eva",
            last=last,
        )  # fmt: skip
        book.clock.go(timedelta(seconds=5))
    book.journal.begin(book.pass_, "preflight", "run", by="ana", kind="playbook", directory="/x")
    begun = book.journal.attempts(book.pass_, "preflight")[-1]
    known = state_of(book, "preflight")
    assert (known.state, known.since, known.seconds, known.attempts, known.by) == (
        State.INTERRUPTED, begun.at, None, 3, "ana",
    )  # fmt: skip


def test_a_verified_step_takes_as_long_as_both_and_says_what_the_verification_found(book: Book) -> None:
    step = next(step for step in book.move.runbook if step.verify)
    run = book.journal.begin(book.pass_, step.id, "run", by="eva", kind="playbook", directory="/x")
    book.clock.go(timedelta(seconds=60))
    book.journal.finish(run, Result.DONE, summary="ran")
    last = book.journal.attempts(book.pass_, step.id)[-1]
    assert state_of(book, step.id) == StepState(
        step, State.INTERRUPTED, last.ended, 60.0, 1, "ran", by="eva", last=last
    )
    verify = book.journal.begin(book.pass_, step.id, "verify", by="ana", kind="playbook", directory="/x")
    book.clock.go(timedelta(seconds=7))
    book.journal.finish(verify, Result.DONE, summary="all is well")
    ended = book.journal.attempts(book.pass_, step.id)[-1].ended
    assert state_of(book, step.id) == StepState(step, State.DONE, ended, 67.0, 1, "all is well", by="eva", last=last)


def test_a_persons_step_says_who_decided_why_and_how_long_it_waited(book: Book) -> None:
    step = book.move.step("tell-users")
    assert state_of(book, "tell-users") == StepState(step, State.PENDING)
    book.ask("tell-users")
    asked = book.journal.gates(book.pass_, "tell-users")[0]
    assert state_of(book, "tell-users") == StepState(step, State.WAITING, asked.at, reason="question", by="ana")
    book.clock.go(timedelta(seconds=40))
    book.decide("tell-users", GateState.REJECTED, note="too early")
    at = book.journal.gates(book.pass_, "tell-users")[-1].at
    assert state_of(book, "tell-users") == StepState(step, State.REJECTED, at, reason="too early", by="eva")
    book.clock.go(timedelta(seconds=20))
    book.decide("tell-users", note="sent")
    at = book.journal.gates(book.pass_, "tell-users")[-1].at
    waited = (at - asked.at).total_seconds()
    assert waited >= 60
    assert state_of(book, "tell-users") == StepState(step, State.DONE, at, waited, reason="sent", by="eva")


def test_a_permission_that_is_waited_for_says_since_when_and_keeps_what_ran(book: Book) -> None:
    step = book.move.step("restore")
    book.run("restore", Result.FAILED)
    last = book.journal.attempts(book.pass_, "restore")[-1]
    book.ask("restore")
    asked = book.journal.gates(book.pass_, confirm_gate(step))[-1]
    assert state_of(book, "restore") == StepState(
        step, State.WAITING, asked.at, None, 1, "question", by="ana", last=last
    )
    book.decide("restore", GateState.REJECTED, note="not today")
    known = state_of(book, "restore")
    assert (known.state, known.reason, known.by) == (State.REJECTED, "not today", "eva")


def test_a_stale_step_keeps_what_is_known_of_its_run_and_names_what_changed(book: Book) -> None:
    inputs = Inputs(book.move)
    action = book.move.step("settle").action
    assert action is not None
    _, fingerprint = inputs.of(action)
    book.run("settle", fingerprint=fingerprint)
    before = state_of(book, "settle", inputs)
    (book.move.project / "playbooks" / "settle.yml").write_text("[]\n")
    known = state_of(book, "settle", Inputs(book.move))
    assert (known.since, known.seconds, known.attempts, known.by, known.last) == (
        before.since, before.seconds, before.attempts, before.by, before.last,
    )  # fmt: skip
    assert known.changed_inputs and known.reason == changed_text(known.changed_inputs)
    assert known.keepable and not before.keepable


def test_a_step_over_replaced_data_names_what_replaced_it(book: Book) -> None:
    book.run("restore")
    book.run("settle")
    book.clock.go(timedelta(minutes=1))
    book.run("restore")
    known = state_of(book, "settle")
    assert (known.state, known.reason, known.changed_inputs) == (
        State.STALE, "'restore' replaced the data since", (),
    )  # fmt: skip
