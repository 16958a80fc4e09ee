"""What podman is told depends on this machine's cgroup tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from encaja.lab import engine


@pytest.mark.parametrize(("plain", "option"), [(True, "--pids-limit=-1"), (False, "--pids-limit=0")])
def test_no_limit_is_written_where_no_controller_would_take_it(
    plain: bool, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: plain and str(path) == "/sys/fs/cgroup/cgroup.controllers")
    assert engine.pids_option() == option


def test_what_hosts_that_lost_power_left_of_a_network_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that is killed and started again leaves a namespace, which keeps the bridge and the subnet."""
    addresses = {
        "": {"eth0": "192.0.2.2", "podman1": "10.89.82.1", "podman2": "10.89.80.1"},
        "netns-left": {"lo": "127.0.0.1", "eth0": "10.89.80.11"},
        "netns-other": {"lo": "127.0.0.1", "eth0": "10.89.82.11"},
    }
    for name in ("netns-left", "netns-other", "netns-gone"):
        (tmp_path / name).touch()
    asked: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        if "show" not in command:
            asked.append(command)
            return ""
        where = command[command.index("-netns") + 1] if "-netns" in command else ""
        if where == "netns-gone":
            raise engine.LabError("Invalid argument", "ip")
        shown = [{"ifname": name, "addr_info": [{"local": local}]} for name, local in addresses[where].items()]
        return json.dumps([*shown, {"ifname": "veth0"}])

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.setattr(engine, "_in_namespace", list)
    monkeypatch.setattr(engine, "NETWORK_NAMESPACES", tmp_path)
    monkeypatch.setattr(engine, "ADDRESSES", tmp_path / "ipam.db")
    engine.ADDRESSES.touch()
    running = ["0123456789ab\n"]
    monkeypatch.setattr(engine, "podman", lambda *_: running[0])
    engine.forget_network("10.89.80.0/24")
    assert engine.ADDRESSES.exists()
    assert asked == [("ip", "netns", "delete", "netns-left"), ("ip", "link", "delete", "podman2")]
    running[0] = ""
    engine.forget_network("10.89.80.0/24")
    assert not engine.ADDRESSES.exists()
