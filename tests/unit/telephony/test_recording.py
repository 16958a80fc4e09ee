from __future__ import annotations

import struct
from pathlib import Path

import pytest

from encaja.telephony import recording


def wav(samples: bytes, *, riff: int | None = None) -> bytes:
    sizes = (36 + len(samples) if riff is None else riff, len(samples) if riff is None else 0)
    return (
        b"RIFF"
        + struct.pack("<I", sizes[0])
        + b"WAVEfmt "
        + bytes(20)
        + b"data"
        + struct.pack("<I", sizes[1])
        + samples
    )


def test_recordings_are_found_by_the_calls_id():
    assert recording.path_of(Path("/m"), "1795406600.20") == Path("/m/2026/11/23/1795406600.20.wav")


@pytest.mark.parametrize(
    ("data", "age", "expected"),
    [
        (wav(b"\1\2\3\4"), 0, wav(b"\1\2\3\4")),
        (wav(b"\1\2\3\4", riff=0), 0, None),
        (wav(b"\1\2\3\4", riff=0), 100, wav(b"\1\2\3\4")),
        (wav(b""), 100, b""),
        (b"", 0, None),
        (b"RI", 100, b""),
    ],
    ids=["complete", "being written", "left behind", "silent", "just made", "cut off"],
)
def test_recordings_are_read_when_complete(tmp_path: Path, data: bytes, age: float, expected: bytes | None):
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    assert recording.read(path, path.stat().st_mtime + age) == expected
