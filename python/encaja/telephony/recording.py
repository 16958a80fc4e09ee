"""Recordings as Asterisk's MixMonitor writes them.

The dialplan names a recording after the call's linked ID: ``YYYY/MM/DD/<linked ID>.wav``, the day in UTC being that of
the ID, which begins with seconds since 1970. The header of a WAV file holds its length and is set last, so a file whose
header agrees with its size is complete (RIFF: bytes 4-7 size less 8; ``data`` chunk size at 40-43 in Asterisk's files).
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

HEADER = 44
SETTLED_SECONDS = 60.0


def path_of(folder: Path, linked: str) -> Path:
    """The path of a call's recording, whether it exists or not."""
    seconds, _, _ = linked.partition(".")
    day = time.strftime("%Y/%m/%d", time.gmtime(int(seconds) if seconds.isdigit() else 0))
    return folder / day / f"{linked}.wav"


def read(path: Path, now: float) -> bytes | None:
    """Return a complete recording, or None while it is still being written.

    A file that has not grown for :data:`SETTLED_SECONDS` was left behind by an Asterisk that did not end well; it is
    returned with a header that fits. An empty recording is returned as ``b""``.

    Raises:
        FileNotFoundError: there is no recording.
    """
    changed = path.stat().st_mtime
    data = path.read_bytes()
    if len(data) >= HEADER and data[:4] == b"RIFF" and data[36:40] == b"data":
        if struct.unpack("<I", data[4:8])[0] + 8 == len(data) and len(data) > HEADER:
            return data
        if now - changed < SETTLED_SECONDS:
            return None
        sizes = (struct.pack("<I", len(data) - 8), struct.pack("<I", len(data) - HEADER))
        return data[:4] + sizes[0] + data[8:40] + sizes[1] + data[44:] if len(data) > HEADER else b""
    return None if now - changed < SETTLED_SECONDS else b""
