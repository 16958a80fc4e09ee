"""The service that the stand-in's updater asks: it offers what a test puts there."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class UpdateService:
    """A service with its address and its offers, by module: ``version``, ``sql``, ``pause`` in microseconds."""

    def __init__(self) -> None:
        self.offers: dict[str, Any] = {}
        self.asked = 0
        self.url = ""


@contextmanager
def serving_updates() -> Iterator[UpdateService]:
    service = UpdateService()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            service.asked += 1
            body = json.dumps(service.offers).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    service.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
