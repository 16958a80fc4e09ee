"""What a conductor that died left in its journal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.runbook.record.journal import EntryKind, Result
from encaja.runbook.record.lock import Holder
from encaja.runbook.run.recovery import recover
from support import recorded_week as case
from support.written_pass import Book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(case.make_move(tmp_path))


def recovered(book: Book, code: str | None, earlier: Holder | None = None) -> tuple[Any, list[str]]:
    """An attempt without an outcome is recovered; it, and what was noted."""
    folder = book.move.project / "attempt"
    folder.mkdir()
    if code is not None:
        (folder / "rc").write_text(code)
    book.run("preflight", Result.FAILED)
    book.journal.begin(book.pass_, "restore", "run", by="ana", kind="playbook", directory=str(folder))
    noted: list[str] = []
    run: Any = SimpleNamespace(
        journal=book.journal,
        display=SimpleNamespace(note=noted.append),
        add_entry=lambda kind, text: noted.append(f"{kind is EntryKind.TAKEOVER} {text}"),
    )
    recover(run, earlier)
    first, attempt = book.journal.attempts()
    assert first.result is Result.FAILED, "what had ended is left as it was"
    return attempt, noted


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("0\n", Result.DONE),
        ("1\n", Result.FAILED),
        ("137\n", Result.FAILED),
        (None, Result.INTERRUPTED),
        ("", Result.INTERRUPTED),
    ],
)
def test_what_ended_while_nobody_looked_counts_as_it_ended(book: Book, code: str | None, result: Result) -> None:
    attempt, noted = recovered(book, code)
    assert (attempt.result, attempt.code) == (result, int(code or 0))
    assert ("had died" in attempt.summary) == bool(code)
    assert noted == []


def test_a_takeover_is_noted_for_people_and_in_the_journal(book: Book) -> None:
    _, noted = recovered(book, None, Holder(77, "host", "eva", "then"))
    assert noted == [text := "the conductor with pid 77 of eva died; continuing from its journal", f"True {text}"]
