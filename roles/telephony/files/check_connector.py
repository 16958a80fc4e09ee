"""Wait until the connector's status file shows that it receives Asterisk's events; else print its last message."""

import json
import sys
import time


def read_status(path: str) -> dict[str, str]:
    """The connector's status, empty if there is none yet."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


path, seconds = sys.argv[1], float(sys.argv[2])
deadline = time.monotonic() + seconds
while (status := read_status(path)).get("phase") != "listening":
    if time.monotonic() > deadline:
        sys.exit(
            f"the connector receives no events from Asterisk after {seconds:.0f} s: {status.get('message', 'no message')}; "
            "see `journalctl -u encaja-telephony` and `asterisk -rx 'manager show connected'`"
        )
    time.sleep(0.1)
