"""No package imports one above it, and none imports in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / "python"

LAYERS = {
    "encaja": [
        "atomic errors vocabulary",
        "status portal",
        "clone compare rest restore",
        "carryover preflight runbook telephony update",
        "lab",
        "cli",
    ],
    "encaja.rest": [
        "bucket trust errors",
        "webhook answers command prefetch download",
        "tokens",
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
    "encaja.clone": [
        "direction frames manifest open_files priority tables",
        "remote source",
        "database files",
        "checks",
        "commands",
    ],
    "encaja.compare": [
        "environments page",
        "differences",
    ],
    "encaja.lab": [
        "authority engine",
        "images",
        "estate",
    ],
    "encaja.portal": [
        "carry_over_state fastcgi files held_mail kernel module_versions restored serialized tls_faults upgrades",
        "cache database host_rewrite packed php updater",
        "credentials host_facts masking settings",
        "neutralise plan remains value_digest",
        "silence site",
        "background_proof domain lead_rates licence outbox probe_page pull search snapshot users",
        "applications background_work copy_state recovery",
        "cloud",
        "verify",
        "checks_case checks_copy checks_licence checks_server checks_silence checks_web contract_probe",
        "contract_kernel contract_pages contract_tables",
        "contract",
    ],
    "encaja.restore": [
        "errors",
        "archive journal",
        "cloud_files fetch load space",
        "job member_router portal_setup source",
        "pipeline run stream_progress",
        "result_checks server_settings switch",
        "target_checks",
        "finish prepare",
        "stream",
        "coordinator",
        "commands",
    ],
    "encaja.restore.archive": [
        "crypt gzips naming sqldump tars",
        "stream tree verify_volume",
        "doubles",
        "volume_set",
        "unpack",
    ],
    "encaja.restore.fetch": [
        "options replies state volume_files",
        "links",
        "plan vendor_storage",
        "throttle",
        "probe",
        "fetcher",
        "headers",
    ],
    "encaja.restore.load": [
        "ddl sampling statement_spool",
        "database",
        "loader",
    ],
    "encaja.runbook": [
        "durations redact words",
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
    package = path.relative_to(PYTHON).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
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


@pytest.mark.parametrize("package", sorted(LAYERS.keys() - {"encaja"}))
def test_every_module_of_a_layered_package_has_its_layer(package: str) -> None:
    folder = PYTHON.joinpath(*package.split("."))
    there = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert there - {"__init__"} == {name for layer in LAYERS[package] for name in layer.split()}
