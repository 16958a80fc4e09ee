"""Takes the power from a host in the midst of its restore, and later restarts it in order: lose_power.py CONTAINER.

Does nothing on a host whose restore is done.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress

from encaja.lab.engine import LabError, podman

LOST = "/var/lib/encaja/power-was-lost"
DISTURBANCES = ((10, ("kill", "--signal", "KILL")), (13, ("stop", "--time", "60")))
"""After how many proven volumes, and how the host goes down."""
GIVE_UP = 300.0
"""Seconds after which a restore that never came is no longer waited for."""


def on(container: str, *command: str) -> str:
    """Output of a command on the host; empty where it fails."""
    with suppress(LabError):
        return podman("exec", container, *command)
    return ""


def is_in_the_midst(container: str, good: int) -> bool:
    """Whether so many volumes were proven, and others are still to come."""
    with suppress(ValueError):
        status = json.loads(on(container, "cat", "/var/lib/encaja/restore/status.json"))
        return status["phase"] == "stream" and good <= status.get("volumes_good", 0) < status["volumes"]
    return False


def main(container: str) -> int:
    """Wait for the midst of the restore, and take the host down: as a loss of power would, and in order."""
    if on(container, "sh", "-c", f"cat {LOST} /srv/portal/www/bitrix/.encaja-restore.json 2>/dev/null || true"):
        return 0
    until = time.monotonic() + GIVE_UP
    for good, (verb, *how) in DISTURBANCES:
        while not is_in_the_midst(container, good):
            if time.monotonic() > until:
                print(f"the restore was never seen with {good} volumes proven", file=sys.stderr)
                return 1
            time.sleep(0.1)
        podman(verb, *how, container)
        time.sleep(2)
        podman("start", container)
        podman("exec", container, "sh", "-c", f"echo {verb} >> {LOST}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
