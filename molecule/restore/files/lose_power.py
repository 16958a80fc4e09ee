"""Takes the power from a host once, in the midst of its restore: lose_power.py CONTAINER.

Does nothing on a host whose restore is done or that lost its power before.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress

from encaja.lab.engine import LabError, podman

LOST = "/var/lib/encaja/power-was-lost"
GIVE_UP = 300.0
"""Seconds after which a restore that never came is no longer waited for."""


def on(container: str, *command: str) -> str:
    """Output of a command on the host; empty where it fails."""
    with suppress(LabError):
        return podman("exec", container, *command)
    return ""


def is_in_the_midst(container: str) -> bool:
    """Whether volumes were proven, and others are still to come."""
    with suppress(ValueError):
        status = json.loads(on(container, "cat", "/var/lib/encaja/restore/status.json"))
        return status["phase"] == "stream" and 10 <= status.get("volumes_good", 0) < status["volumes"]
    return False


def main(container: str) -> int:
    """Wait for the midst of the restore, and kill the host as a loss of power would."""
    if on(container, "sh", "-c", f"cat {LOST} /srv/portal/www/bitrix/.encaja-restore.json 2>/dev/null || true"):
        return 0
    until = time.monotonic() + GIVE_UP
    while not is_in_the_midst(container):
        if time.monotonic() > until:
            print("the restore was never seen in its midst", file=sys.stderr)
            return 1
        time.sleep(0.1)
    podman("kill", "--signal", "KILL", container)
    time.sleep(2)
    podman("start", container)
    podman("exec", container, "sh", "-c", f"echo lost > {LOST}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
