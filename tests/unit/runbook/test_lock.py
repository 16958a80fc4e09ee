"""One conductor per move."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from encaja.errors import EncajaError
from encaja.runbook.record.lock import Holder, hold, is_held, read_holder


def test_lock_refuses_a_second_holder_and_says_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with hold(path) as earlier:
        assert earlier is None
        assert is_held(path)
        with pytest.raises(EncajaError, match=f"another conductor is running: pid {os.getpid()}"), hold(path):
            pass
    assert not is_held(path)
    with hold(path) as earlier:
        assert earlier is None


def test_stale_lock_is_taken_over_and_its_holder_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os;from pathlib import Path;from encaja.runbook.record.lock import hold\n"
        f"with hold(Path({str(path)!r})): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    with hold(path) as earlier:
        assert earlier is not None
        assert earlier.pid != os.getpid()


def test_damaged_lock_file_does_not_stop_anyone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("{half a note")
    with hold(path) as earlier:
        assert earlier is None


def test_the_lock_is_for_its_owner_alone_and_its_folder_comes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "move" / "state" / "lock"
    assert read_holder(path) is None
    with hold(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        holder = read_holder(path)
        assert holder is not None and holder.pid == os.getpid()
    assert path.read_text() == ""


def test_who_holds_the_lock_is_on_the_disk_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_text()))
    with hold(path):
        assert [json.loads(text)["pid"] for text in synced] == [os.getpid()]
    assert synced[1:] == [""]


def test_a_longer_note_of_an_earlier_holder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    note = {"pid": 7, "host": "h" * 300, "user": "u", "since": "s"}
    path.write_text(json.dumps(note))
    with hold(path) as earlier:
        assert earlier is not None and earlier == Holder(7, "h" * 300, "u", "s")
        assert "hhh" not in path.read_text()


def test_a_holder_without_a_note_is_unknown_and_holds_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path):
        path.write_text("")
        assert is_held(path) is True
        with pytest.raises(EncajaError, match="another conductor is running: unknown"), hold(path):
            pass
    assert is_held(path) is False
    assert is_held(tmp_path / "none") is False


def test_one_that_fails_under_the_lock_leaves_its_note_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt), hold(path):
        raise KeyboardInterrupt
    assert not is_held(path)
    with hold(path) as earlier:
        assert earlier is not None and earlier.pid == os.getpid()


def test_a_program_that_is_started_under_the_lock_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert not is_held(path)
    finally:
        child.kill()
        child.wait()
