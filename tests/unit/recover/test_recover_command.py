"""`encaja recover` asks before it replaces anything, and hands everything to the playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from encaja.cli import commands
from encaja.cli import recover as command
from encaja.errors import ConfigurationError

ARGUMENTS = ["--to", "2026-11-30T14:05:09", "--only", "database"]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], str]]:
    plays: list[tuple[str, dict[str, Any], str]] = []

    def play(_project: Path, _inventories: object, name: str, variables: dict[str, Any], **more: Any) -> None:
        plays.append((name, variables, more["limit"]))

    monkeypatch.setattr(command, "play", play)
    monkeypatch.setattr(command, "find_project", Path)
    monkeypatch.setattr(command, "find_inventories", lambda *_: ())
    return plays


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command.app, list(arguments))


def test_it_is_in_the_table_of_commands() -> None:
    assert commands.load("recover").name == "recover"


def test_it_is_confirmed_by_the_environments_name(played: list[Any]) -> None:
    for given in ([], ["--confirm", "test"]):
        done = run("production", *ARGUMENTS, *given)
        assert isinstance(done.exception, ConfigurationError)
        assert "--confirm production" in str(done.exception)
    assert played == []
    assert run("production", *ARGUMENTS, "--confirm", "production").exit_code == 0
    name, variables, limit = played[0]
    assert (name, limit) == ("recover.yml", "production")
    assert variables["restore_recover_to"] == "2026-11-30T14:05:09"
    assert variables["restore_recover_only"] == "database"


def test_a_check_changes_nothing_and_needs_no_name(played: list[Any]) -> None:
    assert run("production", "--check").exit_code == 0
    assert played[0][1]["restore_recover_check"] is True


def test_a_part_that_there_is_not_is_refused(played: list[Any]) -> None:
    assert isinstance(run("production", "--only", "mail").exception, ConfigurationError)
    assert played == []
