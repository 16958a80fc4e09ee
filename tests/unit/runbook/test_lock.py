"""One conductor per move."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from encaja.errors import EncajaError
from encaja.runbook.record.lock import hold, is_held


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
