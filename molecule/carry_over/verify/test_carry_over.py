"""Program and job are in place, the webhooks are root's alone, and a portal that is not there is one clear line."""

import json

JOB = "/etc/encaja/carry-over.json"
SECRET = "not-a-real-webhook"


def test_the_job_is_root_s_alone_and_the_box_s_webhook_is_the_cloud_s(host):
    file = host.file(JOB)
    assert (file.user, file.mode) == ("root", 0o600)
    job = json.loads(file.content_string)
    assert job["box_webhook"] == f"https://portal.encaja.test/rest/1/{SECRET}/"
    assert host.file("/var/lib/encaja/carry-over").mode == 0o700


def test_nothing_runs_until_it_is_asked_for(host):
    for mode in ("once", "follow"):
        assert host.run(f"systemctl is-active encaja-carry-over@{mode}.service").stdout.strip() == "inactive"


def test_a_cloud_that_is_not_there_is_one_line_without_the_webhook(host):
    assert host.run("systemctl start --wait encaja-carry-over@prepare.service").rc != 0
    said = host.check_output("journalctl -q -o cat --no-pager -u encaja-carry-over@prepare.service")
    assert "127.0.0.1:8443" in said
    assert "Traceback" not in said
    assert SECRET not in said
    shown = json.loads(host.file("/var/lib/encaja/carry-over/prepare.json").content_string)
    assert shown["error"]
    assert SECRET not in json.dumps(shown)
