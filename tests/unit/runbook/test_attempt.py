"""An attempt: what is kept of it knows no secret, and what its ending means."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.runbook.book.model import Kind
from encaja.runbook.durations import now
from encaja.runbook.record.journal import Document, Event, Fault, Result
from encaja.runbook.redact import MASK, Redactor
from encaja.runbook.run.attempt import AttemptRunner, follow, judge
from encaja.runbook.run.execution import Ending
from encaja.runbook.run.runner_events import Signals
from support import recorded_week as case
from support.written_pass import Book

SECRET = "sesame-open-4711"


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(case.make_move(tmp_path))


def make_run(book: Book) -> Any:
    redactor = Redactor(frozenset({SECRET}))
    nothing = SimpleNamespace(tick=lambda: None, signals=lambda *_: None, end=lambda *_: None)
    inventory = SimpleNamespace(redactor=lambda: redactor)
    return SimpleNamespace(journal=book.journal, move=book.move, display=nothing, inventory=inventory, language="en")


def event(number: int, text: str) -> Event:
    return Event(number, now(), "failed", "host", "task", 0.1, text=text)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_secret_reaches_the_log_or_the_journals_events(book: Book, tmp_path: Path) -> None:
    folder = tmp_path / "attempt"
    folder.mkdir()
    step = book.move.step("restore")
    attempt = book.journal.begin(book.pass_, step.id, "run", by="ana", kind="playbook", directory=str(folder))
    said = f"the password is {SECRET}"
    signals: Any = [
        Signals(log=said, events=[event(attempt.id, said), event(attempt.id, "")]),
        None,
        Signals(events=[event(attempt.id, f"{SECRET}, again")]),
    ]
    follow(make_run(book), step, attempt, signals)
    assert (folder / "log").read_text() == f"the password is {MASK}\n"
    assert (folder / "log").stat().st_mode & 0o777 == 0o600
    assert [one.text for one in book.journal.events(attempt.id)] == [f"the password is {MASK}", "", f"{MASK}, again"]
    assert SECRET.encode() not in everything(book.move.journal.parent)


def test_no_secret_reaches_the_journals_faults_and_documents(book: Book) -> None:
    step = book.move.step("restore")
    attempt = book.journal.begin(book.pass_, step.id, "run", by="ana", kind="playbook", directory="/x")
    runner = AttemptRunner(make_run(book))
    fault = runner._with_hint(step, Fault(attempt.id, now(), "host", "task", f"w {SECRET}", f"l {SECRET}", ""))
    assert (fault.what, fault.lines) == (f"w {MASK}", f"l {MASK}")
    assert fault.hint
    told = Document(attempt.id, now(), "verify", {"note": f"it is {SECRET}", "differences": 2})
    ending = Ending(1, faults=[fault], documents=[told])
    outcome = runner._close(step, attempt, ending, summary=fault.what)
    assert outcome.result is Result.FAILED
    [found] = book.journal.documents()
    assert found.body == {"note": f"it is {MASK}", "differences": 2}
    assert SECRET.encode() not in everything(book.move.journal.parent)


def test_what_an_ending_means() -> None:
    check: Any = SimpleNamespace(kind=Kind.CHECK)
    playbook: Any = SimpleNamespace(kind=Kind.PLAYBOOK)
    different = [Document(1, now(), "verify", {"differences": 2})]
    equal = [Document(1, now(), "verify", {"differences": 0})]
    assert judge(playbook, Ending(0)) is judge(check, Ending(0)) is Result.DONE
    assert judge(playbook, Ending(0, stopped=True)) is Result.INTERRUPTED, "whatever its code: it was not left to end"
    assert judge(playbook, Ending(130, stopped=True)) is Result.INTERRUPTED
    assert [judge(playbook, Ending(code)) for code in (1, 2, 137, -9)] == [Result.FAILED] * 4
    assert judge(check, Ending(2, documents=different)) is Result.DIFFERENCES
    assert judge(check, Ending(2, documents=equal)) is Result.FAILED
    assert judge(playbook, Ending(2, documents=different)) is Result.FAILED


def test_an_execution_that_cannot_be_followed_is_stopped_and_waited_for(book: Book) -> None:
    stopped: list[str] = []
    assert threading.current_thread() is threading.main_thread()
    run = make_run(book)

    class Broken:
        """Breaks while it is followed."""

        def __iter__(self) -> Any:
            raise OSError("disk full")

        def stop(self) -> None:
            stopped.append("stop")

        def drain(self) -> None:
            stopped.append("drain")

    run.inputs = lambda: SimpleNamespace(of=lambda _: ({}, ""))
    run.options = SimpleNamespace(by="ana", check=False)
    run.pass_ = book.pass_
    run.display.start = lambda *_: None
    run.inventory.prefetch = lambda: None

    class Stops:
        """Ctrl-C has nothing to stop here."""

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    run.interruption = SimpleNamespace(stops=lambda _: Stops())
    runner = AttemptRunner(run)
    runner._launch = lambda *_: Broken()  # type: ignore[method-assign,assignment,return-value]
    step = book.move.step("restore")
    assert step.action is not None
    with pytest.raises(OSError, match="disk full"):
        runner.run(step, "run", step.action, [])
    assert stopped == ["stop", "drain"]
