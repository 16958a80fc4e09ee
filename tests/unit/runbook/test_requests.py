"""`encaja run --from`: what was done before does not count, and the journal alone remembers what was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.book.loader import load_runbook
from encaja.runbook.book.model import Action, Step
from encaja.runbook.durations import now
from encaja.runbook.record import timeline
from encaja.runbook.record.journal import SCHEMA_VERSION, Fault, GateState, Journal, Pass, Result
from encaja.runbook.record.step_states import State, StepState, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.run import gates
from encaja.runbook.run.attempt import AttemptRunner, Outcome
from encaja.runbook.run.conductor import Conductor
from encaja.runbook.run.execution import Ending
from encaja.runbook.run.pass_run import PassRun
from encaja.runbook.run.selection import RunOptions
from encaja.runbook.run.step_run import WAITING_CODE
from support import recorded_week as case

STEPS = """\
version: 1
base: none
phases: {1: {title: One, urgency: low}}
steps:
  - {id: build, phase: 1, title: B, owner: contractor, estimate: 1s, run: {command: ['true']}}
  - {id: ask, phase: 1, title: A, owner: client, estimate: 1s, needs: [build], run: {human: approve}}
  - {id: restore, phase: 1, title: R, owner: contractor, estimate: 1s, needs: [ask], run: {command: ['true']},
     destructive: true, verify: it does, undo: not at all}
  - {id: settle, phase: 1, title: S, owner: contractor, estimate: 1s, needs: [restore], run: {command: ['true']}}
  - {id: look, phase: 1, title: L, owner: client, estimate: 1s, needs: [settle], run: {human: approve}}
  - {id: aside, phase: 1, title: X, owner: client, estimate: 1s, needs: [build], run: {human: approve}}
  - {id: end, phase: 1, title: E, owner: contractor, estimate: 1s, needs: [look, aside], run: {command: ['true']}}
"""


class Killed(Exception):  # noqa: N818 - not an error of the program
    """The conductor is gone at this very moment."""


class Screen:
    """Shows nothing and leaves every gate waiting."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, *_: object) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def skip(self, _step: Step, _state: StepState) -> None: ...
    def start(self, *_: object) -> None: ...
    def signals(self, *_: object) -> None: ...
    def tick(self) -> None: ...
    def end(self, *_: object) -> None: ...
    def failure(self, *_: object) -> None: ...
    def gate(self, *_: object) -> None: ...

    def ask(self, _step: Step, _question: str) -> None:
        return None

    def finish(self) -> None: ...


class Silent:
    """Notifies nobody."""

    def notify_gate(self, *_: object) -> Sequence[str]:
        return []

    def notify_failure(self, _move: Move, _pass: Pass, _step: Step, _fault: Fault) -> Sequence[str]:
        return []


class JournalOnly(AttemptRunner):
    """Attempts that do nothing but be written down; the conductor may be killed when one begins or has ended."""

    def __init__(self, run: PassRun, ran: list[str], fails: set[str], dies: tuple[str, str]) -> None:
        super().__init__(run)
        self.journal, self.pass_, self.state = run.journal, run.pass_, run.move.state
        self.ran, self.fails, self.dies = ran, fails, dies

    def run(self, step: Step, part: str, _action: Action, hosts: Sequence[str]) -> Outcome:
        if self.dies == ("before", step.id):
            raise Killed
        attempt = self.journal.begin(
            self.pass_, step.id, part, by="ana", kind=step.kind, directory=str(self.state), hosts=hosts
        )
        if self.dies == ("within", step.id):
            raise Killed
        self.ran.append(step.id)
        result = Result.FAILED if step.id in self.fails else Result.DONE
        self.journal.finish(attempt, result)
        if self.dies == ("after", step.id):
            raise Killed
        return Outcome(attempt, Ending(0 if result is Result.DONE else 1), result)


class Story:
    """A move, its journal, and short ways to go on with it."""

    def __init__(self, path: Path) -> None:
        project = case.make_project(path, STEPS)
        self.move = Move(project, project / ".encaja", load_runbook(project, [project / "runbook.yml"]), ())
        # Two things at the same moment would hide what a comparison of times takes for earlier.
        self.clock = case.Clock(now() - timedelta(hours=1))
        self.journal = Journal(self.move.journal, clock=self._tick)
        self.notes: list[str] = []

    def _tick(self) -> datetime:
        self.clock.go(timedelta(seconds=1))
        return self.clock()

    def run(
        self,
        *,
        pass_name: str = "cutover",
        fails: Sequence[str] = (),
        dies: tuple[str, str] = ("", ""),
        **options: object,
    ) -> tuple[int, list[str]]:
        """Runs the conductor; its exit code and what it ran."""
        screen = Screen()
        ran: list[str] = []
        conductor = Conductor(
            self.move,
            self.journal,
            RunOptions(pass_name, "ana", **options),  # type: ignore[arg-type]
            screen,
            Silent(),
            make_attempts=lambda run: JournalOnly(run, ran, set(fails), dies),
            find_targets=lambda _run, _step: ["test.example.com"],
        )
        try:
            code = conductor.run()
        except Killed:
            code = -9
        self.notes = screen.notes
        return code, ran

    def approve(self, *names: str, decision: GateState = GateState.APPROVED) -> None:
        for name in names:
            gates.record_decision(self.move, self.journal, self.pass_, name, decision=decision, by="eva", note="n")

    @property
    def pass_(self) -> Pass:
        return self.journal.passes()[-1]

    def states(self) -> Mapping[str, State]:
        return {name: state.state for name, state in read_states(self.move, self.journal, self.pass_).items()}


@pytest.fixture
def done(tmp_path: Path) -> Iterator[Story]:
    """A pass that went through the whole run-book."""
    told = Story(tmp_path)
    assert told.run(yes=True) == (0, ["build", "restore", "settle", "end"])
    assert set(told.states().values()) == {State.DONE}
    yield told
    told.journal.close()


def test_nothing_behind_a_step_that_waits_to_be_done_again_is_started_or_counts(done: Story) -> None:
    assert done.run(start="restore") == (WAITING_CODE, [])
    assert done.states() == {
        "build": State.DONE,
        "ask": State.DONE,
        "restore": State.WAITING,
        "settle": State.STALE,
        "look": State.PENDING,
        "aside": State.DONE,
        "end": State.STALE,
    }


def test_approval_goes_on_with_what_was_asked_and_asks_behind_it_again(done: Story) -> None:
    done.run(start="restore")
    done.approve("restore")
    assert done.run() == (WAITING_CODE, ["restore", "settle"])
    assert "continues what ana asked for: again from 'restore'" in done.notes
    done.approve("look")
    assert done.run() == (0, ["end"])
    assert set(done.states().values()) == {State.DONE}
    assert done.run() == (0, [])


def test_until_is_remembered_and_then_the_rest_is_still_to_be_done(done: Story) -> None:
    assert done.run(start="restore", until="settle") == (WAITING_CODE, [])
    done.approve("restore")
    assert done.run() == (0, ["restore", "settle"])
    assert "continues what ana asked for: again from 'restore' until 'settle'" in done.notes
    states = done.states()
    assert (states["settle"], states["look"], states["end"]) == (State.DONE, State.PENDING, State.STALE)
    assert done.run() == (WAITING_CODE, [])
    assert done.states()["look"] is State.WAITING


@pytest.mark.parametrize("when", [("before", "restore"), ("within", "restore"), ("after", "restore"),
                                  ("before", "settle"), ("within", "settle"), ("after", "settle")])  # fmt: skip
@pytest.mark.fault("kill -9: controller", "run-book", "between any two lines of the journal")
def test_request_survives_a_kill_between_any_two_lines(done: Story, when: tuple[str, str]) -> None:
    code, _ = done.run(start="restore", until="settle", yes=True, dies=when)
    assert code == -9
    code, ran = done.run(yes=True)
    expected = {"restore": ["restore", "settle"], "settle": ["settle"]}[when[1]]
    # What ended just before the kill is not done twice.
    assert (code, ran) == ((0, expected) if when[0] != "after" else (0, expected[1:] or ["end"]))


def test_request_that_was_written_when_the_conductor_died_at_once_counts(done: Story) -> None:
    done.journal.ask_again(done.pass_, ["restore", "settle"], by="ana", bounded=True)
    assert done.states()["settle"] is State.STALE
    assert done.run(yes=True) == (0, ["restore", "settle"])


@pytest.mark.fault("clock jump", "run-book", "the controller's, a day back")
def test_a_clock_that_went_back_changes_nothing(done: Story) -> None:
    done.clock.go(timedelta(days=-1))
    assert done.run(start="build", until="build") == (0, ["build"])
    assert done.states()["build"] is State.DONE


def test_rejection_stops_and_what_was_done_may_be_kept(done: Story) -> None:
    done.run(start="restore", until="restore")
    done.approve("restore", decision=GateState.REJECTED)
    assert done.run() == (1, [])
    assert done.states()["restore"] is State.REJECTED
    assert done.states()["settle"] is State.STALE
    assert done.run(keep=("restore",)) == (0, [])
    assert set(done.states().values()) == {State.DONE}


def test_rejection_of_an_earlier_request_does_not_answer_a_new_one(done: Story) -> None:
    done.run(start="restore")
    done.approve("restore", decision=GateState.REJECTED)
    assert done.run(start="restore") == (WAITING_CODE, [])
    done.approve("restore")
    assert done.run()[1] == ["restore", "settle"]


def test_same_request_twice_does_it_again_each_time_and_one_approval_is_enough_for_one(done: Story) -> None:
    done.run(start="restore", until="settle")
    done.approve("restore")
    assert done.run(start="restore", until="settle") == (0, ["restore", "settle"])
    assert done.run(start="restore", until="settle") == (WAITING_CODE, [])
    assert done.run(start="restore", until="settle") == (WAITING_CODE, [])
    assert done.states()["restore"] is State.WAITING


def test_request_further_down_is_refused_while_what_it_needs_is_to_be_done_again(done: Story) -> None:
    done.run(start="restore")
    with pytest.raises(ConfigurationError, match="need 'restore' first"):
        done.run(start="settle")
    assert [request.steps[0] for request in done.journal.requests(done.pass_)] == ["restore"]


def test_gate_that_waited_before_the_request_cannot_be_approved(tmp_path: Path) -> None:
    told = Story(tmp_path)
    told.run()
    told.approve("ask", "aside")
    told.run()
    told.approve("restore")
    told.run()
    assert told.states()["look"] is State.WAITING
    told.run(start="restore")
    with pytest.raises(ConfigurationError, match="has not come to it yet"):
        told.approve("look")
    told.journal.close()


def test_step_of_a_person_is_asked_again_and_what_follows_is_not_done(done: Story) -> None:
    assert done.run(start="ask") == (WAITING_CODE, [])
    states = done.states()
    assert (states["ask"], states["restore"], states["end"]) == (State.WAITING, State.STALE, State.STALE)


def test_failed_step_stays_behind_its_request(done: Story) -> None:
    assert done.run(start="settle", until="settle", fails=["settle"]) == (1, ["settle"])
    assert done.states()["settle"] is State.FAILED
    assert done.states()["end"] is State.STALE
    assert done.run() == (0, ["settle"])


def test_request_belongs_to_its_pass(done: Story) -> None:
    done.run(start="restore")
    assert done.run(pass_name="second", yes=True) == (0, ["build", "restore", "settle", "end"])
    assert done.run(pass_name="cutover") == (WAITING_CODE, [])


def test_check_mode_asks_for_nothing(done: Story) -> None:
    done.run(start="restore", check=True)
    assert done.journal.requests(done.pass_) == []
    assert set(done.states().values()) == {State.DONE}


def test_reason_is_told_and_the_request_is_in_the_story(done: Story) -> None:
    done.run(start="restore")
    found = read_states(done.move, done.journal, done.pass_)
    assert found["settle"].reason.startswith("requested again by ana, ")
    assert found["look"].reason == "comes after 'restore', which is repeated"
    lines = [line for line in timeline.lines(done.journal, done.pass_) if line.kind == "again"]
    assert [(line.step, line.text, line.by) for line in lines] == [
        ("restore", "'restore' to 'end' to be repeated", "ana")
    ]


def test_journal_of_the_version_before_is_taken_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with Journal(path) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE requests")
        database.execute("PRAGMA user_version=1")
    with Journal(path, create=False) as journal:
        assert journal.requests(pass_) == []
        journal.ask_again(pass_, ["a"], by="ana", bounded=False)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            journal._db.execute("DELETE FROM requests")
        assert journal._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
