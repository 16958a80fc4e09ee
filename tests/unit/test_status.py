"""The progress file of a host tool: whose it is, what its last word is worth, and what is said of a wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encaja import status as module
from encaja.status import Status, waiting_for


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_it_says_of_which_start_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCAJA_START", "this-one")
    status = Status(tmp_path / "s.json")
    status.begin("stream", 10)
    assert read(status.path)["start"] == "this-one"
    monkeypatch.delenv("ENCAJA_START")
    Status(tmp_path / "s.json").begin("check")
    assert read(status.path)["start"] == ""


@pytest.mark.parametrize("say", [lambda status: status.finish("restored"), lambda status: status.fail("no room")])
def test_the_last_word_is_on_the_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Any) -> None:
    forced: list[str] = []

    def force(number: int) -> None:
        forced.append(str(Path(f"/proc/self/fd/{number}").readlink()))

    monkeypatch.setattr(module.os, "fsync", force)
    status = Status(tmp_path / "s.json")
    status.begin("stream", 10)
    assert forced == [], "progress is not worth a wait for the disk"
    say(status)
    content, folder = map(Path, forced)
    assert (content.parent, content.name[:8], folder) == (tmp_path, ".s.json.", tmp_path)


def test_done_leaves_no_error_and_a_failure_is_not_done(tmp_path: Path) -> None:
    status = Status(tmp_path / "s.json")
    status.begin("stream")
    status.fail("the disk is full")
    assert (read(status.path)["phase"], read(status.path)["error"]) == ("stream", "the disk is full")
    status.finish("restored")
    assert (read(status.path)["phase"], read(status.path)["error"]) == ("done", None)


def test_a_wait_says_what_for_why_since_when_and_until_when(tmp_path: Path) -> None:
    told = waiting_for("the database server", "connection refused", 0.0, 600.0)
    assert told == "waiting for the database server (connection refused) since 00:00:00Z, until 00:10:00Z"
    status = Status(tmp_path / "s.json")
    status.begin("load", message="loading")
    status.wait_for(told)
    assert read(status.path)["message"] == f"{told}; loading"
    status.wait_for("")
    assert read(status.path)["message"] == "loading"
