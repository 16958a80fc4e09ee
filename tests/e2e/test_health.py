"""The health of the moved estate's hosts, as an operator asks for it."""

from __future__ import annotations

import json
from typing import Any

from e2e.conftest import Lab, run


def seen(lab: Lab, environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of `encaja health`, and the readings of the portal's host."""
    done = run(["encaja", "health", environment, "-i", str(lab.inventory), "--json"])
    (host,) = [host for host in json.loads(done.stdout) if host["host"].startswith(environment)]
    return done.returncode, {reading["id"]: reading for reading in host["readings"]}


def test_a_moved_portal_is_well_and_a_service_that_ends_is_named(moved: Lab) -> None:
    code, readings = seen(moved, "production")
    assert {name: item for name, item in readings.items() if item["state"] == "fault"} == {}
    assert {"page", "agents", "queues", "disk:/", "licence-opens", "web-certificate"} <= readings.keys()
    moved.shell("production", "systemctl stop push-server")
    try:
        code, readings = seen(moved, "production")
    finally:
        moved.shell("production", "systemctl start push-server")
    assert code == 4
    assert readings["unit:push-server.service"]["state"] == "fault"


def test_a_copy_is_well_though_it_stands_still(moved: Lab) -> None:
    code, readings = seen(moved, "preproduction")
    assert {name: item for name, item in readings.items() if item["state"] == "fault"} == {}
    assert code == 0
    assert readings["agents"]["evidence"] == "waits for the release"
