"""The journal: append-only, versioned, safe, and readable while it is written."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.durations import now
from encaja.runbook.record import timeline
from encaja.runbook.record.journal import SCHEMA_VERSION, EntryKind, Event, Fault, GateState, Journal, Measure, Result
from encaja.runbook.report.pass_diff import Trend, compare_passes
from support import recorded_week as case


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


def begin(journal: Journal, step: str = "a"):
    pass_ = journal.start_pass("cutover", "ana", {})
    return journal.begin(
        pass_, step, "run", by="ana", kind="playbook", directory="/x", fingerprint="f", manifest={"p": "1"}
    )


def test_attempt_keeps_everything(path: Path) -> None:
    with Journal(path) as journal:
        attempt = begin(journal)
        fault = Fault(attempt.id, attempt.at, "host", "task", "what", "lines", "hint")
        journal.add_events(
            [Event(attempt.id, attempt.at, "ok", "host", "task", 1.5, True, "text")],
            [Measure(attempt.id, attempt.at, "host", "fetch", 1, 2, "bytes", 3)],
        )
        journal.finish(attempt, Result.FAILED, code=2, summary="what", stats={"ok": 1}, faults=[fault])
    with Journal(path, create=False) as journal:
        (read,) = journal.attempts(journal.find_pass("cutover"))
        assert (read.step, read.number, read.result, read.code, read.stats) == ("a", 1, Result.FAILED, 2, {"ok": 1})
        assert journal.manifest("f") == {"p": "1"}
        assert [event.text for event in journal.events(read.id)] == ["text"]
        assert journal.measures(read.id)[0].total == 2
        assert journal.faults()[0].what == "what"


def test_attempt_without_outcome_is_open(path: Path) -> None:
    with Journal(path) as journal:
        begin(journal)
        assert journal.attempts()[0].result is None
        assert begin(journal).number == 2


@pytest.mark.parametrize(
    "table", ["passes", "attempts", "outcomes", "events", "gates", "entries", "faults", "measures"]
)
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET at = 'x'"])
def test_nothing_is_ever_changed(path: Path, table: str, statement: str) -> None:
    with Journal(path) as journal:
        attempt = begin(journal)
        pass_ = journal.passes()[0]
        journal.add_events(
            [Event(attempt.id, attempt.at, "ok")], [Measure(attempt.id, attempt.at, "h", "n", 1, 2, "bytes", 1)]
        )
        journal.add_gate(pass_, "gate", GateState.APPROVED, by="ana")
        journal.add_entry(pass_, EntryKind.NOTE, "text", by="ana")
        journal.finish(attempt, Result.DONE, faults=[Fault(attempt.id, attempt.at, "", "", "", "", "")])
    with sqlite3.connect(path) as database, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement.format(table))


def test_second_outcome_is_refused(path: Path) -> None:
    with Journal(path) as journal:
        attempt = begin(journal)
        journal.finish(attempt, Result.FAILED)
        with pytest.raises(EncajaError):
            journal.finish(attempt, Result.DONE)
        assert journal.attempts()[0].result is Result.FAILED


def test_newer_journal_is_refused_untouched(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="newer encaja"):
        Journal(path)
    assert path.read_bytes() == before


def test_foreign_and_damaged_files_are_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (x)")
    with pytest.raises(ConfigurationError, match="not a journal"):
        Journal(path)
    path.write_text("this is no database at all, just a long enough text to be looked at by sqlite")
    with pytest.raises(ConfigurationError, match="not a journal"):
        Journal(path)


def test_missing_journal_is_told(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no journal yet"):
        Journal(path, create=False)


def test_full_disk_is_told_and_nothing_is_lost(path: Path) -> None:
    with Journal(path) as journal:
        attempt = begin(journal)
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(EncajaError, match="disk is full"):
            journal.add_events([Event(attempt.id, attempt.at, "ok", text="x" * 500)] * 400)
        journal._db.execute("PRAGMA max_page_count=100000")
        journal.finish(attempt, Result.DONE)
        assert journal.attempts()[0].result is Result.DONE
        assert list(journal.events(attempt.id)) == []


def test_reader_sees_what_a_writer_committed(path: Path) -> None:
    with Journal(path) as writer, Journal(path, create=False) as reader:
        attempt = begin(writer)
        assert reader.attempts()[0].id == attempt.id
        writer.finish(attempt, Result.DONE)
        assert reader.attempts()[0].result is Result.DONE


def test_journal_is_private(path: Path) -> None:
    Journal(path).close()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_story_and_difference_of_two_passes(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    clock = case.Clock()
    with Journal(move.journal, clock=clock) as journal:
        week = case.Week(move, journal, clock)
        first = week.go("rehearsal-1", rate=833_000, faults=True)
        second = week.go("cutover", rate=600_000)
        lines = timeline.lines(journal, first)
        assert [line.at for line in lines] == sorted(line.at for line in lines)
        assert {"step", "gate", "fault", "cure"} <= {line.kind for line in lines}
        assert any("fetch 30.0 GB" in line.text for line in lines)
        assert lines[0].as_json()["pass"] == "rehearsal-1"
        difference = {item.step: item for item in compare_passes(move.runbook, journal, first, second)}
        back = {item.step: item for item in compare_passes(move.runbook, journal, second, first)}
    assert difference["restore"].trend is Trend.SLOWER
    assert difference["restore"].new_faults == ()
    assert any("volume 23" in fault for fault in back["restore"].new_faults)


def test_what_decides_is_on_the_disk_when_the_call_returns_and_events_may_wait(path: Path) -> None:
    with Journal(path) as journal:
        said: list[str] = []
        journal._db.set_trace_callback(said.append)

        def ways() -> list[str]:
            """How each transaction since the last call was committed."""
            found = [text.rpartition("=")[2] for text in said if text.startswith("PRAGMA synchronous")]
            bounds = [text for text in said if text in {"BEGIN IMMEDIATE", "COMMIT"}]
            assert bounds == ["BEGIN IMMEDIATE", "COMMIT"] * len(found)
            said.clear()
            return found

        pass_ = journal.start_pass("cutover", "ana", {})
        assert ways() == ["FULL"]
        attempt = journal.begin(pass_, "restore", "run", by="ana", kind="playbook", directory="/x")
        assert ways() == ["FULL"]
        journal.add_events([Event(attempt.id, now(), "ok")])
        assert ways() == ["NORMAL"]
        journal.finish(attempt, Result.DONE)
        assert ways() == ["FULL"], "also after events"
        journal.add_gate(pass_, "restore", GateState.WAITING, by="ana")
        journal.add_entry(pass_, EntryKind.ACCEPTED, "x", by="ana")
        journal.ask_again(pass_, ["restore"], by="ana", bounded=False)
        assert ways() == ["FULL"] * 3


def test_an_outcome_with_a_fault_that_cannot_be_written_is_not_half_there(path: Path) -> None:
    with Journal(path) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        attempt = journal.begin(pass_, "restore", "run", by="ana", kind="playbook", directory="/x")
        good = Fault(attempt.id, now(), "h", "t", "w", "l", "m")
        broken = replace(good, lines=object())  # type: ignore[arg-type]
        with pytest.raises(EncajaError):
            journal.finish(attempt, Result.FAILED, faults=[good, broken])
        assert journal.faults() == []
        assert journal.attempts()[0].result is None
        journal.finish(attempt, Result.FAILED, faults=[good])
        assert len(journal.faults()) == 1


def test_attempts_are_numbered_by_part_and_found_by_step_and_pass(path: Path) -> None:
    with Journal(path) as journal:
        passes = [journal.start_pass(name, "ana", {}) for name in ("rehearsal", "cutover")]
        assert journal.start_pass("cutover", "eva", {}).id == passes[1].id
        for pass_ in passes:
            for step, part in (("a", "run"), ("a", "verify"), ("a", "run"), ("ab", "run")):
                journal.begin(pass_, step, part, by="ana", kind="playbook", directory="/x")
        found = journal.attempts(passes[1], "a")
        assert [(one.part, one.number) for one in found] == [("run", 1), ("verify", 1), ("run", 2)]
        assert [len(journal.attempts(one)) for one in (*passes, None)] == [4, 4, 8]
        assert len(journal.attempts(step="ab")) == 2
