"""The share of a machine that a copy takes: next to nothing, except while commits wait for it.

A program with next to no share must not hold a lock that others wait for, so a program that gives way here takes its
share back before it takes a lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SCOPE: Final = "encaja-copy"
"""What the control group of a copy's program on the source is called; only of such a one is the weight changed."""
_LAST, _USUAL = 19, 0
_WEIGHTS: Final = {"cpu.weight": {_LAST: "1", _USUAL: "100"}, "io.weight": {_LAST: "1", _USUAL: "100"}}


def give_way(programs: Iterable[int]) -> None:
    """Let everything else on the machine go first.

    Args:
        programs: ids of processes, with all their threads.
    """
    _place(programs, _LAST)


def take_part(programs: Iterable[int]) -> None:
    """Let them run as any other program does."""
    _place(programs, _USUAL)


def _place(programs: Iterable[int], nice: int) -> None:
    """Three ways, of which a machine knows one or more: by control group, by session (autogroup), by thread."""
    group = _own_group()
    if group.name.startswith(SCOPE):
        for name, weights in _WEIGHTS.items():
            _write(group / name, weights[nice])
    if os.getsid(0) in (os.getpid(), os.getppid()):
        _write(Path("/proc/self/autogroup"), str(nice))
    for program in programs:
        for thread in _threads(program):
            try:
                os.setpriority(os.PRIO_PROCESS, thread, nice)
            except (ProcessLookupError, PermissionError):
                continue


def _own_group() -> Path:
    """The control group of this process in the unified tree. Source: cgroups(7), "/proc files"."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return Path("/sys/fs/cgroup") / own.lstrip("/")


def _threads(program: int) -> list[int]:
    try:
        return [int(path.name) for path in Path(f"/proc/{program}/task").iterdir()]
    except OSError:
        return []


def _write(path: Path, word: str) -> None:
    """Where a machine does not have the one way it has another."""
    try:
        path.write_text(word)
    except OSError:
        return
