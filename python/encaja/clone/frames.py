"""Several streams over one connection, with a closing frame: without it, the connection was cut.

A frame is one byte with the stream's number, four bytes with a length (network order) and as many bytes; a length of 0
ends that stream. The frame of stream 255 is the last one: a JSON object about what was sent.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable
from typing import IO, Any, Final

from encaja.errors import EncajaError

HEADER: Final = struct.Struct("!BI")
CLOSING: Final = 255
CHUNK: Final = 1 << 20


class Sender:
    """Writes frames; safe for several threads."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def data(self, number: int, content: bytes) -> None:
        """Send a part of a stream."""
        if content:
            self._write(number, content)

    def end(self, number: int) -> None:
        """End a stream."""
        self._write(number, b"")

    def close(self, word: dict[str, Any]) -> None:
        """Send the closing frame; nothing follows it."""
        self._write(CLOSING, json.dumps(word).encode())

    def _write(self, number: int, content: bytes) -> None:
        with self._lock:
            self._stream.write(HEADER.pack(number, len(content)))
            self._stream.write(content)
            self._stream.flush()


def receive(
    stream: IO[bytes],
    data: Callable[[int, bytes], None],
    end: Callable[[int], None],
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Pass every part to ``data`` and every end to ``end``; returns the closing frame's content.

    Args:
        stream: where the frames come from.
        data: called with a stream's number and its next part.
        end: called with the number of a stream that is complete.
        progress: called with the bytes received so far, all streams together.

    Raises:
        EncajaError: the connection ended before the closing frame.
    """
    total = 0
    while True:
        number, length = HEADER.unpack(_exactly(stream, HEADER.size))
        if number == CLOSING:
            word: dict[str, Any] = json.loads(_exactly(stream, length))
            return word
        if not length:
            end(number)
        while length:
            content = _exactly(stream, min(length, CHUNK))
            length -= len(content)
            data(number, content)
            total += len(content)
            progress(total)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise EncajaError("the stream was cut off", "copy of the database", "run it again")
    return content
