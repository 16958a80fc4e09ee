"""No package imports one above it, and none imports in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / "python"

LAYERS = {
    "encaja": [
        "errors status",
        "rest portal",
        "carryover telephony runbook",
        "cli",
    ],
    "encaja.rest": [
        "bucket trust errors",
        "webhook command tokens prefetch",
        "limiter listing",
        "client",
    ],
    "encaja.carryover": [
        "settings mapping",
        "source",
        "context",
        "merge",
        "records",
        "database_times deletions not_carried prepare test_data",
        "change_probe reconcile",
        "rounds",
        "commands",
    ],
    "encaja.runbook": [
        "durations redact",
        "book",
        "record",
        "run forecast",
        "report",
    ],
    "encaja.telephony": [
        "settings events recording",
        "ami call rest",
        "spool test_call",
        "plan",
        "calls report",
        "connector",
    ],
}
"""By package: its modules and packages from the lowest layer to the highest. Those of a layer do not import each other;
what is not named here is not looked at."""


def imports(path: Path) -> set[str]:
    """The full names that a module imports, also within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", LAYERS)
def test_no_module_imports_a_higher_layer(package: str) -> None:
    folder = PYTHON.joinpath(*package.split("."))
    level = {name: number for number, layer in enumerate(LAYERS[package]) for name in layer.split()}
    faults = []
    for name, own in level.items():
        files = list((folder / name).rglob("*.py")) or [folder / f"{name}.py"]
        for path in files:
            for imported in imports(path):
                parts = imported.removeprefix(f"{package}.").split(".")
                if imported.startswith(f"{package}.") and parts[0] != name and level.get(parts[0], -1) >= own:
                    faults.append(f"{path.relative_to(PYTHON)} imports {imported}")
    assert not faults, faults


@pytest.mark.parametrize("package", ["encaja.rest", "encaja.carryover", "encaja.telephony", "encaja.runbook"])
def test_every_module_of_a_layered_package_has_its_layer(package: str) -> None:
    folder = PYTHON.joinpath(*package.split("."))
    there = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert there - {"__init__"} == {name for layer in LAYERS[package] for name in layer.split()}
