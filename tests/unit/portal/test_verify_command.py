from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from encaja.cli import portal as command
from encaja.errors import ConfigurationError, DifferencesFound

ITEM = {
    "id": "bug-links",
    "title": {"en": "Links without a domain", "es": "Enlaces sin dominio"},
    "severity": "error",
    "state": "found",
    "evidence": "main.server_name is '' [b]",
    "cure": "playbook domain",
    "cured": None,
}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    found = {"body": {}}

    def collect(project: Path, inventories: Any, environment: str, only: Any) -> dict[str, Any]:
        found["asked"] = {"project": project, "environment": environment, "only": only}
        return found["body"]

    monkeypatch.setattr(command, "collect", collect)
    monkeypatch.setattr(command, "find_project", lambda: tmp_path)
    monkeypatch.setenv("ENCAJA_INVENTORY", str(tmp_path))
    group = typer.Typer()
    group.callback()(lambda: None)
    group.add_typer(command.app)
    return group, found


def body(**changes: Any) -> dict[str, Any]:
    item = {**ITEM, **changes}
    differences = int(item["state"] == "found" and item["severity"] == "error")
    return {
        "kind": "verification",
        "domain": "crm.acme.es",
        "environment": "test",
        "checks": [item],
        "differences": differences,
    }


def test_what_is_found_is_shown_and_named(app: Any) -> None:
    group, found = app
    found["body"] = body()
    result = CliRunner().invoke(group, ["verify", "test", "--only", "bug"])
    assert isinstance(result.exception, DifferencesFound)
    assert result.exception.exit_code == 4
    assert "bug-links" in str(result.exception)
    assert "main.server_name is '' [b]" in result.stdout
    assert "playbook domain" in result.stdout
    assert found["asked"]["only"] == ["bug"]


@pytest.mark.parametrize(("state", "severity"), [("cured", "error"), ("people", "error"), ("found", "warning")])
def test_what_is_cured_or_left_to_people_passes(app: Any, state: str, severity: str) -> None:
    group, found = app
    found["body"] = body(state=state, severity=severity)
    assert CliRunner().invoke(group, ["verify", "test"]).exit_code == 0


def test_json_is_the_verification_itself(app: Any, tmp_path: Path) -> None:
    group, found = app
    found["body"] = body(state="ok")
    result = CliRunner().invoke(group, ["verify", "test", "--json", "--output", str(tmp_path / "v.json")])
    assert json.loads(result.stdout) == found["body"] == json.loads((tmp_path / "v.json").read_text())


def test_what_would_have_gone_out_is_listed(app: Any) -> None:
    group, found = app
    entry = {"to": "eva@acme.es", "what": "NEW_LEAD", "when": "2026-11-30 10:00:00"}
    found["body"] = body(state="ok") | {
        "outbox": [{"kind": "mail", "table": "b_event", "entries": 9, "first": [entry]}]
    }
    shown = CliRunner().invoke(group, ["verify", "test", "--language", "es"]).stdout
    for text in ("Lo que habría salido", *entry.values(), "8 más de mail"):
        assert text in shown


def test_spanish(app: Any) -> None:
    group, found = app
    found["body"] = body()
    result = CliRunner().invoke(group, ["verify", "test", "--language", "es"])
    assert "Enlaces sin dominio" in result.stdout
    assert "HALLADO" in result.stdout


@pytest.mark.parametrize("words", [["staging"], ["test", "--language", "fr"], ["test", "-i", "/nowhere/at/all"]])
def test_bad_usage_names_what_is_good(app: Any, words: list[str]) -> None:
    result = CliRunner().invoke(app[0], ["verify", *words])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 2
    assert result.exception.hint
