from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.module_utils import portal_library

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "python" / "encaja"
UTILITIES = "ansible_collections.encaja.portal.plugins.module_utils"
SHARED = f"{UTILITIES}.portal"


def _relative_imports(path: Path, level: int = 1) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == level:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


def test_whatever_a_named_module_imports_is_named_too_for_mitogen() -> None:
    tree = ast.parse((ROOT / "plugins/module_utils/portal_library.py").read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = {alias.name for node in imported if node.module == SHARED for alias in node.names}
    outside = {str(node.module).rpartition(".")[2] for node in imported} | {
        alias.name for node in imported if node.module == UTILITIES for alias in node.names
    }
    assert {"php", "settings", "site", "users"} <= named
    for name in named:
        assert _relative_imports(PYTHON / "portal" / f"{name}.py") <= named, name
        assert _relative_imports(PYTHON / "portal" / f"{name}.py", level=2) <= outside, name


def test_the_package_runs_from_module_utils() -> None:
    for path in (PYTHON / "portal").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.level == 0 and (node.module or "").split(".")[0] == "encaja"), path
                assert node.level < 3, f"{path} reaches above the package"
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != "encaja" for alias in node.names), path


def test_what_a_module_cured_is_noted_under_its_part_by_whatever_name_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What verify calls cured hangs on these notes."""
    notes: dict[str, Any] = {}
    portal = SimpleNamespace(root=tmp_path, state_directory=tmp_path, database=None, state=notes.copy)
    portal.note = notes.update
    wanted = SimpleNamespace(changed=True, report={}, warnings=[], diff=dict, apply=lambda _: [])
    monkeypatch.setattr(portal_library.site, "Portal", lambda *_: SimpleNamespace(effective={}))
    monkeypatch.setattr(portal_library.cache, "purge", lambda *_: [])
    for name in ("encaja.portal.portal_cloud", "portal_pull"):
        module = SimpleNamespace(check_mode=False, params={"fpm_socket": "/x"}, _name=name)
        portal_library.settle(module, portal, wanted)
    assert set(notes["cured"]) == {"cloud", "pull"}
