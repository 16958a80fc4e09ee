"""What `encaja health` shows, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from encaja.cli import health as command
from encaja.errors import ConfigurationError, DifferencesFound

OK = {"id": "page", "state": "ok", "evidence": "200 in 9 ms", "cure": ""}
OLD = {
    "id": "backup",
    "state": "fault",
    "evidence": "the last one is 30 h old",
    "cure": "systemctl start encaja-backup",
}
FULL = {"id": "disk:/", "state": "warning", "evidence": "9 % free", "cure": "du"}


def host(name: str, *readings: dict[str, str], fault: str = "") -> dict[str, Any]:
    return {"kind": "health", "host": name, "environment": "test", "readings": list(readings), "fault": fault}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def run(bodies: list[dict[str, Any]], *words: str) -> Result:
        monkeypatch.setattr(command, "play", lambda *_, **__: [SimpleNamespace(body=body) for body in bodies])
        monkeypatch.setattr(command, "find_project", lambda: tmp_path)
        monkeypatch.setenv("ENCAJA_INVENTORY", str(tmp_path))
        group = typer.Typer()
        group.callback()(lambda: None)
        group.add_typer(command.app)
        return CliRunner().invoke(group, ["health", *words])

    return run


def test_a_well_host_is_one_line_and_a_fault_is_named(ask: Any) -> None:
    result = ask([host("crm", OK, OLD), host("db", OK)], "test")
    assert isinstance(result.exception, DifferencesFound) and result.exception.exit_code == 4
    assert "crm backup" in str(result.exception)
    assert "30 h old" in result.stdout and "200 in 9 ms" not in result.stdout and "1 looked at" in result.stdout


def test_a_warning_alone_is_no_fault(ask: Any) -> None:
    result = ask([host("crm", OK, FULL)], "test", "--language", "es")
    assert result.exit_code == 0
    assert "aviso" in result.stdout and "9 % free" in result.stdout


def test_a_host_that_does_not_answer_is_a_fault(ask: Any) -> None:
    result = ask([host("crm", fault="Traceback\nNo such file: /etc/encaja/health.json")], "test", "--json")
    assert isinstance(result.exception, DifferencesFound)
    (shown,) = json.loads(result.stdout)
    assert shown["readings"][0]["evidence"] == "No such file: /etc/encaja/health.json"


def test_everything_is_shown_when_asked(ask: Any) -> None:
    assert "200 in 9 ms" in ask([host("crm", OK)], "--all").stdout


def test_an_estate_without_hosts_and_an_unknown_environment_are_refused(ask: Any) -> None:
    assert isinstance(ask([], "test").exception, ConfigurationError)
    assert isinstance(ask([], "prod").exception, ConfigurationError)
