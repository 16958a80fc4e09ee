"""What a carry-over says of its end: done only where it came to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover import commands
from encaja.carryover.settings import Settings
from encaja.status import Status


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: commands.Body) -> tuple[int, dict[str, Any]]:
    monkeypatch.setenv("ENCAJA_START", "this-one")
    monkeypatch.setattr(commands, "read_settings", lambda _: Settings("", "", folder))
    code = commands._run(folder / "job.json", name, body)
    reported: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return code, reported


async def _stopped(_: Settings, status: Status) -> None:
    status.begin("carrying over")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(60)


async def _done(_: Settings, status: Status) -> dict[str, Any]:
    status.begin("carrying over")
    return {"kind": "reconciliation"}


def test_one_that_is_stopped_on_its_way_does_not_say_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an orderly restart of its host stops it."""
    code, reported = run(tmp_path, monkeypatch, "once", _stopped)
    assert code == 143
    assert (reported["phase"], reported["start"]) == ("carrying over", "this-one")
    assert "result" not in reported


def test_one_that_follows_ends_by_being_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, reported = run(tmp_path, monkeypatch, "follow", _stopped)
    assert (code, reported["phase"]) == (0, "done")


def test_one_that_came_to_its_end_says_so_with_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, reported = run(tmp_path, monkeypatch, "once", _done)
    assert (code, reported["phase"], reported["start"]) == (0, "done", "this-one")
    assert reported["result"] == {"kind": "reconciliation"} and reported["ended"]
