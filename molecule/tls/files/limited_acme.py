"""An ACME server (RFC 8555) that refuses every order since too many came: Pebble has no rate limits."""

import http.server
import json
import ssl
import sys

BASE = "https://acme.example.org:14001"
PROBLEM = {
    "type": "urn:ietf:params:acme:error:rateLimited",
    "detail": "too many certificates already issued",
    "status": 429,
}
ADDRESSES = {"newNonce": f"{BASE}/nonce", "newAccount": f"{BASE}/account", "newOrder": f"{BASE}/order"}


class Limited(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status: int, body: object, kind: str = "application/json") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Replay-Nonce", "bm9uY2U"), ("Location", f"{BASE}/account/1"), ("Content-Type", kind)):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.reply(200, {})

    def do_GET(self) -> None:
        self.reply(200, ADDRESSES)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/order":
            self.reply(429, PROBLEM, "application/problem+json")
        else:
            self.reply(201, {"status": "valid"})


server = http.server.ThreadingHTTPServer(("127.0.0.1", 14001), Limited)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
