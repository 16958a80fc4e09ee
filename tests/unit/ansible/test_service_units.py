from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.module_utils import unit_states as service_units
from ansible_collections.encaja.portal.plugins.module_utils.unit_states import (
    Units,
    answers,
    has_file,
    is_stale,
    needs_unit,
    normalise,
    note_addresses,
    parse_address,
    parse_show,
    plan,
)

RUNNING = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}
STOPPED = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}
FAILED = {"LoadState": "loaded", "ActiveState": "failed", "UnitFileState": "enabled"}
MASKED = {"LoadState": "masked", "ActiveState": "inactive", "UnitFileState": "masked"}
STATIC = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "static"}


def test_a_plain_name_is_enabled_and_started() -> None:
    assert normalise("nginx.service") == {
        "name": "nginx.service",
        "state": "started",
        "enabled": True,
        "masked": None,
        "restart_if_newer": [],
        "resolves": [],
    }


def test_omitted_keys_are_not_changed() -> None:
    assert plan(normalise({"name": "a.timer", "enabled": False}), RUNNING) == ["disable"]
    assert plan(normalise({"name": "a.timer", "state": "stopped"}), RUNNING) == ["stop"]


@pytest.mark.parametrize(
    ("unit", "fault"),
    [
        ("nginx", "suffix"),
        ({"state": "started"}, "name"),
        ({"name": "a.service", "state": "running"}, "unknown state"),
        ({"name": "a.service", "enable": True}, "unknown key enable"),
        (17, "a unit must be a name"),
    ],
)
def test_an_invalid_unit_is_refused(unit: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        normalise(unit)


@pytest.mark.parametrize(
    ("unit", "now", "verbs"),
    [
        ("a.service", RUNNING, []),
        ("a.service", STATIC, []),
        ("a.service", STOPPED, ["enable", "start"]),
        ("a.service", FAILED, ["start"]),
        ({"name": "a.service", "state": "restarted"}, RUNNING, ["restart"]),
        ({"name": "a.service", "state": "reloaded"}, RUNNING, ["reload-or-restart"]),
        ({"name": "a.service", "state": "reloaded"}, STOPPED, ["start"]),
        ({"name": "a.service", "state": "refreshed"}, RUNNING, ["reload-or-restart"]),
        ({"name": "a.service", "state": "refreshed"}, STOPPED, []),
        (
            {"name": "a.service", "state": "stopped", "enabled": False, "masked": True},
            RUNNING,
            ["disable", "stop", "mask"],
        ),
        ({"name": "a.service", "masked": True}, MASKED, []),
        ({"name": "a.service", "enabled": True, "state": "started"}, MASKED, []),
        (
            {"name": "a.service", "masked": False, "enabled": True, "state": "started"},
            MASKED,
            ["unmask", "enable", "start"],
        ),
    ],
)
def test_only_what_differs_is_done(unit: object, now: dict[str, str], verbs: list[str]) -> None:
    assert plan(normalise(unit), now) == verbs


def test_a_unit_older_than_its_file_is_restarted(tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.touch()
    os.utime(path, (1000.9, 1000.9))
    unit = normalise({"name": "a.service", "state": "started", "restart_if_newer": [str(path), str(tmp_path / "none")]})
    assert plan(unit, {**RUNNING, "ActiveEnterTimestamp": "@999"}) == ["restart"]
    assert plan(unit, {**RUNNING, "ActiveEnterTimestamp": "@1000"}) == []
    assert plan(unit, {**RUNNING, "ActiveEnterTimestamp": ""}) == []
    assert plan(unit, {**STOPPED, "ActiveEnterTimestamp": "@999"}) == ["start"]


def test_a_unit_is_reloaded_when_a_name_resolves_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"push": ["10.0.0.1"]}

    def look_up(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name not in where:
            raise socket.gaierror("unknown")
        return [(0, 0, 0, "", (address, 0)) for address in where[name]]

    monkeypatch.setattr(service_units, "RESOLVED", str(tmp_path / "resolved"))
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    unit = normalise({"name": "nginx.service", "state": "started", "resolves": ["push"]})
    assert plan(unit, RUNNING) == ["reload-or-restart"], "nobody knows what it looked up"
    note_addresses(unit)
    assert plan(unit, RUNNING) == []
    where["push"] = ["10.0.0.2"]
    assert plan(unit, RUNNING) == ["reload-or-restart"]
    assert plan(unit, STOPPED) == ["start"]
    assert plan(normalise({**unit, "state": "reloaded"}), RUNNING) == ["reload-or-restart"]
    note_addresses(unit)
    assert plan(unit, RUNNING) == []
    where.clear()
    assert plan(unit, RUNNING) == [], "a resolver that is away moves nobody"


def test_a_missing_unit_matters_only_if_it_must_run() -> None:
    assert needs_unit(normalise("a.service"))
    assert not needs_unit(normalise({"name": "a.service", "state": "refreshed"}))
    assert not needs_unit(normalise({"name": "a.service", "state": "stopped", "enabled": False}))


def test_a_drop_in_that_systemd_has_not_read_is_noticed(tmp_path: Path) -> None:
    assert not is_stale("a.service", RUNNING, str(tmp_path))
    assert is_stale("a.service", {**RUNNING, "NeedDaemonReload": "yes"}, str(tmp_path))
    drop_in = tmp_path / "a.service.d" / "x.conf"
    drop_in.parent.mkdir()
    drop_in.touch()
    assert is_stale("a.service", RUNNING, str(tmp_path))
    assert not is_stale("a.service", {**RUNNING, "DropInPaths": f"/usr/lib/y.conf {drop_in}"}, str(tmp_path))


class Manager(Units):
    """Units whose systemd is played: what it holds in memory it shows as it was until it is reloaded."""

    def __init__(self, unit: object, *, holds: bool) -> None:
        super().__init__(SimpleNamespace(check_mode=False), [normalise(unit)])
        self.holds = holds
        self.on_disk = dict(STOPPED)
        self.shown = dict(STOPPED)
        self.calls: list[str] = []

    def systemctl(self, *arguments: str) -> str:
        verb = arguments[0]
        if verb == "enable":
            self.on_disk["UnitFileState"] = "enabled"
        if verb == "start":
            self.on_disk["ActiveState"] = self.shown["ActiveState"] = "active"
        if verb == "daemon-reload" or not self.holds:
            self.shown = dict(self.on_disk)
        if verb != "show":
            self.calls.append(verb)
        return "".join(f"{name}={value}\n" for name, value in self.shown.items())


@pytest.mark.parametrize(
    ("holds", "calls"),
    [
        pytest.param(True, ["enable", "daemon-reload", "start"], id="held in memory"),
        pytest.param(False, ["enable", "start"], id="read when asked for"),
    ],
)
def test_systemd_is_reloaded_if_it_still_shows_the_old_links(holds: bool, calls: list[str]) -> None:
    manager = Manager("a.timer", holds=holds)
    manager.converge()
    assert manager.calls == calls
    again: Any = Manager("a.timer", holds=holds)
    again.shown, again.on_disk = manager.shown, manager.on_disk
    again.converge()
    assert again.calls == []


def test_several_units_are_parsed_from_one_output() -> None:
    shown = parse_show("Id=a.service\nActiveState=active\n\nId=b.timer\nActiveState=failed\nDropInPaths=/a=b/c.conf\n")
    assert [unit["ActiveState"] for unit in shown] == ["active", "failed"]
    assert shown[1]["DropInPaths"] == "/a=b/c.conf"


def test_addresses_are_files_or_ports() -> None:
    assert parse_address("unix:/run/redis/redis.sock") == ("unix", "/run/redis/redis.sock", 0)
    assert parse_address("tcp:127.0.0.1:80") == ("tcp", "127.0.0.1", 80)
    assert parse_address("tcp:[::1]:80") == ("tcp", "::1", 80)
    for wrong in ("redis.sock", "unix:relative", "tcp:80", "udp:127.0.0.1:53"):
        with pytest.raises(ValueError, match="use unix:"):
            parse_address(wrong)


def test_a_socket_answers_only_while_a_process_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not answers(("unix", str(path), 0))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert answers(("unix", str(path), 0))
    assert not answers(("unix", str(path), 0))


def test_an_instance_exists_with_its_template(tmp_path: Path) -> None:
    (tmp_path / "push-server@.service").touch()
    assert has_file("push-server@sub-8010.service", [str(tmp_path)])
    assert not has_file("push-server.service", [str(tmp_path)])
