"""Runs one command so that nothing of it outlives the conductor. Started by path, standard library only.

Usage: supervisor.py DIRECTORY PARENT_PID COMMAND...

ansible-core's workers leave their parent's session, and ansible-runner makes its child deaf to the hang-up of a dying
conductor, so a process group is not enough. The supervisor is a child subreaper: whatever its command starts stays
below it, and when it is asked to stop (SIGTERM, SIGINT) or its parent dies, it asks the command to end (SIGINT), waits,
and then kills all that is left below it.

A command that ended by itself leaves its exit code in DIRECTORY/rc, on the disk before the supervisor ends: the next
conductor can tell a finished command from a killed one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

# In the attempt's folder: the supervisor's process id and start time, and the command's exit code.
PROCESS_FILE = "supervisor"
CODE_FILE = "rc"
GRACE = 5.0
INTERRUPTED = 130
NOT_FOUND = 127

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def descendants(root: int) -> list[int]:
    """Process ids below `root`, the nearest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(0), [])
        found += below
        todo += below
    return found


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where it is gone. With the pid it names a process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _write(path: Path, text: str) -> None:
    """Puts a small file in place so that it is either whole on the disk or absent."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)


def _start(command: list[str]) -> int:
    child = os.fork()
    if child == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(command[0], command)  # noqa: S606 - the command takes this process's place
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(NOT_FOUND)
    return child


def _reap(command: int) -> int | None:
    """Collects ended processes; the command's exit code once it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == command:
            code = os.waitstatus_to_exitcode(status)


def _kill_all(command: int) -> None:
    while True:
        below = descendants(os.getpid())
        if not below:
            return
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        _reap(command)


def _stop(command: int) -> None:
    """Asks the command to end, waits up to `GRACE` seconds, and kills what is left."""
    deadline = time.monotonic() + GRACE
    try:
        os.kill(command, signal.SIGINT)
    except ProcessLookupError:
        deadline = 0.0
    while time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        if _reap(command) is not None:
            break
    _kill_all(command)


def main(arguments: list[str]) -> int:
    """Runs the command to its end, or stops it; returns its exit code (128 + n for signal n)."""
    directory, parent, command_line = Path(arguments[0]), int(arguments[1]), arguments[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        return INTERRUPTED
    _write(directory / PROCESS_FILE, f"{os.getpid()} {start_ticks(os.getpid())}\n")
    command = _start(command_line)
    while True:
        received = signal.sigwait(_SIGNALS)
        if received == signal.SIGCHLD:
            code = _reap(command)
            if code is not None:
                code = code if code >= 0 else 128 - code
                _write(directory / CODE_FILE, f"{code}\n")
                return code
        elif received != signal.SIGHUP or os.getppid() != parent:
            _stop(command)
            return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
