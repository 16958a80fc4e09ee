"""What stands between a caller and a portal, and answers with a page for people now and then."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

PAGE = b"<html><body>The site is being maintained</body></html>"


@contextmanager
def unreliable(url: str, replace: Callable[[int, bytes], str]) -> Iterator[str]:
    """Pass requests on to a portal.

    Args:
        url: of the portal.
        replace: given the number of a request and its body: ``before`` answers with a page in place of the portal,
            ``after`` once the portal has done it; anything else lets the answer through.

    Yields:
        Where to ask.
    """
    numbers = iter(range(1_000_000))
    client = httpx.Client(timeout=60)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            how = replace(next(numbers), body)
            status, answer, kind = 200, PAGE, "text/html"
            if how != "before":
                given = client.post(url + self.path, content=body, headers={"content-type": "application/json"})
                if how != "after":
                    status, answer, kind = given.status_code, given.content, "application/json"
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        client.close()
