from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from encaja.cli import prove as command
from encaja.errors import ConfigurationError, DifferencesFound, EncajaError

WARNING = "the contract was observed in release 26.250, not in 27.1; not proven here: rest-import"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    found: dict[str, Any] = {"body": {}}

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


def body(state: str) -> dict[str, Any]:
    item = {"id": "rest-batch", "says": {"en": "A batch takes 50.", "es": "Un batch admite 50."}, "state": state,
            "evidence": "command 51 [run]", "source": "x", "used": ["rest.client"]}  # fmt: skip
    return {"kind": "contract", "domain": "crm.acme.es", "environment": "test", "release": "27.1",
            "assumptions": [item], "warnings": [WARNING], "differences": int(state == "differs")}  # fmt: skip


def test_what_differs_is_shown_and_named(app: Any) -> None:
    group, found = app
    found["body"] = body("differs")
    result = CliRunner().invoke(group, ["prove", "test", "--only", "rest"])
    assert isinstance(result.exception, DifferencesFound)
    assert result.exception.exit_code == 4
    assert "rest-batch" in str(result.exception)
    assert "command 51 [run]" in result.stdout
    assert "27.1" in result.stdout
    assert found["asked"]["only"] == ["rest"]


@pytest.mark.parametrize("state", ["holds", "unproven", "not-applicable"])
def test_what_is_unproven_passes_and_its_warning_is_shown(app: Any, state: str) -> None:
    group, found = app
    found["body"] = body(state)
    result = CliRunner().invoke(group, ["prove", "test", "--language", "es"])
    assert result.exit_code == 0
    assert "Un batch admite 50." in result.stdout
    assert "not proven here: rest-import" in " ".join(result.stdout.split())


def test_json_is_the_proof_itself(app: Any) -> None:
    group, found = app
    found["body"] = body("holds")
    result = CliRunner().invoke(group, ["prove", "test", "--json"])
    assert json.loads(result.stdout) == found["body"]


@pytest.mark.parametrize("words", [["staging"], ["test", "--language", "fr"], ["test", "-i", "/nowhere/at/all"]])
def test_bad_usage_names_what_is_good(app: Any, words: list[str]) -> None:
    result = CliRunner().invoke(app[0], ["prove", *words])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.hint


def test_an_id_that_does_not_exist_is_refused_before_anything_runs(app: Any) -> None:
    group, found = app
    result = CliRunner().invoke(group, ["prove", "test", "--only", "rest-bach"])
    assert isinstance(result.exception, EncajaError)
    assert "rest-bach" in str(result.exception)
    assert "asked" not in found
