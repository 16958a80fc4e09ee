"""The host tools ``health``, which looks and tells, and ``health-show``, which looks and prints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from encaja.errors import EncajaError
from encaja.health import host, telling
from encaja.health.memory import BROKEN, Memory
from encaja.health.readings import HealthJob, Reading

THOROUGH_SECONDS: Final = 600.0
SECOND_LOOK: Final = 15.0
"""Seconds after which a fault that is new is looked at again: what a restart breaks for a moment is not told."""


def read_job(path: Path) -> HealthJob:
    """Read what is looked at on this host."""
    return HealthJob.read(json.loads(path.read_text(encoding="utf-8")), path)


def look(job: HealthJob, memory: Memory, *, thorough: bool) -> list[Reading]:
    """Look at the host and its portal, and remember what has to be.

    Args:
        job: what is looked at.
        memory: changed: sizes of disks, and what a thorough look found.
        thorough: whether the portal's own checks run; else their last readings are returned.
    """
    now = time.time()
    found = host.disks(job.folders)
    memory.sizes = host.note_sizes(memory.sizes, found, now)
    readings = [
        *host.units(job),
        *(host.judge_disk(disk, memory.sizes[disk.mount], job) for disk in found),
        *host.clock(),
        *host.backup(job, timedelta(seconds=now - memory.since)),
    ]
    checks: list[Reading] = host.security() if thorough else []
    if job.portal:
        # Only where there is a portal is there what it needs: a driver for its database.
        portal = import_module("encaja.health.portal")
        subject = portal.scene(job.portal)
        readings += portal.look(subject)
        checks += portal.thorough_look(subject, job, memory.last_checks) if thorough else []
    if thorough:
        memory.remember(checks, now)
    return [*readings, *memory.last_checks]


def watch(job: HealthJob, sleep: Callable[[float], Any] = time.sleep) -> list[Reading]:
    """Look once, and tell what has begun and what has ended.

    What was told is noted when it has been: a host that loses its power in between tells it twice rather than never.

    Raises:
        EncajaError: somebody could not be told; the next look tries again.
    """
    memory = Memory.load(job.state, time.time())
    readings = look(job, memory, thorough=time.time() - memory.thorough >= THOROUGH_SECONDS)
    memory.save(job.state)
    if job.channels:
        readings = _tell(job, memory, readings, sleep)
    if job.heartbeat:
        telling.beat(job)
    return readings


def _tell(job: HealthJob, memory: Memory, readings: list[Reading], sleep: Callable[[float], Any]) -> list[Reading]:
    """Tell what is new, once it has been looked at again; return what was seen last."""
    if memory.news(readings)[0]:
        sleep(SECOND_LOOK)
        again = look(job, memory, thorough=any(item.state in BROKEN for item in memory.last_checks))
        first = {item.id for item in readings if item.state in BROKEN}
        readings = [item for item in again if item.state not in BROKEN or item.id in first or item.id in memory.told]
    begun, ended = memory.news(readings)
    if begun or ended:
        now = time.time()
        telling.tell(job, *telling.letter(job, begun, ended, now))
        memory.note(begun, ended, now)
    memory.save(job.state)
    return readings


def health(path: Path) -> int:
    """Look at this host and tell what has changed; for a timer.

    Returns:
        0, or 1 where somebody could not be told.
    """
    try:
        watch(read_job(path))
    except EncajaError as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def show(path: Path) -> int:
    """Look at everything now, tell nobody, and print the readings as JSON."""
    job = read_job(path)
    readings = look(job, Memory.load(job.state, time.time()), thorough=True)
    body = {"host": job.host, "environment": job.environment, "readings": [asdict(item) for item in readings]}
    print(json.dumps(body, ensure_ascii=False))
    return 0
