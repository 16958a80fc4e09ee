"""The action on the controller, with snapshots as hosts hand them over."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.host_snapshots import snapshot

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parents[3]
INVENTORY = {
    "all": {"vars": {"ansible_connection": "local"}},
    "production": {"hosts": {"crm.acme.es": {}, "db.acme.es": {}}},
    "preproduction": {"hosts": {"pre.acme.es": {}}},
    "portal": {"hosts": {"crm.acme.es": {}, "pre.acme.es": {}}},
}
TOLD = {
    "crm.acme.es": {"options": {"main.server_name": "crm.acme.es", "acme.api_token": "hunter2"}},
    "db.acme.es": {"mariadb": {"sql_mode": ""}},
    "pre.acme.es": {
        "options": {"main.server_name": "pre.acme.es", "acme.api_token": "x"},
        "mariadb": {"sql_mode": "ANSI"},
    },
}


def run(tmp_path: Path, tasks: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "hosts.json").write_text(json.dumps(INVENTORY))
    (tmp_path / "hosts.yml").symlink_to(tmp_path / "hosts.json")
    told = {host: {"snapshot": snapshot(host, sections)} for host, sections in TOLD.items()}
    (tmp_path / "told.json").write_text(json.dumps({"told": told}))
    given = {"compare_snapshot": "{{ told[inventory_hostname] }}"}
    plays = [
        {"hosts": "all", "gather_facts": False, "vars_files": [str(tmp_path / "told.json")],
         "tasks": [{"ansible.builtin.set_fact": given}]},
        {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks},
    ]  # fmt: skip
    (tmp_path / "play.yml").write_text(json.dumps(plays))
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    command = [
        str(PROJECT / ".venv/bin/ansible-playbook"),
        "-i",
        str(tmp_path / "hosts.yml"),
        str(tmp_path / "play.yml"),
    ]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


def test_hosts_are_compared_by_environment(tmp_path: Path) -> None:
    comparing = {"a": "production", "b": "preproduction", "hosts": "{{ groups['all'] }}"}
    kept = {"content": "{{ compared.comparison | to_json }}", "dest": str(tmp_path / "out.json"), "mode": "0600"}
    done = run(tmp_path, [{"encaja.portal.compare": comparing, "register": "compared"}, {"ansible.builtin.copy": kept}])
    assert done.returncode == 0, done.stdout
    body = json.loads((tmp_path / "out.json").read_text())
    assert {row["name"]: (row["a"], row["b"]) for row in body["found"]} == {
        "acme.api_token": ("(secret)", "(secret, another one)"),
        "sql_mode": ("", "ANSI"),
    }
    assert "hunter2" not in done.stdout + json.dumps(body)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"a": "production", "b": "nowhere", "hosts": "{{ groups['all'] }}"}, "no host of group 'portal'"),
        ({"a": "production", "b": "preproduction", "hosts": ["crm.acme.es"]}, "no host of group 'portal'"),
        (
            {"a": "production", "b": "preproduction", "hosts": "{{ groups['all'] }}", "expected": [{"id": "x"}]},
            "needs id and why",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    usual = {"a": "production", "b": "preproduction", "hosts": "{{ groups['all'] }}"}
    done = run(tmp_path, [{"encaja.portal.compare": {**usual, **arguments}}])
    assert done.returncode == 2
    assert said in " ".join(done.stdout.split())


def test_only_hosts_of_the_two_environments_that_have_a_part_in_a_portal_are_looked_at(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("""
production: {hosts: {crm.acme.es: {}, db.acme.es: {}, sip.acme.es: {}}}
preproduction: {hosts: {pre.acme.es: {}}}
test: {hosts: {test.acme.es: {}}}
portal: {hosts: {crm.acme.es: {}, pre.acme.es: {}, test.acme.es: {}, cloud.acme.es: {}}}
database: {hosts: {db.acme.es: {}, pre.acme.es: {}}}
telephony: {hosts: {sip.acme.es: {}}}
cloud: {hosts: {cloud.acme.es: {}}}
""")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    program = str(PROJECT / ".venv/bin/ansible-playbook")
    command = [program, "-i", str(inventory), "--list-hosts", "playbooks/compare.yml"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    hosts = {line.strip() for line in done.stdout.splitlines() if line.strip().endswith(".acme.es")}
    assert hosts == {"crm.acme.es", "db.acme.es", "pre.acme.es"}
