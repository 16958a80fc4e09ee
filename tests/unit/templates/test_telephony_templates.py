"""Asterisk's files: what telephones dial names no channel of its own, and every value arrives as it was given."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

AGENTS = [{"extension": "101", "user_id": 5, "password": "a;b\\;c;-- d[0123456789", "name": "Ana; gerente"}]
TRUNKS = [
    {"name": "provider", "host": "192.0.2.9", "username": "3491;x", "password": "p;q", "register": True,
     "transport": "tls", "match": ["192.0.2.0/28", "sip.example.org"], "caller_id": "+34910000000"},
]  # fmt: skip
GIVEN = {
    "encaja_ami_password": "manager's;secret",
    "encaja_domain": "portal.test",
    "inventory_hostname": "pbx",
    "telephony_agents": AGENTS,
    "telephony_trunks": TRUNKS,
    "telephony_lines": [{"number": "+34910000000", "extensions": ["101"]}],
}


def values(text: str, name: str) -> list[str]:
    """The values of a name as Asterisk reads them: ``;`` begins a comment unless a backslash is in front of it."""
    lines = [re.sub(r"\\;", ";", re.split(r"(?<!\\);", line)[0]).strip() for line in text.splitlines()]
    pairs = [line.split("=", 1) for line in lines if "=" in line]
    return [value.removeprefix(">").strip() for key, value in pairs if key.strip() == name]


def test_a_semicolon_begins_no_comment(role) -> None:
    telephony = role("telephony", **GIVEN)
    pjsip = telephony.render("pjsip.conf.j2")
    assert values(pjsip, "password") == [AGENTS[0]["password"], "p;q"]
    assert values(pjsip, "username") == ["101", "3491;x"]
    assert values(pjsip, "callerid") == ["Ana; gerente <101>"]
    assert values(pjsip, "contact") == values(pjsip, "server_uri") == ["sip:192.0.2.9:5060;transport=tls"]
    assert values(telephony.render("manager.conf.j2"), "secret") == ["manager's;secret"]


def test_nothing_that_is_dialled_goes_anywhere_unfiltered(role) -> None:
    plan = role("telephony", **GIVEN).render("extensions.conf.j2")
    lines = [line for line in plan.splitlines() if "${EXTEN}" in line]
    assert len(lines) == 4
    for line in lines:
        unfiltered = line.replace("${FILTER(0-9+*#,${EXTEN})}", "").replace("${LEN(${EXTEN})}", "")
        assert "EXTEN" not in unfiltered
    assert plan.count("Dial(PJSIP/${NUMBER}@provider,") == plan.count("n(refused),Hangup(28)") == 2
    assert plan.index("?refused)") < plan.index("Dial(PJSIP/${NUMBER}")


def test_logs_go_where_they_are_bounded(role) -> None:
    logger = role("telephony", **GIVEN).render("logger.conf.j2")
    [line] = [line for line in logger.partition("[logfiles]")[2].splitlines() if line]
    assert line == "syslog.local0 => notice,warning,error,security"


def test_asterisk_leaves_neither_readable_calls_nor_cores(role) -> None:
    unit = role("telephony", **GIVEN).render("asterisk-service.conf.j2")
    assert "UMask=0027" in unit and "-g" not in unit.split("ExecStart=/usr/sbin/asterisk")[1].split("\n")[0]


def test_providers_are_not_taken_for_guessers(role) -> None:
    rules = role("telephony", **GIVEN).render("sip_guard.nft.j2")
    assert "ip saddr 192.0.2.0/28 accept" in rules and "sip.example.org" not in rules


@pytest.mark.skipif(not shutil.which("nft"), reason="no nft here")
def test_the_guard_is_what_nft_reads(role, tmp_path: Path) -> None:
    file = tmp_path / "guard.nft"
    file.write_text(role("telephony", **GIVEN).render("sip_guard.nft.j2"))
    done = subprocess.run(["unshare", "-rn", "nft", "-c", "-f", file], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip("no namespaces here")
    assert (done.returncode, done.stderr) == (0, "")
