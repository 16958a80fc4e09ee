"""Stand-in for the portal's REST interface: notes every request in a file, and answers as the portal does."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOG = Path(sys.argv[1])
ANSWERS = {
    "register": {"CALL_ID": "externalCall.1", "CRM_CREATED_LEAD": 7, "CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": 7},
    "finish": {"CRM_ACTIVITY_ID": 55},
    "attachrecord": {"FILE_ID": 99},
    "get": [],
}


class Portal(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        step = self.path.removesuffix(".json").rpartition(".")[2].lower()
        with LOG.open("a") as log:
            log.write(json.dumps([step, body]) + "\n")
        answer = json.dumps({"result": ANSWERS.get(step, True)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        return


ThreadingHTTPServer(("127.0.0.1", 8099), Portal).serve_forever()
