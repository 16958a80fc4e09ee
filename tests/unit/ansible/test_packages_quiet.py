"""Packages that are installed without a word to systemd, and what systemd is told afterwards; systemctl is played."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.encaja.portal.plugins.modules import packages

SYSTEMCTL = """#!/bin/sh
echo "$*" >> CALLS
case "$*" in
  *list-unit-files*) cat ENABLED ;;
  *show*) cat KNOWN ;;
esac
"""
# Runs what it is to run before dpkg, with the archives that it would unpack.
APT = """#!/bin/bash
for option; do
  if [[ $option == DPkg::Pre-Install-Pkgs::=* ]]; then
    echo "{archives}" | sh -c "${{option#*::=}}" || {{ echo refused >> {runs}; exit 100; }}
  fi
done
if [ -n "$SYSTEMD_OFFLINE" ]; then echo quiet >> {runs}; else echo loud >> {runs}; fi
"""


class Host:
    """A host of which only systemd is looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def enable(self, *units: str) -> None:
        (self.folder / "enabled").write_text("".join(f"{unit} enabled enabled\n" for unit in units))

    def calls(self) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.split("--plain ")[1] for line in lines if "list-" not in line and " show " not in line]

    def holds(self, *, changed: bool = False) -> None:
        """Let systemd hold a unit whose file has gone, two that do not run, and one that may be another now."""
        there = self.folder / "ssh.service"
        there.touch()
        (self.folder / "known").write_text(
            "Id=systemd-timesyncd.service\nActiveState=active\nFragmentPath=/nowhere/a.service\nNeedDaemonReload=yes\n\n"
            "Id=old.service\nActiveState=inactive\nFragmentPath=/nowhere/b.service\nNeedDaemonReload=no\n\n"
            "Id=broken.service\nActiveState=failed\nFragmentPath=/nowhere/c.service\nNeedDaemonReload=no\n\n"
            f"Id=ssh.service\nActiveState=active\nFragmentPath={there}\nNeedDaemonReload={'yes' if changed else 'no'}\n"
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    program = tmp_path / "systemctl"
    program.write_text(
        SYSTEMCTL.replace("CALLS", str(tmp_path / "calls"))
        .replace("ENABLED", str(tmp_path / "enabled"))
        .replace("KNOWN", str(tmp_path / "known"))
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "UNITS", str(tmp_path / "state" / "units"))
    host = Host(tmp_path)
    host.holds()
    return host


def test_new_units_are_started_except_those_configured_first(host: Host) -> None:
    host.enable("ssh.service")
    quiet = packages.Quiet(later=["mariadb.service"])
    quiet.begin()
    host.enable("ssh.service", "mariadb.service", "logrotate.timer", "getty@.service")
    assert quiet.end() == ["logrotate.timer"]
    assert host.calls() == ["stop systemd-timesyncd.service", "start logrotate.timer"]
    assert not Path(packages.UNITS).exists()


def test_systemd_is_reloaded_only_for_changed_loaded_units(host: Host) -> None:
    host.holds(changed=True)
    host.enable("ssh.service")
    quiet = packages.Quiet(later=[])
    quiet.begin()
    quiet.end()
    assert host.calls() == ["stop systemd-timesyncd.service", "daemon-reload"]


@pytest.mark.fault("kill -9: controller", "provision", "while packages are installed")
def test_a_killed_run_is_completed_by_the_next(host: Host) -> None:
    host.enable("ssh.service")
    packages.Quiet(later=[]).begin()
    host.enable("ssh.service", "logrotate.timer")  # and killed here
    again = packages.Quiet(later=[])
    again.begin()
    assert again.end() == ["logrotate.timer"]


@pytest.mark.parametrize(
    ("active", "unpacked", "runs"),
    [
        ("", ["mariadb-server_1%3a11.8_amd64.deb", "libssl3t64_3.5_amd64.deb"], ["quiet"]),
        ("nginx.service", ["libssl3t64_3.5_amd64.deb"], ["loud"]),
        ("", ["libssl3t64_3.5_amd64.deb", "openssh-server_1%3a10.0_amd64.deb"], ["refused", "loud"]),
        ("", ["libdbus-1-3_1.16_amd64.deb"], ["refused", "loud"]),
    ],
)
def test_with_running_units_debian_s_behaviour_applies(
    host: Host, monkeypatch: pytest.MonkeyPatch, active: str, unpacked: list[str], runs: list[str]
) -> None:
    info = host.folder / "info"
    info.mkdir()
    (info / "openssh-server.list").write_text("/usr/sbin/sshd\n/usr/lib/systemd/system/ssh.service\n")
    (info / "libdbus-1-3:amd64.list").write_text("/usr/lib/systemd/system/dbus.service\n")
    (info / "libssl3t64:amd64.list").write_text("/usr/lib/libssl.so.3\n")
    apt = host.folder / "apt-get"
    apt.write_text(APT.format(archives="\n".join(unpacked), runs=host.folder / "runs"))
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.folder}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "INFO", str(info))
    monkeypatch.setattr(packages, "systemctl", lambda *_: f"inactive\n{active and 'active'}\n")
    host.enable()
    module = SimpleNamespace(params={"later": ["nginx.service", "mariadb.service"], "lock_timeout": 1})
    code, _ = packages.Apt(module).transact(("install", "nginx", "mariadb-server"))
    assert code == 0
    assert (host.folder / "runs").read_text().split() == runs
    assert Path(packages.UNITS).exists() is (runs == ["quiet"])
