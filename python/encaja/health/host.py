"""A host: its units, disks, clock, upgrades, and backup.

Sources of the formats: ``systemctl(1)`` and ``org.freedesktop.systemd1(5)`` for the properties of units,
``timedatectl(1)``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from encaja.health.readings import HealthJob, Reading, State
from encaja.portal import upgrades

_PROPERTIES: Final = "Id,LoadState,UnitFileState,ActiveState,SubState,Result"
_SWITCHED_OFF: Final = {"disabled", "masked", "masked-runtime", ""}
_GIB: Final = 1 << 30
_DAY: Final = 86400.0
_HISTORY: Final = 7 * _DAY
_SAMPLE: Final = 3600.0


def said(*command: str) -> str:
    """What a program prints; empty where it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def properties(text: str) -> list[dict[str, str]]:
    """The units of ``systemctl show``'s output, which a blank line separates."""
    blocks = [block for block in text.strip().split("\n\n") if block]
    return [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]


def judge_units(wanted: Iterable[Mapping[str, str]], failed: Iterable[str]) -> list[Reading]:
    """Units that have to be active and are not, and those that have failed.

    Args:
        wanted: properties of those that have to be active.
        failed: names of all units that are in state ``failed``.
    """
    broken, active, off = {}, 0, 0
    for unit in wanted:
        name = unit["Id"]
        if unit["LoadState"] == "not-found" or unit["UnitFileState"] in _SWITCHED_OFF:
            off += 1
        elif unit["ActiveState"] == "active" or (unit["ActiveState"], unit["SubState"]) == ("reloading", "reload"):
            active += 1
        else:
            why = "" if unit["Result"] in {"", "success"} else f", {unit['Result']}"
            broken[name] = f"{name} is {unit['ActiveState']} ({unit['SubState']}{why})"
    for name in failed:
        broken.setdefault(name, f"{name} has failed")
    readings = [
        Reading(f"unit:{name}", "fault", what, f"journalctl -u {name}, then systemctl restart {name}")
        for name, what in sorted(broken.items())
    ]
    return [*readings, Reading("units", "ok", f"{active} active, {off} switched off")]


def units(job: HealthJob) -> list[Reading]:
    """The units of this host."""
    seen = properties(said("systemctl", "show", f"--property={_PROPERTIES}", *job.units)) if job.units else []
    listed = said("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager")
    failed = [line.split()[0] for line in listed.splitlines() if line.strip()]
    if job.units and not seen:
        return [Reading("units", "unknown", "systemctl does not answer", "systemctl status")]
    return judge_units(seen, failed)


@dataclass(frozen=True)
class Disk:
    """A file system: where it is mounted, and its bytes and inodes."""

    mount: str
    size: int
    free: int
    inodes: int = 0
    free_inodes: int = 0


def disks(folders: Iterable[Path]) -> list[Disk]:
    """The file systems of some folders, each once; folders that are missing have none."""
    found: dict[int, Disk] = {}
    for folder in folders:
        if not folder.exists():
            continue
        device = folder.stat().st_dev
        while folder != folder.parent and folder.parent.stat().st_dev == device:
            folder = folder.parent  # noqa: PLW2901
        usage, inodes = shutil.disk_usage(folder), os.statvfs(folder)
        found.setdefault(device, Disk(str(folder), usage.total, usage.free, inodes.f_files, inodes.f_favail))
    return list(found.values())


def days_left(samples: Sequence[Sequence[float]], free: float) -> float | None:
    """Days until a disk is full, by the line of least squares through what it held; none where it does not grow.

    Args:
        samples: moments in seconds, and bytes held then; a day of them at least.
        free: bytes that are free now.
    """
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < _DAY:
        return None
    mean_at, mean_held = (sum(sample[index] for sample in samples) / len(samples) for index in (0, 1))
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    rate = sum((at - mean_at) * (held - mean_held) for at, held in samples) / spread
    return free / rate / _DAY if rate > 0 else None


def judge_disk(disk: Disk, samples: Sequence[Sequence[float]], job: HealthJob) -> Reading:
    """Whether a disk is full, or soon will be."""
    percent = 100 * disk.free / disk.size if disk.size else 100.0
    inodes = 100 * disk.free_inodes / disk.inodes if disk.inodes else 100.0
    left = min(percent, inodes)
    days = days_left(samples, disk.free)
    evidence = f"{disk.free / _GIB:.1f} GiB of {disk.size / _GIB:.1f} free ({percent:.0f} %)"
    if inodes < job.disk_percent:
        evidence += f", {inodes:.0f} % of the inodes"
    if days is not None and days < job.disk_days:
        evidence += f", full in {days:.1f} days as it grows now"
    state: State = "ok"
    if left < job.disk_percent / 2:
        state = "fault"
    elif left < job.disk_percent or (days is not None and days < job.disk_days):
        state = "warning"
    cure = (
        "" if state == "ok" else f"see what grows (du -xh --max-depth=2 {disk.mount} | sort -h), or give it more room"
    )
    return Reading(f"disk:{disk.mount}", state, evidence, cure)


def note_sizes(
    samples: Mapping[str, list[list[float]]], found: Iterable[Disk], now: float
) -> dict[str, list[list[float]]]:
    """What the disks held in the last week, one sample an hour, with now's where the last one is an hour old."""
    noted = {}
    for disk in found:
        kept = [sample for sample in samples.get(disk.mount, ()) if now - _HISTORY < sample[0] <= now]
        if not kept or now - kept[-1][0] >= _SAMPLE:
            kept.append([now, float(disk.size - disk.free)])
        noted[disk.mount] = kept
    return noted


def clock() -> list[Reading]:
    """Whether the clock follows another; a container has none of its own."""
    if said("systemd-detect-virt", "--container").strip() not in {"", "none"}:
        return []
    if said("timedatectl", "show", "--property=NTPSynchronized", "--value").strip() == "yes":
        return [Reading("clock", "ok", "follows a time server")]
    return [Reading("clock", "warning", "follows no time server", "chronyc sources; open UDP 123 to the time servers")]


def security() -> list[Reading]:
    """Security upgrades without a source, and restarts that wait."""
    faults = upgrades.upgrade_faults(automatic=upgrades.is_automatic())
    if not faults:
        return [Reading("upgrades", "ok", "nothing waits")]
    return [Reading(f"upgrades:{number}", "warning", what, cure) for number, (what, cure) in enumerate(faults, 1)]


def _age(moment: Any) -> timedelta | None:
    try:
        parsed = datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    return datetime.now(UTC) - (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def _shown(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"


def backup(job: HealthJob, watched: timedelta) -> list[Reading]:
    """How old the newest backup is, and the last proof that it restores; both may be missing on a host that is young.

    Args:
        job: what is looked at.
        watched: how long this host has been looked at.
    """
    if not job.backup:
        return []
    try:
        status = json.loads(Path(job.backup).read_text(encoding="utf-8"))
    except FileNotFoundError:
        status = {}
    except (OSError, ValueError) as fault:
        return [Reading("backup", "unknown", f"{job.backup}: {fault}", "apply role backup")]
    readings = []
    for name, key, most, cure in (
        ("backup", "last_success", timedelta(hours=job.backup_hours), "systemctl start encaja-backup"),
        (
            "restore-test", "last_restore_test", timedelta(days=job.restore_test_days),
            "systemctl start encaja-restore-test",
        ),
    ):  # fmt: skip
        last = status.get(key) or {}
        age = _age(last.get("at"))
        if age is None:
            state: State = "fault" if watched > most else "unknown"
            readings.append(Reading(name, state, "there has been none yet", cure))
        elif age > most:
            why = f": {status['error']}" if status.get("error") else ""
            readings.append(
                Reading(name, "fault", f"the last one is {_shown(age)} old{why}", f"{cure}, and see its journal")
            )
        else:
            readings.append(Reading(name, "ok", f"{_shown(age)} old"))
    return readings
