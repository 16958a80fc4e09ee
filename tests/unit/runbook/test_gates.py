"""Gates and states: who decides, what counts as done, and what has to be done again."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import runbook_case as case

from encaja.errors import ConfigurationError
from encaja.notices import Notice, compose, send, texts
from encaja.runbook.book.model import Step
from encaja.runbook.durations import now
from encaja.runbook.record.journal import EntryKind, Fault, GateState, Journal, Pass, Result
from encaja.runbook.record.step_states import Inputs, State, accepted_text, confirm_gate, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.notifications import TeamNotifier
from encaja.runbook.run import gates


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


def test_both_languages_have_the_same_notices_and_every_step_its_own(move: Move) -> None:
    assert texts("en").keys() == texts("es").keys()
    for step in move.runbook:
        if step.notice:
            assert step.notice in texts("en")
    with pytest.raises(ConfigurationError, match="there is no notice 'ghost'"):
        compose("ghost", "en", {})


@pytest.mark.parametrize("language", ["en", "es"])
def test_notices_leave_no_blanks_but_the_date(language: str) -> None:
    values = {
        "move": "M",
        "step": "s",
        "title": "T",
        "owner": "client",
        "pass_name": "p",
        "what": "w",
        "hint": "m",
        "report": "r",
    }
    for name in texts(language):
        notice = compose(name, language, values, until=datetime(2026, 11, 26, 20, 0))
        assert "$" not in notice.subject + notice.body, name
    users = compose("backup-date", language, {"date": "2026-11-26 20:00", "portal": "https://portal.example.com/"})
    assert "2026-11-26 20:00" in users.subject
    assert "https://portal.example.com/" in users.body
    assert "Bitrix24.Network" in users.body


def test_team_is_told_and_a_failed_delivery_does_not_stop_the_move(tmp_path: Path) -> None:
    extra = tmp_path / "announce.yml"
    extra.write_text("move: {announce: {team: ['json://good', 'json://user:secret@bad']}, language: es}\n")
    move = case.make_move(tmp_path, [extra])
    sent: list[tuple[Notice, tuple[str, ...]]] = []

    def sender(notice: Notice, addresses: object) -> list[str]:
        sent.append((notice, tuple(addresses)))
        return ["'json://…' did not take it"]

    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        lines = TeamNotifier(sender).notify_gate(move, pass_, move.step("request-backup"), GateState.WAITING, None)
        fault = Fault(1, now(), "host", "task", "no space left", "", "free some space")
        TeamNotifier(sender).notify_failure(move, pass_, move.step("restore"), fault)
    assert sent[0][0].subject.endswith("pida la copia de seguridad al proveedor")
    assert "no space left" in sent[1][0].body
    assert "free some space" in sent[1][0].body
    assert lines[0].startswith("sent to 1 of 2")
    assert lines[1].startswith("not delivered")


def test_unusable_address_is_named_by_its_scheme_alone() -> None:
    (line,) = send(Notice("s", "b"), ["nonsense://user:secret@host"])
    assert line.startswith("'nonsense://…'")
    assert "secret" not in line
