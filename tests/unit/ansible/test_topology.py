"""Role ``topology``: its specification matches its values, and the cause of a wrong value is reported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from encaja.preflight.inventory import WORKED_OUT, faults, role_variables

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "topology"
INVENTORY = """
all:
  children:
    production: {hosts: {one: , two: }}
    portal: {hosts: {one: }}
    database: {hosts: {one: }}
    push: {hosts: {one: }}
    cache: {hosts: {two: }}
  vars: {ansible_connection: local, encaja_domain: portal.example.org, ADDED}
"""
LOOK = """
- hosts: all
  roles: [topology]
  tasks:
    - encaja.portal.role_arguments: {roles: [topology]}
"""


def look(folder: Path, added: str) -> str:
    (folder / "hosts.yml").write_text(INVENTORY.replace("ADDED", added))
    (folder / "look.yml").write_text(LOOK)
    return play(folder)


def play(folder: Path) -> str:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        ["ansible-playbook", "-i", str(folder / "hosts.yml"), str(folder / "look.yml")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip


def test_every_value_is_specified_and_every_specified_value_exists() -> None:
    given = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    assert set(given) == set(role_variables(ROOT / "roles", WORKED_OUT))
    assert all(spec["required"] for spec in role_variables(ROOT / "roles", WORKED_OUT).values())


def test_values_have_their_types_with_functions_apart(tmp_path: Path) -> None:
    said = look(tmp_path, "encaja_environment: production")
    assert said.count("failed=0") == 2, said


@pytest.mark.parametrize(
    ("portal", "cache", "push", "password"),
    [
        ("one", "one", "one", ""),
        ("one", "two", "two", "told"),
        ("one", "one", "two", "told"),
        ("one", "two", "one", "told"),
    ],
)
def test_push_server_has_the_password_that_redis_requires(
    tmp_path: Path, portal: str, cache: str, push: str, password: str
) -> None:
    groups = {
        "production": {"one": None, "two": None},
        "portal": {portal: None},
        "cache": {cache: None},
        "push": {push: None},
    }
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump(
            {
                "all": {
                    "children": {name: {"hosts": hosts} for name, hosts in groups.items()},
                    "vars": {
                        "ansible_connection": "local",
                        "encaja_environment": "production",
                        "encaja_cache_password": "told",
                    },
                }
            }
        )
    )
    (tmp_path / "look.yml").write_text(
        "- hosts: push\n  gather_facts: false\n  roles: [topology]\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: '<{{ topology_push_redis_password }}> of {{ topology_cache_remote }}'}\n"
    )
    assert f"<{password}> of {bool(password)}" in play(tmp_path)


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ("encaja_environment: production, encaja_firewall_open: [80]", "'topology_firewall_open' is of type"),
        ("encaja_mail_from: a@b.example", "encaja_environment is not set (topology_environment_hosts"),
    ],
)
def test_the_cause_of_a_wrong_value_is_reported(tmp_path: Path, added: str, fault: str) -> None:
    said = look(tmp_path, added)
    assert fault in said
    assert "failed=1" in said


def test_a_value_is_refused_under_its_old_name_as_well() -> None:
    said = [str(fault) for fault in faults({"one": {"wiring_here": ["one"]}}, {"production": ["one"]}, ROOT / "roles")]
    assert "one: variable 'wiring_here' has a new name (call it 'topology_environment_hosts')" in said


def test_an_inventory_cannot_set_derived_values() -> None:
    groups = {"production": ["one"], **{name: ["one"] for name in ("portal", "database", "cache", "push")}}
    said = [str(fault) for fault in faults({"one": {"topology_cache": "other"}}, groups, ROOT / "roles")]
    assert "one: topology_cache is computed from the groups (remove it, and put the hosts into their groups)" in said
