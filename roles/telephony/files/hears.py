"""Wait until the connector says in its status file that it hears Asterisk; say what it says where it does not."""

import json
import sys
import time


def told(path: str) -> dict[str, str]:
    """The connector's status, empty before there is one."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


path, seconds = sys.argv[1], float(sys.argv[2])
deadline = time.monotonic() + seconds
while (status := told(path)).get("phase") != "listening":
    if time.monotonic() > deadline:
        sys.exit(
            f"the connector does not hear Asterisk after {seconds:.0f} s: {status.get('message', 'it says nothing')}; "
            "see `journalctl -u encaja-telephony` and `asterisk -rx 'manager show connected'`"
        )
    time.sleep(0.1)
