"""An HTTP server that misbehaves on purpose: a stand-in for bad links and broken mirrors.

As a program: ``misbehaving_server.py DIRECTORY [--port N] [--faults FILE.json]``; the faults file holds a list of
objects with the
fields of ``Fault`` and is read again when it changes.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK = 16384


@dataclass
class Fault:
    """One way to misbehave.

    Attributes:
        kind: what it does with the file that is asked for:
            ``flip`` one bit is wrong at byte ``at``; ``truncate`` the file ends at ``at``; ``missing`` 404;
            ``endless`` goes on after its end, without a length; ``slow`` ``at`` bytes a second;
            ``stuck`` nothing more after ``at`` bytes; ``reset`` the connection is reset after ``at`` bytes;
            ``no-range`` 200 and the whole file; ``wrong-length`` a Content-Length too large by ``at``;
            ``wrong-range`` another range than asked for; ``status`` answer ``at``; ``etag`` a wrong MD5 as ETag;
            ``page`` 200 and a page to log in.
        file: name of the file that it concerns; empty for all.
        times: so many requests misbehave (for ``flip``: so many requests that hold the byte), then the server
        behaves; None for ever.
        at: see ``kind``.
        after: so many requests are answered properly first.
    """

    kind: str
    file: str = ""
    times: int | None = None
    at: int = 0
    after: int = 0


@dataclass
class Record:
    """What the server saw."""

    requests: list[tuple[str, int, int, int]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    connections: int = 0


class MisbehavingServer(ThreadingHTTPServer):
    """Serves a folder, with faults.

    Args:
        directory: the folder.
        faults: how to misbehave; may be changed while it runs.
        rate: bytes a second of each connection; None for no limit.
        total_rate: bytes a second of all connections together; None for no limit.
        port: 0 for any.
        listing: whether the folder has an index page.
    """

    daemon_threads = True
    handler: type[BaseHTTPRequestHandler]
    request_queue_size = 128

    def __init__(
        self,
        directory: Path,
        faults: list[Fault] | None = None,
        *,
        rate: float | None = None,
        total_rate: float | None = None,
        port: int = 0,
        listing: bool = True,
    ) -> None:
        super().__init__(("127.0.0.1", port), self.handler)
        self.directory = directory
        self.faults = faults or []
        self.rate = rate
        self.total_rate = total_rate
        self.listing = listing
        self.record = Record()
        self.lock = threading.Lock()
        self._free_at = 0.0

    @property
    def url(self) -> str:
        """Address of the folder, with a slash at its end."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def fault(self, file: str, start: int, end: int) -> Fault | None:
        """The fault that this request meets, if any."""
        with self.lock:
            for fault in self.faults:
                if fault.file not in ("", file) or fault.times == 0:
                    continue
                if fault.kind == "flip" and not start <= fault.at < end:
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def pace(self, count: int) -> None:
        """Share the total rate among the connections."""
        if not self.total_rate:
            return
        with self.lock:
            self._free_at = max(self._free_at, time.monotonic()) + count / self.total_rate
            pause = self._free_at - time.monotonic()
        if pause > 0:
            time.sleep(pause)

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what this server is for."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: MisbehavingServer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.record.connections += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        file = self.server.directory / name
        if not name and self.server.listing:
            return self._index()
        if not file.is_file() or not file.resolve().is_relative_to(self.server.directory.resolve()):
            return self._answer(404)
        size = file.stat().st_size
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
        fault = self.server.fault(name, start, end)
        self.server.record.requests.append((name, start, end, time.monotonic_ns()))
        kind = fault.kind if fault else ""
        at = fault.at if fault else 0
        if kind == "missing":
            return self._answer(404)
        if kind == "status":
            return self._answer(at)
        if kind == "page":
            return self.page(b"<html>log in</html>")
        if kind == "truncate":
            size = min(size, at)
            end = min(end, size)
        if kind in ("no-range", "endless"):
            asked, start, end = None, 0, size
        if start >= size:
            return self._answer(416, {"Content-Range": f"bytes */{size}"})
        if kind == "wrong-range":
            start = max(0, start - 512)
        headers = {"ETag": f'"{"0123456789abcdef" * 2}"' if kind == "etag" else f'"{size:x}-1"'}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if kind == "endless":
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(end - start + (at if kind == "wrong-length" else 0))
        self._head(206 if asked else 200, headers)
        self._body(file, name, start, end, kind, at)
        return None

    def _body(self, file: Path, name: str, start: int, end: int, kind: str, at: int) -> None:
        rate = float(at) if kind == "slow" else self.server.rate
        begun, sent = time.monotonic(), 0
        with file.open("rb") as source:
            source.seek(start)
            while start + sent < end:
                data = source.read(
                    min(_CHUNK if not rate or rate > _CHUNK else max(1, int(rate / 10)), end - start - sent)
                )
                if kind == "flip" and start + sent <= at < start + sent + len(data):
                    damaged = bytearray(data)
                    damaged[at - start - sent] ^= 0x10
                    data = bytes(damaged)
                if kind in ("reset", "stuck") and sent + len(data) > at:
                    self.wfile.write(data[: max(0, at - sent)])
                    if kind == "stuck":
                        time.sleep(60)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                self.wfile.write(data)
                sent += len(data)
                self.server.record.sent[name] += len(data)
                self.server.pace(len(data))
                if rate:
                    time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
        if kind == "endless":
            self.close_connection = True
            while True:
                self.wfile.write(bytes(_CHUNK))
        if kind == "wrong-length":
            self.close_connection = True

    def _index(self) -> None:
        links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in sorted(self.server.directory.iterdir()))
        self.page(f"<html><body>{links}</body></html>".encode())

    def page(self, page: bytes) -> None:
        """Answer with a page."""
        self._head(200, {"Content-Length": str(len(page)), "Content-Type": "text/html"})
        self.wfile.write(page)

    def _answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        self._head(status, {"Content-Length": "0", **(headers or {})})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


MisbehavingServer.handler = Handler


@contextmanager
def serving(directory: Path, faults: list[Fault] | None = None, **options: object) -> Iterator[MisbehavingServer]:
    """Run a server in a thread as long as the block lasts."""
    with running(MisbehavingServer(directory, faults, **options)) as server:  # type: ignore[arg-type]
        yield server


@contextmanager
def running(server: MisbehavingServer) -> Iterator[MisbehavingServer]:
    """Run a server that was made, in a thread as long as the block lasts."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--bind", default="0.0.0.0")
    parser.add_argument("--rate", type=float, help="bytes a second of each connection")
    parser.add_argument("--total-rate", type=float, help="bytes a second of all connections")
    parser.add_argument("--faults", type=Path, help="JSON list of faults")
    options = parser.parse_args()
    server = MisbehavingServer(options.directory, rate=options.rate, total_rate=options.total_rate, port=options.port)
    server.socket.close()
    server.socket = socket.create_server((options.bind, options.port), backlog=128)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    seen = 0.0
    while True:
        if options.faults and options.faults.exists() and options.faults.stat().st_mtime != seen:
            seen = options.faults.stat().st_mtime
            server.faults = [Fault(**fault) for fault in json.loads(options.faults.read_text())]
        time.sleep(0.5)


if __name__ == "__main__":
    _main()
