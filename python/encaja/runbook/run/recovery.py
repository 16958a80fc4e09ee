"""What a conductor that died left behind: attempts without an outcome, and processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from encaja.runbook.record.journal import EntryKind, Result
from encaja.runbook.record.lock import Holder
from encaja.runbook.run.attempt_folder import ATTEMPT_VARIABLE, recorded_code, running_supervisor
from encaja.runbook.run.pass_run import PassRun

_EXEC_LOOKS = 20


def recover(run: PassRun, earlier: Holder | None) -> None:
    """Close the attempts that have no outcome, and end what they left running.

    Args:
        run: the run that begins.
        earlier: the conductor that held the lock and did not release it.
    """
    unfinished = [attempt for attempt in run.journal.attempts() if attempt.result is None]
    if earlier and unfinished:
        text = f"the conductor with pid {earlier.pid} of {earlier.user} died; continuing from its journal"
        run.display.note(text)
        run.add_entry(EntryKind.TAKEOVER, text)
    for attempt in unfinished:
        folder = Path(attempt.directory)
        end_survivors(folder)
        code = recorded_code(folder)
        if code is None:
            run.journal.finish(attempt, Result.INTERRUPTED, summary="the conductor died")
        else:
            result = Result.DONE if code == 0 else Result.FAILED
            run.journal.finish(attempt, result, code=code, summary="ended after the conductor had died")


def end_survivors(folder: Path, patience: float = 10.0) -> int:
    """End what an attempt of a dead conductor left running; returns how many processes had to be killed.

    The supervisor ends its command by itself; it is waited for up to `patience` seconds. Then whatever still carries
    the attempt's mark in its environment is killed.
    """
    deadline = time.monotonic() + patience
    while running_supervisor(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = 0
    for pid in marked_processes(folder):
        try:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        except (ProcessLookupError, PermissionError):
            continue
    return killed


def marked_processes(folder: Path) -> list[int]:
    """Processes whose environment says that they belong to the attempt of `folder`.

    Between a program's exec and its first instruction the kernel shows an empty environment; such a process is read
    again.
    """
    wanted = f"{ATTEMPT_VARIABLE}={folder}".encode()
    found, unread = [], [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    for _ in range(_EXEC_LOOKS):
        environments = {pid: _environment(pid) for pid in unread if pid != os.getpid()}
        found += [
            pid for pid, environment in environments.items() if environment and wanted in environment.split(b"\0")
        ]
        unread = [pid for pid, text in environments.items() if text == b"" and _runs_a_program(pid)]
        if not unread:
            break
        time.sleep(0.01)
    return found


def _environment(pid: int) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None


def _runs_a_program(pid: int) -> bool:
    """False for kernel threads and ended processes, whose environment stays empty."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False
