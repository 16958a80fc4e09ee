"""Takes what is posted and asked, a line each in a file; for five minutes."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Inbox(BaseHTTPRequestHandler):
    """One line a letter."""

    def do_POST(self) -> None:
        """A letter."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._note({"path": self.path, "title": body["title"], "text": body["message"]})

    def do_GET(self) -> None:
        """A heartbeat."""
        self._note({"path": self.path})

    def _note(self, what: dict[str, str]) -> None:
        with open(sys.argv[1], "a", encoding="utf-8") as log:  # noqa: PTH123
            print(json.dumps(what), file=log)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


server = HTTPServer(("127.0.0.1", 8765), Inbox)
with open(sys.argv[1], "a", encoding="utf-8") as ready:  # noqa: PTH123
    print("ready", file=ready)
threading.Timer(300, server.shutdown).start()
server.serve_forever()
