"""Stand-in: the world outside a copy: mail server, telephone provider, web, mailbox and name server, that only listen.

Runs with nothing but Python. Whatever comes is one line of JSON in LOG (sink, port, from, first bytes); every sink
answers just enough for its client to go on. As a program: ``sinks.py LOG [--address ADDRESS]``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

TCP = {25: "smtp", 587: "smtp", 80: "http", 443: "https", 143: "imap", 993: "imaps", 5060: "sip", 53: "dns"}
UDP = {5060: "sip", 53: "dns"}
GREETING = {"smtp": b"220 sink\r\n", "imap": b"* OK sink\r\n"}
ANSWER = {"http": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"}
PATIENCE = 5.0


class Log:
    """The lines, appended one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def note(self, sink: str, port: int, sender: str, start: bytes) -> None:
        """Note what came."""
        line = {
            "sink": sink, "port": port, "from": sender, "start": start[:60].decode("ascii", "replace"),
            "at": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        with self._lock, self._path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def counts(log: str) -> Counter[tuple[str, str]]:
    """How often each (sink, sender) is in a log's text."""
    return Counter((line["sink"], line["from"]) for line in map(json.loads, log.splitlines()))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, log: Log, port: int) -> None:
        self._log, self._port = log, port

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._log.note(UDP[self._port], self._port, address[0], data)


async def _smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = False
    while line := await asyncio.wait_for(reader.readline(), PATIENCE):
        word = line[:4].upper()
        if body:
            body = line != b".\r\n"
            answer = b"" if body else b"250 kept\r\n"
        else:
            body = word == b"DATA"
            answer = b"354 go on\r\n" if body else b"221 bye\r\n" if word == b"QUIT" else b"250 sink\r\n"
        writer.write(answer)


async def serve(log: Log, address: str) -> None:
    """Listen on every port until cancelled."""
    loop = asyncio.get_running_loop()

    def answering(port: int) -> object:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sink = TCP[port]
            sender = writer.get_extra_info("peername")[0]
            writer.write(GREETING.get(sink, b""))
            start = b""
            try:
                if sink == "smtp":
                    await _smtp(reader, writer)
                else:
                    start = await asyncio.wait_for(reader.read(600), PATIENCE)
                    writer.write(ANSWER.get(sink, b""))
                await writer.drain()
            except (TimeoutError, ConnectionError):
                pass
            log.note(sink, port, sender, start)
            writer.close()

        return connected

    for port in TCP:
        await asyncio.start_server(answering(port), address, port)  # type: ignore[arg-type]
    for port in UDP:
        await loop.create_datagram_endpoint(lambda port=port: _Datagrams(log, port), local_addr=(address, port))
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--address", default="0.0.0.0")
    given = parser.parse_args()
    asyncio.run(serve(Log(given.log), given.address))


if __name__ == "__main__":
    main()
