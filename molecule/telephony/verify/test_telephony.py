"""The exchange is reachable by those who should, keeps its secrets, and a call from outside arrives in the portal."""

import base64
import json
from math import cos, pi, sin
from pathlib import Path

import pytest
from testinfra.host import Host

HERE = Path(__file__).parent
SIP = HERE.parents[2] / "tests" / "lab" / "sip"
LOG = "/var/tmp/portal.log"
CALL = {
    "exchange": "127.0.0.1",
    "address": "127.0.0.1",
    "provider_port": 5080,
    "line": "+34910000001",
    "caller": "+34600111222",
    "talk_seconds": 2,
    "telephones": [
        {"extension": "101", "password": "first-secret-of-101", "answers": False},
        {"extension": "102", "password": "second;secret-of-102"},
    ],
}


def put(host: Host, path: str, data: bytes) -> None:
    host.check_output(f"echo {base64.b64encode(data).decode()} | base64 -d > {path}")


def requests(host: Host) -> list[tuple[str, dict[str, object]]]:
    return [tuple(json.loads(line)) for line in host.file(LOG).content_string.splitlines()]


@pytest.fixture(scope="module")
def call(host: Host) -> Host:
    """Place one call: the first telephone rings in vain, the second one is answered."""
    put(host, "/var/tmp/portal.py", (HERE / "portal.py").read_bytes())
    host.check_output(f"rm -f {LOG}")
    host.check_output(f"systemd-run --quiet --collect --unit verify-portal python3 /var/tmp/portal.py {LOG}")
    host.check_output("mkdir -p /var/tmp/sip; timeout 10 sh -c 'until ss -ltn | grep -q :8099; do sleep 0.1; done'")
    for path in SIP.iterdir():
        if path.suffix in {".xml", ".py"}:
            put(host, f"/var/tmp/sip/{path.name}", path.read_bytes())
    put(host, "/var/tmp/sip/call.json", json.dumps(CALL).encode())
    host.check_output("python3 /var/tmp/sip/call.py /var/tmp/sip/call.json")
    host.check_output(f"timeout 90 sh -c 'until grep -q attachrecord {LOG}; do sleep 0.2; done'")
    return host


@pytest.fixture(scope="module", autouse=True)
def without_portal(host: Host):
    yield
    host.run("systemctl stop verify-portal")


def test_both_services_run_and_are_enabled(host: Host) -> None:
    for name in ("asterisk", "encaja-telephony"):
        assert host.service(name).is_running
        assert host.service(name).is_enabled


@pytest.mark.parametrize(
    "socket",
    ["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060", "tcp://0.0.0.0:5061", "tcp://0.0.0.0:8089", "tcp://127.0.0.1:5038"],
)
def test_port_is_served(host: Host, socket: str) -> None:
    assert host.socket(socket).is_listening


def test_manager_is_not_reachable_from_elsewhere(host: Host) -> None:
    assert not host.socket("tcp://0.0.0.0:5038").is_listening
    assert not host.socket("tcp://0.0.0.0:8088").is_listening


@pytest.mark.parametrize("port", [5061, 8089])
def test_certificate_is_the_kits(host: Host, port: int) -> None:
    shown = f"openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null"
    said = host.check_output(f"{shown} | openssl x509 -noout -ext subjectAltName")
    assert "telephony-debian14" in said


@pytest.mark.parametrize(
    ("path", "user", "group", "mode"),
    [
        ("/etc/asterisk/pjsip.conf", "root", "asterisk", 0o640),
        ("/etc/asterisk/manager.conf", "root", "asterisk", 0o640),
        ("/etc/encaja/telephony.json", "asterisk", "asterisk", 0o600),
    ],
)
def test_secrets_have_the_right_owner_and_mode(host: Host, path: str, user: str, group: str, mode: int) -> None:
    secret = host.file(path)
    assert (secret.user, secret.group, secret.mode) == (user, group, mode)


def test_a_stranger_cannot_call_out(host: Host) -> None:
    """Neither an unknown name nor a trunk's name, from an address that is not the provider's."""
    assert host.run("asterisk -rx 'pjsip show endpoint anonymous'").stdout.count("Unable to find") == 1
    assert "identify_by" in (shown := host.check_output("asterisk -rx 'pjsip show endpoint provider'"))
    assert next(line.split()[-1] for line in shown.splitlines() if "identify_by" in line) == "ip"


def test_a_dialled_text_opens_no_channel(call: Host) -> None:
    """An agent's telephone dials a number and, behind it, a channel of another context."""
    dialled = CALL | {"dials": True, "caller": "999%26Local/+34910000001%40encaja-inbound", "patience_seconds": 5}
    put(call, "/var/tmp/sip/dial.json", json.dumps(dialled | {"telephones": CALL["telephones"][1:]}).encode())
    done = call.run("python3 /var/tmp/sip/call.py /var/tmp/sip/dial.json")
    assert done.rc == 1
    assert "484" in done.stdout + done.stderr


def test_calls_and_logs_are_for_nobody_else(call: Host) -> None:
    assert call.file("/var/lib/asterisk/cel.db").mode == 0o640
    assert "SecurityEvent=" in call.check_output("journalctl -u asterisk -t asterisk -o cat")
    assert not call.file("/var/log/asterisk/security.log").exists


def test_guessing_is_stopped_by_a_guard_that_restarts_with_the_firewall(host: Host) -> None:
    assert host.service("encaja-sip-guard").is_running and host.service("encaja-sip-guard").is_enabled
    assert "update @heard" in host.check_output("nft list table inet encaja_sip")
    assert "encaja-sip-guard.service" in host.check_output("systemctl show -p ConsistsOf nftables.service")


def test_call_is_reported_to_the_portal_step_by_step(call: Host) -> None:
    seen = [(step, body) for step, body in requests(call) if step != "get"]
    assert [step for step, _ in seen] == ["register", "show", "show", "hide", "finish", "attachrecord"]
    by_step = dict(seen)
    assert by_step["register"]["PHONE_NUMBER"] == "+34600111222"
    assert (by_step["register"]["TYPE"], by_step["register"]["CRM_CREATE"]) == (2, 1)
    assert (by_step["finish"]["USER_ID"], by_step["finish"]["STATUS_CODE"]) == (6, "200")
    assert by_step["hide"]["USER_ID"] == [5]
    assert by_step["register"]["auth"] == "application's secret"


def test_recording_contains_both_voices(call: Host) -> None:
    """The customer's tone is 440 Hz, the agent's 660 Hz; both are in the mixed recording that the portal got."""
    sound = base64.b64decode(dict(requests(call))["attachrecord"]["FILE_CONTENT"])[44:]
    samples = [int.from_bytes(sound[at : at + 2], "little", signed=True) for at in range(0, 2 * 8000, 2)]

    def strength(hertz: int) -> float:
        real, imaginary = goertzel(samples, hertz)
        return (real**2 + imaginary**2) ** 0.5 / len(samples)

    quiet = strength(1000)
    assert strength(440) > 20 * quiet
    assert strength(660) > 20 * quiet


def goertzel(samples: list[int], hertz: int) -> tuple[float, float]:
    turn = 2 * pi * hertz / 8000
    return (
        sum(sample * cos(turn * number) for number, sample in enumerate(samples)),
        sum(sample * sin(turn * number) for number, sample in enumerate(samples)),
    )


def test_journal_contains_no_secrets(call: Host) -> None:
    said = call.check_output("journalctl -u encaja-telephony -o cat")
    assert "registered" in said
    assert "secret" not in said
