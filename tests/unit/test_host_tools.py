"""The host tools as one file, and their usage and progress."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile

from ansible_collections.encaja.portal.plugins.action.host_tool import progress_line
from encaja import host_tools, zipapps
from encaja.status import Status


def test_host_tools_are_the_same_bytes_and_run(tmp_path):
    file = zipapps.build_file(tmp_path)
    assert zipapps.build() == file.read_bytes()
    names = zipfile.ZipFile(file).namelist()
    assert "encaja/restore/coordinator.py" in names and not any(name.startswith("encaja/cli") for name in names)
    done = subprocess.run(
        [sys.executable, file, "no-such-tool", "x"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and "restore" in done.stderr
    (tmp_path / "job.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, file, "restore", "job.json"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and "not a restore's job" in done.stderr


def test_usage_of_host_tools(capsys):
    assert host_tools.main(["restore"]) == 2
    assert "usage" in capsys.readouterr().err


def test_a_tool_that_cannot_read_or_write_says_so_in_one_line(tmp_path, capsys):
    assert host_tools.main(["clone", str(tmp_path / "none.json")]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/none.json: No such file or directory (solve that, then rerun)\n"


def test_progress_for_a_person():
    status = {
        "phase": "stream",
        "done": 5,
        "total": 10,
        "unit": "bytes",
        "rate": 2e6,
        "eta_seconds": 61.2,
        "message": "m",
    }
    assert progress_line(status) == "stream, 50 %, 2.0 MB/s, 1:01 left, m"
    assert progress_line({}) == ""


def test_time_left_leaves_out_what_an_earlier_run_did(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    status = Status(tmp_path / "status.json")
    status.begin("stream", 2000, done=1000)
    clock[0] += 10
    status.advance(1100)
    told = json.loads(status.path.read_text())
    assert (told["rate"], told["eta_seconds"]) == (10.0, 90.0)
    status.measured = 45.0
    status.write()
    assert json.loads(status.path.read_text())["eta_seconds"] == 20.0
