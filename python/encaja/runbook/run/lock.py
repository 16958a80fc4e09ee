"""One conductor per move: a lock that the kernel lets go when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from encaja.errors import EncajaError
from encaja.runbook.durations import now, to_text
from encaja.runbook.record.workspace import whoami
from encaja.runbook.run.supervisor import start_ticks

MARK = "ENCAJA_ATTEMPT"
_EXEC_LOOKS = 20


@dataclass(frozen=True)
class Holder:
    """Who holds, or last held, the lock."""

    pid: int
    ticks: int
    host: str
    user: str
    since: str

    def alive(self) -> bool:
        """Whether that very process still runs on this machine."""
        return self.host == socket.gethostname() and start_ticks(self.pid) == self.ticks


def read_holder(path: Path) -> Holder | None:
    """The holder noted in the lock's file; None where there is none, or the note is damaged."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def hold(path: Path) -> Iterator[Holder | None]:
    """Holds the move's lock; yields the earlier holder if it died without letting go.

    Raises:
        EncajaError: another conductor holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = read_holder(path)
            who = (
                f"pid {holder.pid} of {holder.user} on {holder.host} since {holder.since}" if holder else "another one"
            )
            raise EncajaError(f"a conductor is already at work: {who}", str(path), "wait for it, or end it") from error
        earlier = read_holder(path)
        mine = Holder(os.getpid(), start_ticks(os.getpid()) or 0, socket.gethostname(), whoami(), to_text(now()))
        _note(descriptor, json.dumps(asdict(mine)))
        yield earlier
        _note(descriptor, "")
    finally:
        os.close(descriptor)


def _note(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    os.fsync(descriptor)


def is_held(path: Path) -> bool:
    """Whether a conductor holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def end_survivors(directory: Path, patience: float = 10.0) -> int:
    """Ends what an attempt of a dead conductor left running; returns how many processes had to be killed.

    The leash ends its command by itself; it is waited for up to `patience` seconds. Whatever still carries the
    attempt's mark in its environment then is killed.
    """
    deadline = time.monotonic() + patience
    while _leash_alive(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = 0
    for pid in marked_processes(directory):
        try:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        except (ProcessLookupError, PermissionError):
            continue
    return killed


def _leash_alive(directory: Path) -> bool:
    try:
        pid, ticks = (int(word) for word in (directory / "leash").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return False
    return start_ticks(pid) == ticks


def marked_processes(directory: Path) -> list[int]:
    """Processes whose environment says that they belong to the attempt of `directory`.

    Between a program's exec and its first instruction the kernel shows an empty environment; what is caught in that
    moment is read again.
    """
    wanted = f"{MARK}={directory}".encode()
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
    """False for the kernel's own threads and for processes that have ended, whose environment is empty for good."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False
