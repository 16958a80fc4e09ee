from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.identity_map import CommentsRead, Conflict, IdentityMap, State
from encaja.errors import EncajaError


@pytest.mark.fault("kill -9: host tool", "carry-over", "while the identity map is written")
def test_what_was_being_sent_is_still_open_after_a_kill(tmp_path: Path) -> None:
    def die() -> None:
        with IdentityMap(tmp_path) as identities:
            identities.sending("lead", [("7", "t"), ("8", "t")])
            identities.done("lead", "8", "108", want={"title": "a"}, have={"title": "b"}, modified="t")
            with identities.transaction():
                identities.done("lead", "9", "109")
                time.sleep(60)

    process = multiprocessing.get_context("fork").Process(target=die)
    process.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(EncajaError), IdentityMap(tmp_path, writer=False) as seen:
            if seen.box_id("lead", "8"):
                break
        time.sleep(0.05)
    process.kill()
    process.join()
    with IdentityMap(tmp_path) as identities:
        states = {link.cloud: link.state for link in identities.links("lead")}
        assert states == {"7": State.SENDING, "8": State.DONE}, "neither lost nor half done"
        assert identities.box_id("lead", "7") is None
        assert identities.find("lead", ["8"])["8"].have == {"title": "b"}


def test_there_is_one_writer_and_readers_may_look(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as writer:
        writer.done("lead", "1", "2")
        with pytest.raises(EncajaError, match="another carry-over is running"):
            IdentityMap(tmp_path)
        with IdentityMap(tmp_path, writer=False) as reader:
            assert reader.box_id("lead", "1") == "2"
    IdentityMap(tmp_path).close()


def test_up_to_the_watermark_identifiers_are_the_same(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.remember("watermark:lead", 100)
        assert identities.box_id("lead", "100") == "100"
        assert identities.box_id("lead", "101") is None
        assert identities.cloud_id("lead", "101") is None
        identities.done("lead", "101", "205")
        assert (identities.box_id("lead", "101"), identities.cloud_id("lead", "205")) == ("205", "101")
        identities.mark("lead", "50", State.GONE)
        assert identities.box_id("lead", "50") is None


def test_faults_come_back_ever_more_rarely_and_go_when_cured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    with IdentityMap(tmp_path) as identities:
        waits = []
        for _ in range(9):
            identities.note_fault("deal", "3", "no such stage", "add it")
            [trouble] = identities.faults()
            waits.append(trouble.due - now)
        assert waits == sorted(waits) and waits[0] == 10.0 and waits[-1] == 600.0
        assert trouble.tries == 9
        assert identities.faults(due=True) == []
        identities.hasten()
        assert [item.cloud for item in identities.faults(due=True)] == ["3"]
        identities.clear_fault("deal", "3")
        assert identities.faults() == []


def test_open_conflicts_go_when_both_sides_agree_and_decided_ones_stay(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.conflict(Conflict("lead", "1", "1", "title", "a", "b", "open"))
        identities.conflict(Conflict("lead", "1", "1", "name", "a", "b", "cloud"))
        identities.settled("lead", "1", ["title", "name"])
        assert [item.field for item in identities.conflicts()] == ["name"]


def test_a_copy_in_memory_leaves_the_file_alone(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.done("lead", "1", "2")
        copy = IdentityMap.in_memory(tmp_path)
        copy.done("lead", "5", "6")
        assert copy.box_id("lead", "1") == "2"
        assert identities.box_id("lead", "5") is None


def test_a_record_that_is_gone_or_being_sent_has_no_counterpart_whatever_its_number_was(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        for number, state in enumerate(State):
            identities.done("lead", str(number), f"20{number}")
            identities.mark("lead", str(number), state)
        found = {state: identities.box_id("lead", str(number)) for number, state in enumerate(State)}
        assert found == {State.SENDING: None, State.DONE: "201", State.GONE: None, State.KEPT: "203"}
        assert identities.cloud_id("lead", "202") == "2", "nobody else's"
        assert identities.box_id("deal", "1") is None, "another kind"


def test_only_a_mark_is_taken_back_and_never_what_has_arrived(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.sending("lead", [("1", "t"), ("2", "t"), ("11", "t")])
        identities.done("lead", "2", "102")
        identities.mark("lead", "3", State.KEPT, "103")
        identities.sending("deal", [("1", "t")])
        identities.unsent("lead", ["1", "2", "3"])
        assert {(one.cloud, one.state) for one in identities.links("lead")} == {
            ("2", State.DONE), ("3", State.KEPT), ("11", State.SENDING),
        }  # fmt: skip
        assert [one.cloud for one in identities.links("deal")] == ["1"]


def test_a_mark_says_when_it_was_set_and_leaves_what_is_known_of_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    with IdentityMap(tmp_path) as identities:
        identities.sending("lead", [("1", "2026-11-26")])
        link = identities.find("lead", ["1"])["1"]
        assert (link.sent, link.modified, link.box, link.state) == (1000.0, "2026-11-26", "", State.SENDING)
        identities.done("lead", "1", "101", want={"a": "x"}, have={"a": "y"}, modified="later")
        identities.mark("lead", "1", State.KEPT)
        link = identities.find("lead", ["1"])["1"]
        assert (link.box, link.want, link.have, link.modified) == ("101", {"a": "x"}, {"a": "y"}, "later")
        identities.mark("lead", "1", State.GONE, "102")
        assert identities.find("lead", ["1"])["1"].box == "102"


def test_links_and_searches_reach_beyond_a_page(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        names = [f"{number}" for number in range(1, 2502)]
        with identities.transaction():
            for name in names:
                identities.done("lead", name, f"1{name}")
        identities.mark("lead", "2400", State.KEPT)
        assert sorted(link.cloud for link in identities.links("lead")) == sorted(names)
        assert [link.cloud for link in identities.links("lead", State.KEPT)] == ["2400"]
        assert len(list(identities.links("lead", State.DONE, State.KEPT))) == 2501
        assert identities.find("lead", [*names, "9999"]).keys() == set(names)
        identities.comments_read("lead", [CommentsRead(name, "a", "b", 1) for name in names])
        assert identities.read_comments("lead", names).keys() == set(names)
        assert identities.read_comments("deal", names) == {}


def test_a_transaction_takes_effect_whole_or_not_at_all(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities, IdentityMap(tmp_path, writer=False) as other:
        with pytest.raises(KeyboardInterrupt), identities.transaction():
            identities.done("lead", "1", "101")
            with identities.transaction():
                identities.done("lead", "2", "102")
            assert other.find("lead", ["1", "2"]) == {}, "an inner one commits nothing"
            raise KeyboardInterrupt
        assert identities.find("lead", ["1", "2"]) == {}
        with identities.transaction():
            identities.done("lead", "1", "101")
        assert other.find("lead", ["1"]).keys() == {"1"}


def test_what_is_committed_outlives_a_power_cut(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        assert identities._db.execute("PRAGMA synchronous").fetchone() == (2,), "each commit is synced: FULL"
        assert identities._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert tmp_path.joinpath("identity.sqlite3").exists()


def test_the_lock_names_its_owner_and_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "state"
    (tmp_path / "a").mkdir()
    with IdentityMap(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        with pytest.raises(EncajaError, match=rf"\(process {os.getpid()}\)"):
            IdentityMap(folder)
        with IdentityMap.for_answers(folder) as beside:
            beside.conflict(Conflict("lead", "1", "1", "title", "a", "b", "open"))
        with pytest.raises(EncajaError, match="another carry-over"):
            IdentityMap(folder)
    IdentityMap(folder).close()


def test_without_a_map_nothing_was_carried_and_a_broken_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(EncajaError, match="nothing was carried over yet"):
        IdentityMap(tmp_path, writer=False)
    (tmp_path / "identity.sqlite3").write_text("no database, whatever its name says")
    with pytest.raises(EncajaError, match="no identity map"):
        IdentityMap(tmp_path)


def test_a_fault_keeps_when_it_began_and_is_due_exactly_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    with IdentityMap(tmp_path) as identities:
        identities.note_fault("deal", "3", "one", "fix it")
        now = 1010.0
        assert [fault.cloud for fault in identities.faults(due=True)] == ["3"]
        identities.note_fault("deal", "3", "two")
        identities.note_fault("deal", "20", "x")
        identities.note_fault("lead", "3", "x")
        fault = identities.faults()[0]
        assert (fault.first, fault.tries, fault.due, fault.what, fault.hint) == (1000.0, 2, 1030.0, "two", "")
        assert [(one.entity, one.cloud) for one in identities.faults()] == [
            ("deal", "3"),
            ("deal", "20"),
            ("lead", "3"),
        ]
        identities.clear_fault("deal", "3")
        assert [(one.entity, one.cloud) for one in identities.faults()] == [("deal", "20"), ("lead", "3")]


def test_an_answer_is_taken_to_an_open_conflict_alone(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.conflict(Conflict("lead", "1", "101", "title", "a", "b", "open"))
        identities.conflict(Conflict("lead", "2", "102", "title", "a", "b", "box"))
        assert identities.answer("lead", "1", "title", "cloud")
        assert not identities.answer("lead", "2", "title", "cloud")
        assert not identities.answer("lead", "1", "name", "cloud")
        assert not identities.answer("deal", "1", "title", "cloud")
        assert identities.answers() == [Conflict("lead", "1", "101", "title", "a", "b", "cloud")]
        assert [one.row()["value_in_box"] for one in identities.conflicts()] == ["b", "b"]
        identities.applied("lead", "2")
        assert len(identities.answers()) == 1
        identities.applied("lead", "1")
        assert identities.answers() == []


def test_times_and_stragglers_are_kept_until_they_are_set(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.note_time("task", "1", "t", "9")
        identities.note_time("task", "2", "t", "")
        identities.note_time("comment", "1", "t", "9")
        identities.times_set([("task", "1"), ("task", "7")])
        assert identities.times_to_set() == [("comment", "1", "t", "9"), ("task", "2", "t", "")]
        identities.straggler("lead", "8", "2", "A")
        identities.straggler("lead", "9", "1", "B")
        assert [row[1] for row in identities.stragglers()] == ["9", "8"]
        assert (identities.note("x"), identities.note("x", 3)) == (None, 3)


def test_a_number_that_is_none_is_in_no_backup(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        identities.remember("watermark:lead", 100)
        assert [identities.box_id("lead", name) for name in ("0", "1", "", "x", "D:7")] == [None, "1", None, None, None]
        assert [identities.cloud_id("lead", name) for name in ("0", "1", "100", "101", "x")] == [
            None, "1", "100", None, None,
        ]  # fmt: skip


def test_a_copy_of_no_map_is_empty_and_usable(tmp_path: Path) -> None:
    copy = IdentityMap.in_memory(tmp_path)
    copy.done("lead", "5", "6")
    assert copy.box_id("lead", "5") == "6"
    assert list(tmp_path.iterdir()) == []
    copy.close()


def test_a_map_that_is_closed_writes_no_more(tmp_path: Path) -> None:
    identities = IdentityMap(tmp_path)
    identities.close()
    identities.close()
    with pytest.raises(sqlite3.ProgrammingError):
        identities.done("lead", "5", "6")
    (tmp_path / "writer.lock").write_text("")
    with IdentityMap(tmp_path) as writer:
        assert (tmp_path / "writer.lock").read_text() == f"{os.getpid()}\n"
        (tmp_path / "writer.lock").write_text("")
        with pytest.raises(EncajaError, match=r"\(process unknown\)"):
            IdentityMap(tmp_path)
        writer.done("lead", "5", "6")


def test_marks_of_many_records_are_set_together_or_not_at_all(tmp_path: Path) -> None:
    with IdentityMap(tmp_path) as identities:
        broken: list[Any] = [("1", "t"), ("2", object())]
        with pytest.raises(sqlite3.Error):
            identities.sending("lead", broken)
        assert identities.find("lead", ["1"]) == {}, "the power is cut after the first"
        identities.sending("lead", [("1", "t"), ("3", "t")])
        gone: list[Any] = ["1", object()]
        with pytest.raises(sqlite3.Error):
            identities.unsent("lead", gone)
        assert identities.find("lead", ["1", "3"]).keys() == {"1", "3"}
        rows: list[Any] = [CommentsRead("1", "a", "b", 1), CommentsRead("2", "a", "b", object())]  # type: ignore[arg-type]
        with pytest.raises(sqlite3.Error):
            identities.comments_read("lead", rows)
        assert identities.read_comments("lead", ["1"]) == {}
        identities.note_time("task", "1", "t", "")
        times: list[Any] = [("task", "1"), ("task", object())]
        with pytest.raises(sqlite3.Error):
            identities.times_set(times)
        assert len(identities.times_to_set()) == 1
