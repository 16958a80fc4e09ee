"""The progress file of a host tool: one JSON object, replaced in one step."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from encaja.atomic import write_atomically

INTERVAL = 0.5
# Set by the conductor: the file for a command's status, which is shown and journalled.
PROGRESS_VARIABLE = "ENCAJA_PROGRESS"
# Starts a line of Ansible's output that holds a status as JSON, with its host.
PROGRESS_MARK = "encaja_progress "
# Identifies a start of a tool. Units read it from STARTS/UNIT, so it survives a reboot.
START_VARIABLE = "ENCAJA_START"
STARTS = "/var/lib/encaja/starts"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Status:
    """What a tool is doing: phase, amount done of a total in a unit, rate, time left, error.

    ``eta_seconds`` is computed from the rate since the phase began, and is null until something was done. A tool that
    measures its rate itself sets ``measured``. ``start`` identifies the start of the tool that this status belongs to:
    only ``finish`` and ``fail``, which are on the disk when they return, say how that start ended.
    """

    path: Path
    unit: str = "bytes"
    phase: str = ""
    message: str = ""
    done: int = 0
    total: int = 0
    error: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    measured: float | None = None
    started: str = field(default_factory=_now)
    start: str = field(default_factory=lambda: os.environ.get(START_VARIABLE, ""))
    waiting: str = ""
    _before: int = 0
    _began: float = field(default_factory=time.monotonic)
    _written: float = 0.0

    def begin(self, phase: str, total: int = 0, message: str = "", *, done: int = 0) -> None:
        """Start a phase, and with it rate and time left. ``done`` is what an earlier run has done of it."""
        self.phase, self.total, self.message, self.done = phase, total, message, done
        self._before, self.measured, self.waiting = done, None, ""
        self._began = time.monotonic()
        self.write()

    @property
    def due(self) -> bool:
        """Whether ``advance`` would write the file."""
        return time.monotonic() - self._written >= INTERVAL

    def advance(self, done: int) -> None:
        """Note how much of the phase is done; the file is written at most twice a second."""
        self.done = done
        if self.due:
            self.write()

    def finish(self, message: str = "") -> None:
        """Report that the tool is done, after everything that it made is on the disk."""
        self.phase, self.message, self.waiting, self.error = "done", message, "", None
        self.write(durable=True)

    def fail(self, error: str) -> None:
        """Report why the tool ends without being done."""
        self.error, self.waiting = error, ""
        self.write(durable=True)

    def wait_for(self, waiting: str) -> None:
        """Report what the tool waits for (see ``waiting_for``); an empty text ends the wait."""
        if waiting != self.waiting:
            self.waiting = waiting
            self.write()

    def write(self, *, durable: bool = False) -> None:
        """Replace the file; with ``durable`` it is on the disk afterwards."""
        seconds = time.monotonic() - self._began
        rate = (self.done - self._before) / seconds if seconds > 0 else 0.0
        if self.measured is not None:
            rate = self.measured
        left = (self.total - self.done) / rate if rate and self.total > self.done else None
        content = {
            "phase": self.phase,
            "message": "; ".join(part for part in (self.waiting, self.message) if part),
            "start": self.start,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "rate": round(rate, 1),
            "eta_seconds": None if left is None else round(left, 1),
            "started": self.started,
            "updated": _now(),
            "error": self.error,
            **self.extra,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, (json.dumps(content, indent=1) + "\n").encode(), 0o644, durable=durable)
        self._written = time.monotonic()


def waiting_for(what: str, reason: str, since: float, until: float | None) -> str:
    """One line about a wait: what for, why, since when, and until when (None: for ever), in seconds since the epoch."""
    reason = f" ({reason})" if reason else ""
    end = "for as long as it takes" if until is None else f"until {_clock(until)}"
    return f"waiting for {what}{reason} since {_clock(since)}, {end}"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%SZ")


def conducted(unit: str = "bytes") -> Status | None:
    """The status that the conductor follows while a command of the run-book runs; None outside of a run-book."""
    path = os.environ.get(PROGRESS_VARIABLE)
    return Status(Path(path), unit) if path else None
