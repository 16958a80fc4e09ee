"""How Ansible is called."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from encaja.runbook.book.model import Action
from encaja.runbook.run.ansible_command import (
    GROUPS,
    ansible_environment,
    command_line,
    parse_host_list,
    playbook_command,
    write_variables,
)


def test_playbook_command_is_complete_and_holds_no_values(tmp_path: Path) -> None:
    action = Action(
        playbook="p.yml", limit="production", tags=("web", "php"), skip_tags=("verify",), variables={"x": "y"}
    )
    variables = write_variables(tmp_path, action.variables)
    command = playbook_command(tmp_path / "p.yml", action, [tmp_path / "inv"], variables_file=variables, check=True)
    assert command[1:] == [
        "-i",
        str(tmp_path / "inv"),
        "-i",
        str(GROUPS),
        "--limit",
        "production",
        "--tags",
        "web,php",
        "--skip-tags",
        "verify",
        "--extra-vars",
        f"@{variables}",
        "--check",
        "--diff",
        str(tmp_path / "p.yml"),
    ]
    assert variables is not None
    assert json.loads(variables.read_text()) == {"x": "y"}
    assert variables.stat().st_mode & 0o077 == 0


def test_encaja_means_this_program() -> None:
    assert command_line(Action(command=("encaja", "verify", "test")))[1:] == ["-m", "encaja.cli", "verify", "test"]
    assert command_line(Action(command=("true",))) == ["true"]


def test_environment_keeps_what_the_project_says_against_ansible_runner(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nhost_key_checking = True\ncallback_plugins = plugins/callback\n")
    added = ansible_environment(tmp_path, {})
    assert added["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert added["ANSIBLE_CALLBACK_PLUGINS"] == str(tmp_path / "plugins/callback")
    assert added["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    kept = ansible_environment(tmp_path, {"ANSIBLE_HOST_KEY_CHECKING": "False"})
    assert "ANSIBLE_HOST_KEY_CHECKING" not in kept


def test_host_keys_are_checked_without_a_configuration_too(tmp_path: Path) -> None:
    assert ansible_environment(tmp_path, {})["ANSIBLE_HOST_KEY_CHECKING"] == "True"


def test_host_list_is_read_once_each() -> None:
    output = """
playbook: p.yml

  play #1 (portal): Portal\tTAGS: []
    pattern: ['portal']
    hosts (2):
      a.test
      b.test

  play #2 (all): All\tTAGS: []
    pattern: ['all']
    hosts (1):
      a.test
"""
    assert parse_host_list(output) == ["a.test", "b.test"]


ROOT = Path(__file__).parents[3]


def test_every_group_that_a_playbook_names_is_known_to_ansible() -> None:
    known = set(yaml.safe_load(GROUPS.read_text())["all"]["children"])
    plays = [play for path in ROOT.glob("playbooks/*.yml") for play in yaml.safe_load(path.read_text())]
    patterns = [re.sub(r"\{\{.*?\}\}", "", str(play.get("hosts", ""))) for play in plays]
    named = {part.lstrip("!&") for pattern in patterns for part in re.split(r"[:,]", pattern)} - {""}
    assert {"production", "cloud", "telephony"} <= named <= {*known, "localhost", "all"}
