from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from encaja.cli import clone as command
from encaja.compare.differences import compare, rules
from encaja.compare.environments import Environment
from encaja.compare.page import WORDS
from encaja.errors import ConfigurationError, DifferencesFound
from support.host_snapshots import snapshot

LEFT = {"options": {"main.server_name": "crm.acme.es", "acme.note": "<b>[red]1"}}
RIGHT = {"options": {"main.server_name": "pre.acme.es", "acme.note": "2"}}


def body(right: dict[str, dict[str, str]]) -> dict[str, Any]:
    a = Environment.of("production", {"a": snapshot("crm.acme.es", LEFT)})
    b = Environment.of("preproduction", {"b": snapshot("pre.acme.es", right)})
    return compare(a, b, rules()).as_dict()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    found: dict[str, Any] = {"body": body(RIGHT), "asked": []}

    def play(project: Path, inventories: Any, name: str, variables: Any, **more: Any) -> list[Any]:
        found["asked"].append((name, variables))
        return [SimpleNamespace(body=found["body"])]

    monkeypatch.setattr(command, "play", play)
    monkeypatch.setattr(command, "find_project", lambda: tmp_path)
    monkeypatch.setenv("ENCAJA_INVENTORY", str(tmp_path))
    group = typer.Typer()
    group.callback()(lambda: None)
    group.add_typer(command.app)
    return group, found


def test_what_differs_is_shown_named_and_told_by_the_exit_code(app: Any, tmp_path: Path) -> None:
    group, found = app
    page = tmp_path / "c.html"
    result = CliRunner().invoke(
        group, ["compare", "production", "preproduction", "--drift", "2", "--output", str(page)]
    )
    assert isinstance(result.exception, DifferencesFound)
    assert result.exception.exit_code == 4
    assert "options" in str(result.exception)
    assert "acme.note" in result.stdout
    assert "<b>[red]1" in result.stdout
    assert "main.server_name" not in result.stdout
    assert "&lt;b&gt;[red]1" in page.read_text()
    assert "http" not in page.read_text()
    name, variables = found["asked"][0]
    assert (name, variables["compare_drift"], variables["compare_strict"]) == ("compare.yml", 2.0, False)


def test_expected_differences_pass_and_are_named_on_request(app: Any) -> None:
    group, found = app
    found["body"] = body({**RIGHT, "options": {**RIGHT["options"], "acme.note": "<b>[red]1"}})
    result = CliRunner().invoke(group, ["compare", "production", "preproduction", "--all"])
    assert result.exit_code == 0
    assert "main.server_name" in result.stdout


def test_json_is_the_comparison_itself(app: Any, tmp_path: Path) -> None:
    group, found = app
    wanted = ["compare", "production", "test", "--json", "--output", str(tmp_path / "c.json")]
    result = CliRunner().invoke(group, wanted)
    assert json.loads(result.stdout) == found["body"] == json.loads((tmp_path / "c.json").read_text())


def test_both_languages_have_the_same_words_and_spanish_is_spoken(app: Any, tmp_path: Path) -> None:
    assert set(WORDS["en"]) == set(WORDS["es"])
    page = tmp_path / "c.html"
    wanted = ["compare", "production", "preproduction", "--language", "es", "--output", str(page)]
    result = CliRunner().invoke(app[0], wanted)
    assert "opciones" in result.stdout
    assert "Lo que difiere" in page.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "production", "staging"],
        ["compare", "test", "test"],
        ["compare", "production", "test", "--language", "fr"],
        ["clone", "production", "production", "--confirm", "production"],
        ["clone", "test", "test", "--confirm", "test"],
        ["clone", "preproduction", "production", "--confirm", "production"],
        ["clone", "production", "preproduction"],
        ["clone", "production", "preproduction", "--confirm", "test"],
    ],
)
def test_bad_usage_runs_nothing(app: Any, words: list[str]) -> None:
    group, found = app
    result = CliRunner().invoke(group, words)
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 2
    assert result.exception.hint
    assert found["asked"] == []


def test_a_confirmed_clone_runs_the_playbook_with_the_direction(app: Any) -> None:
    group, found = app
    result = CliRunner().invoke(group, ["clone", "production", "preproduction", "--confirm", "preproduction", "--json"])
    assert result.exit_code == 0
    direction = {"clone_source": "production", "clone_target": "preproduction", "clone_confirm": "preproduction"}
    assert found["asked"] == [("clone.yml", direction)]
    assert '"kind": "clone"' in result.stdout
