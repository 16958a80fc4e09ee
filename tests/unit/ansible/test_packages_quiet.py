"""Packages that are installed without a word to systemd, and what systemd is told afterwards; systemctl is played."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from encaja.ansible.modules import packages

SYSTEMCTL = """#!/bin/sh
echo "$*" >> CALLS
case "$*" in
  *list-unit-files*) cat ENABLED ;;
  *list-units*) echo "systemd-timesyncd.service not-found active running" ;;
esac
"""


class Host:
    """A host of which only systemd is looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def enable(self, *units: str) -> None:
        (self.folder / "enabled").write_text("".join(f"{unit} enabled enabled\n" for unit in units))

    def calls(self) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.split("--plain ")[1] for line in lines if "list-" not in line]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    program = tmp_path / "systemctl"
    program.write_text(
        SYSTEMCTL.replace("CALLS", str(tmp_path / "calls")).replace("ENABLED", str(tmp_path / "enabled"))
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "UNITS", str(tmp_path / "state" / "units"))
    return Host(tmp_path)


def test_what_came_is_started_but_for_what_somebody_configures_first(host: Host) -> None:
    host.enable("ssh.service")
    quiet = packages.Quiet(later=["mariadb.service"])
    quiet.begin()
    host.enable("ssh.service", "mariadb.service", "logrotate.timer", "getty@.service")
    assert quiet.end() == ["logrotate.timer"]
    assert host.calls() == ["daemon-reload", "stop systemd-timesyncd.service", "start logrotate.timer"]
    assert not Path(packages.UNITS).exists()


def test_a_run_that_was_killed_is_made_good_by_the_next_one(host: Host) -> None:
    host.enable("ssh.service")
    packages.Quiet(later=[]).begin()
    host.enable("ssh.service", "logrotate.timer")  # and killed here
    again = packages.Quiet(later=[])
    again.begin()
    assert again.end() == ["logrotate.timer"]


@pytest.mark.parametrize(
    ("active", "plan", "is_quiet"),
    [
        ("", "", True),
        ("nginx.service", "", False),
        ("", "The following packages will be upgraded:\n  openssh-server\n", False),
        ("", "The following packages will be upgraded:\n  libssl3t64\n", True),
    ],
)
def test_a_host_at_work_is_treated_as_debian_does(
    monkeypatch: pytest.MonkeyPatch, active: str, plan: str, is_quiet: bool
) -> None:
    later = ["nginx.service", "mariadb.service"]
    module = SimpleNamespace(params={"later": later, "lock_timeout": 1})
    states = "\n".join("active" if unit == active else "inactive" for unit in later)
    monkeypatch.setattr(packages, "systemctl", lambda *_: states)
    monkeypatch.setattr(packages, "brings_units", lambda package: package == "openssh-server")
    assert packages.Apt(module).may_be_quiet(plan) is is_quiet
