"""One conductor per move: a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from encaja.errors import EncajaError
from encaja.runbook.durations import now, to_text
from encaja.runbook.record.workspace import whoami


@dataclass(frozen=True)
class Holder:
    """Who holds, or last held, the lock."""

    pid: int
    host: str
    user: str
    since: str


def read_holder(path: Path) -> Holder | None:
    """The holder noted in the lock's file; None where there is none, or the note is damaged."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return Holder(noted["pid"], noted["host"], noted["user"], noted["since"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def hold(path: Path) -> Iterator[Holder | None]:
    """Holds the move's lock; yields the earlier holder if it died without releasing it.

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
            who = f"pid {holder.pid} of {holder.user} on {holder.host} since {holder.since}" if holder else "unknown"
            raise EncajaError(
                f"another conductor is running: {who}", str(path), "wait until it ends, or stop it"
            ) from error
        earlier = read_holder(path)
        mine = Holder(os.getpid(), socket.gethostname(), whoami(), to_text(now()))
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
