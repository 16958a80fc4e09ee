from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from encaja.cli import carryover

ROW = {
    "entity": "lead", "cloud": "12", "box": "112", "field": "title", "value_in_cloud": "[b]Uno[/b]",
    "value_in_box": "Dos", "decided_for": "",
}  # fmt: skip


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> tuple[typer.Typer, list[dict[str, Any]]]:
    """The commands, and the variables with which the playbook would have been run."""
    asked: list[dict[str, Any]] = []

    def carry(_: Any, environment: str, variables: dict[str, Any]) -> dict[str, Any]:
        asked.append({"environment": environment, **variables})
        return {
            "kind": "carry-over-conflicts",
            "open": [ROW],
            "decided": [{**ROW, "cloud": "13", "decided_for": "box"}],
        }

    monkeypatch.setattr(carryover, "carry", carry)
    made = typer.Typer()
    made.add_typer(carryover.app)
    return made, asked


def test_decisions_reach_the_host_and_open_conflicts_are_listed(
    app: tuple[typer.Typer, list[dict[str, Any]]],
) -> None:
    made, asked = app
    result = CliRunner().invoke(made, ["carry-over", "decide", "lead:12.title=cloud", "--language", "es"])
    assert result.exit_code == 0, result.output
    assert asked == [
        {"environment": "production", "carry_over_mode": "decide", "carry_over_decisions": [
            {"entity": "lead", "cloud": "12", "field": "title", "side": "cloud"},
        ]}
    ]  # fmt: skip
    assert "Conflictos abiertos" in result.output
    for text in ("lead:12", "lead:13", "[b]Uno[/b]", "Dos", "box"):
        assert text in result.output


def test_without_decisions_it_only_lists(app: tuple[typer.Typer, list[dict[str, Any]]]) -> None:
    made, asked = app
    result = CliRunner().invoke(made, ["carry-over", "decide"])
    assert result.exit_code == 0 and "Open conflicts" in result.output
    assert asked[0]["carry_over_decisions"] == []


def test_what_is_no_decision_never_reaches_the_host(app: tuple[typer.Typer, list[dict[str, Any]]]) -> None:
    made, asked = app
    assert CliRunner().invoke(made, ["carry-over", "decide", "lead:12=both"]).exit_code
    assert asked == []
