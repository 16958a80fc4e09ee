"""Program and job are in place, the webhooks are root's alone, and a webhook that is refused is one clear line."""

import json

JOB = "/etc/encaja/carry-over.json"
SECRET = "not-a-real-webhook"
# A cloud that knows the webhook no longer.
REFUSING = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Refusing(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{\\"error\\": \\"INVALID_CREDENTIALS\\"}")

HTTPServer(("127.0.0.1", 8099), Refusing).serve_forever()
"""


def test_the_job_is_root_s_alone_and_the_box_s_webhook_is_the_cloud_s(host):
    file = host.file(JOB)
    assert (file.user, file.mode) == ("root", 0o600)
    job = json.loads(file.content_string)
    assert job["box_webhook"] == f"https://portal.encaja.test/rest/1/{SECRET}/"
    assert host.file("/var/lib/encaja/carry-over").mode == 0o700


def test_nothing_runs_until_it_is_asked_for(host):
    for mode in ("once", "follow"):
        assert host.run(f"systemctl is-active encaja-carry-over@{mode}.service").stdout.strip() == "inactive"


def test_a_refused_webhook_is_one_line_that_does_not_hold_it(host):
    host.check_output(f"systemd-run --quiet --collect --unit verify-cloud python3 -c '{REFUSING}'")
    host.check_output("timeout 10 sh -c 'until ss -ltn | grep -q :8099; do sleep 0.1; done'")
    assert host.run("systemctl start --wait encaja-carry-over@prepare.service").rc != 0
    said = host.check_output("journalctl -q -o cat --no-pager -u encaja-carry-over@prepare.service")
    shown = host.file("/var/lib/encaja/carry-over/prepare.json").content_string
    for text in (said, json.loads(shown)["error"]):
        assert "webhook" in text and "127.0.0.1:8099" in text
        assert "Traceback" not in text and SECRET not in text
