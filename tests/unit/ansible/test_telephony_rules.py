"""Role ``telephony``: what would be another line, another channel or a guess in Asterisk's files is refused before."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[3]
LOOK = "[{hosts: all, gather_facts: false, tasks: [{encaja.portal.role_arguments: {roles: [telephony]}}]}]"
AGENT = {"extension": "101", "user_id": 5, "password": "sixteen letters;"}
TRUNK = {"name": "provider", "host": "sip.example.org", "username": "user@example.org", "caller_id": "+34910000000"}
GOOD = {"telephony_agents": [AGENT], "telephony_trunks": [TRUNK], "encaja_ami_password": "any long word"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "short": ({"telephony_agents": [AGENT | {"password": "fifteen letters"}]}, "extension 101 has fewer than 16"),
    "lines": ({"telephony_agents": [AGENT | {"password": AGENT["password"] + "\nauth=x"}]}, "has several lines"),
    "arrow": ({"encaja_ami_password": ">any long word"}, "> in front"),
    "name": ({"telephony_agents": [AGENT | {"name": "Ana\n[x]"}]}, "a name with quotation marks"),
    "host": ({"telephony_trunks": [TRUNK | {"host": "sip.example.org;x"}]}, "a host, username or caller_id"),
    "user": ({"telephony_trunks": [TRUNK | {"username": "a\nb"}]}, "a host, username or caller_id"),
    "caller": ({"telephony_trunks": [TRUNK | {"caller_id": "910&Local/1@x"}]}, "a host, username or caller_id"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of each host; empty where nothing is wrong."""
    folder = tmp_path_factory.mktemp("telephony")
    hosts = {"good": GOOD} | {name: GOOD | given for name, (given, _) in WRONG.items()}
    shared = {"ansible_connection": "local", "encaja_domain": "portal.test"}
    (folder / "hosts.json").write_text(json.dumps({"all": {"vars": shared, "hosts": hosts}}))
    (folder / "look.yml").write_text(LOOK)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "999"}
    done = subprocess.run(
        ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "look.yml")],
        cwd=HERE, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return {host: "".join(line for line in lines if line.startswith(f"fatal: [{host}]")) for host in hosts}


def test_what_is_right_is_taken(told: dict[str, str]) -> None:
    assert told["good"] == ""


@pytest.mark.parametrize("host", WRONG)
def test_what_is_wrong_is_named(told: dict[str, str], host: str) -> None:
    assert WRONG[host][1] in told[host]
    assert str(AGENT["password"]) not in told[host]
