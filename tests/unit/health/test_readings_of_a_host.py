"""What a look at a host takes for a fault, from what its programs say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encaja.health import host
from encaja.health.host import Disk, days_left, judge_disk, judge_units, note_sizes, properties
from encaja.health.readings import HealthJob, Reading

GIB = 1 << 30
DAY = 86400.0
SHOWN = """Result=success
Id=nginx.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

Result=exit-code
Id=php8.4-fpm.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
UnitFileState=enabled

Result=success
Id=encaja-backup.timer
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled

Result=success
Id=searchd.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
"""


@pytest.fixture
def job(tmp_path: Path) -> HealthJob:
    return HealthJob("production", "crm", tmp_path / "state", backup=str(tmp_path / "status.json"))


def states(readings: list[Reading]) -> dict[str, str]:
    return {reading.id: reading.state for reading in readings}


def test_a_unit_that_keeps_restarting_or_failed_is_a_fault_and_one_switched_off_is_none() -> None:
    found = judge_units(properties(SHOWN), ["encaja-backup.service", "php8.4-fpm.service"])
    assert states(found) == {
        "unit:encaja-backup.service": "fault", "unit:php8.4-fpm.service": "fault", "units": "ok",
    }  # fmt: skip
    assert found[-1].evidence == "1 active, 2 switched off"
    assert "activating (auto-restart, exit-code)" in found[1].evidence


def test_a_systemd_that_does_not_answer_is_no_proof_of_health(job: HealthJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "said", lambda *_: "")
    assert states(host.units(HealthJob(**{**vars(job), "units": ("nginx.service",)}))) == {"units": "unknown"}


@pytest.mark.parametrize(
    ("free", "inodes", "state"),
    [(50, 100, "ok"), (9.9, 100, "warning"), (4.9, 100, "fault"), (50, 9, "warning"), (50, 4, "fault")],
)
def test_a_disk_is_judged_by_what_is_scarcer(job: HealthJob, free: float, inodes: float, state: str) -> None:
    disk = Disk("/", 100 * GIB, int(free * GIB), 100, int(inodes))
    assert judge_disk(disk, [], job).state == state


def test_a_disk_that_grows_is_told_before_it_is_full(job: HealthJob) -> None:
    samples = [[hour * 3600.0, (40 + hour / 4) * GIB] for hour in range(49)]
    assert days_left(samples, 12 * GIB) == pytest.approx(2)
    found = judge_disk(Disk("/srv", 100 * GIB, 36 * GIB), samples, job)
    assert found.state == "warning" and "full in 6.0 days" in found.evidence
    assert judge_disk(Disk("/srv", 100 * GIB, 60 * GIB), samples, job).state == "ok"


def test_no_forecast_of_a_disk_that_shrinks_or_was_seen_for_less_than_a_day() -> None:
    assert days_left([[0, 5.0], [2 * DAY, 4.0]], 1) is None
    assert days_left([[0, 4.0], [DAY - 1, 5.0]], 1) is None
    assert days_left([], 1) is None


def test_sizes_are_kept_for_a_week_one_an_hour_and_none_of_the_future() -> None:
    disk = Disk("/", 10, 4)
    now = 30 * DAY
    kept = note_sizes(
        {"/": [[now - 8 * DAY, 1.0], [now - 3601, 2.0], [now + 60, 9.0]], "/gone": [[now, 1.0]]}, [disk], now
    )
    assert kept == {"/": [[now - 3601, 2.0], [now, 6.0]]}
    assert note_sizes(kept, [disk], now + 60) == kept


def test_folders_of_one_file_system_are_one_disk(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert len(host.disks([tmp_path, tmp_path / "a", tmp_path / "missing"])) == 1


def write(job: HealthJob, **ages: float) -> None:
    status: dict[str, Any] = {
        name: {"at": (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")}
        for name, hours in ages.items()
    }
    Path(job.backup).write_text(json.dumps({**status, "error": "the repository is away"}))


def test_an_old_backup_and_an_old_proof_are_faults_with_their_reason(job: HealthJob) -> None:
    write(job, last_success=27, last_restore_test=7 * 24)
    found = host.backup(job, timedelta(days=30))
    assert states(found) == {"backup": "fault", "restore-test": "ok"}
    assert "27 h old: the repository is away" in found[0].evidence
    write(job, last_success=25, last_restore_test=9 * 24)
    assert states(host.backup(job, timedelta(days=30))) == {"backup": "ok", "restore-test": "fault"}


def test_a_host_that_never_had_a_backup_is_young_or_faulty(job: HealthJob) -> None:
    assert states(host.backup(job, timedelta(hours=1))) == {"backup": "unknown", "restore-test": "unknown"}
    assert states(host.backup(job, timedelta(days=2))) == {"backup": "fault", "restore-test": "unknown"}


def test_a_status_that_cannot_be_read_is_not_taken_for_good(job: HealthJob) -> None:
    Path(job.backup).write_text("{")
    assert states(host.backup(job, timedelta(days=30))) == {"backup": "unknown"}
