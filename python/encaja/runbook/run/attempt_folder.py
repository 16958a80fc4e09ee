"""The folder of an attempt: how conductor, supervisor and playbooks talk to each other (see docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path

from encaja.runbook.durations import now
from encaja.runbook.run import supervisor
from encaja.status import PROGRESS_VARIABLE

ATTEMPT_VARIABLE = "ENCAJA_ATTEMPT"
PROGRESS_FILE = "progress.json"
LOG_FILE = "log"
# The second is how earlier versions named it: their attempts may still run.
_SUPERVISOR_FILES = (supervisor.PROCESS_FILE, "leash")


def make_folder(state: Path, pass_name: str, step: str, part: str) -> Path:
    """A new folder for an attempt, for the owner only."""
    folder = state / "runs" / pass_name / f"{now():%Y%m%dT%H%M%S.%f}-{step}-{part}"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def folder_variables(folder: Path) -> dict[str, str]:
    """The environment variables that tell a step's processes which attempt they belong to."""
    return {ATTEMPT_VARIABLE: str(folder), PROGRESS_VARIABLE: str(folder / PROGRESS_FILE)}


def recorded_code(folder: Path) -> int | None:
    """The exit code that the supervisor recorded; None where the command did not end by itself."""
    try:
        return int((folder / supervisor.CODE_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def running_supervisor(folder: Path) -> int | None:
    """The process id of the attempt's supervisor; None where it has ended or has not started."""
    for name in _SUPERVISOR_FILES:
        try:
            pid, ticks = (int(word) for word in (folder / name).read_text(encoding="ascii").split())
        except (OSError, ValueError):
            continue
        if supervisor.start_ticks(pid) == ticks:
            return pid
    return None
