"""Faults are told once when they begin and once when they end, on a host with systemd and apprise."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

LOG = "/run/inbox.log"


def take_letters(host: Host) -> None:
    """Start what takes letters, for some minutes."""
    host.check_output("rm -f %s; systemd-run --quiet --unit=inbox --collect python3 /run/inbox.py %s", LOG, LOG)
    host.check_output("timeout 10 sh -c 'until grep -qs ready %s; do sleep 0.1; done'", LOG)


@pytest.fixture(scope="module", autouse=True)
def inbox(host: Host) -> None:
    """The timer stands still meanwhile, so that each look is the test's own."""
    host.check_output("systemctl stop encaja-health.timer; rm -f /var/lib/encaja/health/memory.json")
    program = base64.b64encode(Path(__file__).with_name("inbox.py").read_bytes()).decode()
    host.check_output(f"echo {program} | base64 -d > /run/inbox.py; systemctl start watched")
    take_letters(host)


def look(host: Host) -> None:
    """One look of the unit; in place of the seconds before the second look, none."""
    host.check_output("systemctl start encaja-health.service")


def letters(host: Host) -> list[dict[str, Any]]:
    """What has come since the last time that was asked."""
    lines = host.check_output("cat %s; : > %s", LOG, LOG).splitlines()
    return [json.loads(line) for line in lines if '"title"' in line]


def test_the_timer_runs_every_minute(host: Host) -> None:
    assert host.service("encaja-health.timer").is_enabled
    assert "OnCalendar=minutely" in host.check_output("systemctl cat encaja-health.timer")


def test_a_well_host_tells_nobody_and_beats(host: Host) -> None:
    look(host)
    lines = host.check_output("cat %s", LOG)
    assert '"/heartbeat-secret"' in lines
    assert letters(host) == []


def test_every_provoked_fault_is_told_once_and_its_end_once(host: Host) -> None:
    host.check_output("systemctl stop watched; systemd-run --unit=broken false; sleep 1")
    host.check_output(
        "mkdir -p /var/lib/encaja/backup; touch /run/reboot-required; rm -f /var/lib/encaja/health/memory.json"
    )
    old = json.dumps({"last_success": {"at": "2020-01-01T00:00:00+00:00"}, "error": "gone"})
    host.check_output("echo %s > /var/lib/encaja/backup/status.json", old)
    look(host)
    (told,) = letters(host)
    assert "✗ unit:watched.service" in told["text"] and "✗ unit:broken.service" in told["text"]
    assert "✗ backup: the last one is" in told["text"] and "waits for a restart" in told["text"]
    look(host)
    assert letters(host) == []
    host.check_output("systemctl start watched; systemctl reset-failed broken; rm /run/reboot-required")
    host.check_output("rm /var/lib/encaja/backup/status.json")
    host.check_output("sed -i %s /var/lib/encaja/health/memory.json", 's/"thorough": [0-9.]*/"thorough": 0/')
    look(host)
    (told,) = letters(host)
    assert "✓ unit:watched.service" in told["text"] and "✓ unit:broken.service" in told["text"]
    assert "✗" not in told["text"]


def test_a_letter_that_nobody_takes_fails_the_unit_and_is_sent_later(host: Host) -> None:
    host.check_output("systemctl stop watched inbox")
    assert host.run("systemctl start encaja-health.service").rc != 0
    take_letters(host)
    look(host)
    (told,) = letters(host)
    assert "unit:watched.service" in told["text"]
    host.check_output("systemctl start watched")


def test_what_is_secret_is_in_files_of_root_alone(host: Host) -> None:
    for name in ("health.channels", "health.heartbeat"):
        file = host.file(f"/etc/encaja/{name}")
        assert file.mode == 0o600 and file.user == "root" and "secret" in file.content_string
    assert host.run("journalctl --no-pager -u encaja-health | grep secret").rc == 1
    assert "secret" not in host.check_output("cat /etc/encaja/health.json /var/lib/encaja/health/memory.json")


def test_the_unit_is_fenced(host: Host) -> None:
    said = host.check_output("systemd-analyze security encaja-health.service --no-pager | tail -n 1")
    assert float(said.split(":")[1].split()[0]) <= 5.0, said
