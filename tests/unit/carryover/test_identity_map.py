from __future__ import annotations

import contextlib
import multiprocessing
import time
from pathlib import Path

import pytest

from encaja.carryover.mapping.identity_map import Conflict, IdentityMap, State
from encaja.errors import EncajaError


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
