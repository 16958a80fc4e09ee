"""Nothing of a command outlives its conductor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encaja.runbook.run import recovery, supervisor
from encaja.runbook.run.attempt_folder import recorded_code, running_supervisor
from encaja.runbook.run.execution import supervised
from encaja.runbook.run.recovery import end_survivors


def run_supervised(directory: Path, script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(supervised(directory, ["sh", "-c", script]), start_new_session=True)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)
    return path.read_text()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while supervisor.start_ticks(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_supervisor_passes_on_the_exit_code_and_records_it(tmp_path: Path) -> None:
    assert run_supervised(tmp_path, "exit 7").wait() == 7
    assert recorded_code(tmp_path) == 7


def test_supervisor_names_a_missing_program(tmp_path: Path) -> None:
    process = subprocess.run(supervised(tmp_path, ["/no/such/program"]), capture_output=True, text=True, check=False)
    assert process.returncode == supervisor.NOT_FOUND
    assert "/no/such/program" in process.stderr


def test_supervisor_ends_even_what_left_its_session(tmp_path: Path) -> None:
    process = run_supervised(
        tmp_path, f"setsid sh -c 'trap \"\" INT TERM HUP; echo $$ > {tmp_path}/child; exec sleep 300' & exec sleep 300"
    )
    child = int(wait_for(tmp_path / "child"))
    process.terminate()
    assert process.wait() == supervisor.INTERRUPTED
    assert gone(child)
    assert recorded_code(tmp_path) is None


def test_supervisor_ends_its_command_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "from subprocess import Popen;from pathlib import Path;from encaja.runbook.run.execution import supervised\n"
        f"d=Path({str(tmp_path)!r})\n"
        "Popen(supervised(d,['sh','-c',f'echo $$ > {d}/child; exec sleep 300']),start_new_session=True).wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    child = int(wait_for(tmp_path / "child"))
    parent.kill()
    parent.wait()
    assert gone(child)
    assert recorded_code(tmp_path) is None


def test_survivors_of_a_killed_supervisor_are_found_by_their_mark(tmp_path: Path) -> None:
    environment = {**os.environ, "ENCAJA_ATTEMPT": str(tmp_path)}
    orphan = subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True)
    assert end_survivors(tmp_path, patience=0.1) == 1
    assert orphan.wait() == -9
    assert end_survivors(tmp_path, patience=0.1) == 0


def test_survivor_in_the_middle_of_its_exec_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "ENCAJA_ATTEMPT": str(tmp_path)}
    orphan = subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True)
    looks = []
    read = recovery._environment

    def empty_at_first(pid: int) -> bytes | None:
        if pid == orphan.pid:
            looks.append(pid)
        return b"" if pid == orphan.pid and len(looks) == 1 else read(pid)

    monkeypatch.setattr(recovery, "_environment", empty_at_first)
    assert end_survivors(tmp_path, patience=0.1) == 1
    assert orphan.wait() == -9
    assert len(looks) >= 2


def test_process_of_an_earlier_versions_supervisor_is_found(tmp_path: Path) -> None:
    (tmp_path / "leash").write_text(f"{os.getpid()} {supervisor.start_ticks(os.getpid())}\n")
    assert running_supervisor(tmp_path) == os.getpid()
    (tmp_path / "leash").write_text(f"{os.getpid()} 1\n")
    assert running_supervisor(tmp_path) is None


def test_an_exit_code_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[str]]] = []

    def force(number: int) -> None:
        target = Path(f"/proc/self/fd/{number}").readlink()
        seen.append((target.read_text(), sorted(path.name for path in tmp_path.iterdir())))

    monkeypatch.setattr(os, "fsync", force)
    (tmp_path / "rc.new").write_text("a longer one of a run that was cut off")
    supervisor._write(tmp_path / "rc", "7\n")
    assert seen == [("7\n", ["rc.new"])]
    assert recorded_code(tmp_path) == 7
    assert (tmp_path / "rc").stat().st_mode & 0o777 in {0o600, 0o644}
    assert [path.name for path in tmp_path.iterdir()] == ["rc"]


@pytest.mark.parametrize(("script", "code"), [("kill -9 $$", 137), ("kill -TERM $$", 143), ("exit 0", 0)])
def test_a_command_that_a_signal_ended_is_no_success(tmp_path: Path, script: str, code: int) -> None:
    assert run_supervised(tmp_path, script).wait() == code
    assert recorded_code(tmp_path) == code


def test_a_supervisor_whose_parent_is_gone_starts_nothing(tmp_path: Path) -> None:
    arguments = [sys.executable, "-I", "-S", supervisor.__file__, str(tmp_path), "1", "touch", str(tmp_path / "ran")]
    assert subprocess.run(arguments, check=False).returncode == supervisor.INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_named_by_its_number_and_its_beginning(tmp_path: Path) -> None:
    (tmp_path / supervisor.PROCESS_FILE).write_text(f"{os.getpid()} {supervisor.start_ticks(os.getpid())}\n")
    assert running_supervisor(tmp_path) == os.getpid()
    (tmp_path / supervisor.PROCESS_FILE).write_text(f"{os.getpid()} {(supervisor.start_ticks(os.getpid()) or 0) + 1}\n")
    assert running_supervisor(tmp_path) is None, "another process has that number now"
    ended = subprocess.Popen(["sleep", "60"])
    ticks = supervisor.start_ticks(ended.pid)
    assert ticks is not None and ended.pid in supervisor.descendants(os.getpid())
    ended.kill()
    deadline = time.monotonic() + 20
    while supervisor.start_ticks(ended.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert supervisor.start_ticks(ended.pid) is None, "one that ended and was not collected runs no more"
    ended.wait()
    for text in ("", "x y", "1", None):
        (tmp_path / supervisor.PROCESS_FILE).unlink(missing_ok=True)
        if text is not None:
            (tmp_path / supervisor.PROCESS_FILE).write_text(text)
        assert running_supervisor(tmp_path) is None
    (tmp_path / "rc").write_text("no number")
    assert recorded_code(tmp_path) is None


def test_the_supervisor_notes_itself_before_its_command_starts(tmp_path: Path) -> None:
    process = run_supervised(tmp_path, f"cp {tmp_path}/{supervisor.PROCESS_FILE} {tmp_path}/seen; exec sleep 300")
    try:
        assert wait_for(tmp_path / "seen") == f"{process.pid} {supervisor.start_ticks(process.pid)}\n"
        assert running_supervisor(tmp_path) == process.pid
    finally:
        process.terminate()
        process.wait()
    assert running_supervisor(tmp_path) is None


def test_what_a_command_leaves_behind_may_end_before_it(tmp_path: Path) -> None:
    """An orphan is the supervisor's child: its end is none of the command's."""
    script = f"(true & echo $! > {tmp_path}/orphan); while kill -0 $(cat {tmp_path}/orphan) 2>&-; do :; done; exit 5"
    assert run_supervised(tmp_path, script).wait() == 5
    assert recorded_code(tmp_path) == 5
