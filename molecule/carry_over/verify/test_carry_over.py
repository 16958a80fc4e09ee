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


def test_the_job_is_readable_by_root_only_and_the_box_uses_the_cloud_s_webhook(host):
    file = host.file(JOB)
    assert (file.user, file.mode) == ("root", 0o600)
    job = json.loads(file.content_string)
    assert job["box_webhook"] == f"https://portal.encaja.test/rest/1/{SECRET}/"
    assert host.file("/var/lib/encaja/carry-over").mode == 0o700


def test_nothing_runs_until_it_is_requested(host):
    for mode in ("once", "follow"):
        assert host.run(f"systemctl is-active encaja-carry-over@{mode}.service").stdout.strip() == "inactive"


def test_a_refused_webhook_is_reported_in_one_line_without_the_webhook(host):
    host.check_output(f"systemd-run --quiet --collect --unit verify-cloud python3 -c '{REFUSING}'")
    host.check_output("timeout 10 sh -c 'until ss -ltn | grep -q :8099; do sleep 0.1; done'")
    assert host.run("systemctl start --wait encaja-carry-over@prepare.service").rc != 0
    said = host.check_output("journalctl -q -o cat --no-pager -u encaja-carry-over@prepare.service")
    shown = host.file("/var/lib/encaja/carry-over/prepare.json").content_string
    for text in (said, json.loads(shown)["error"]):
        assert "webhook" in text and "127.0.0.1:8099" in text
        assert "Traceback" not in text and SECRET not in text
