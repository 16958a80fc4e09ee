from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "python" / "encaja"
SHARED = "ansible_collections.encaja.portal.plugins.module_utils.portal"


def _relative_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


def test_whatever_a_named_module_imports_is_named_too_for_mitogen() -> None:
    tree = ast.parse((ROOT / "plugins/module_utils/portal_library.py").read_text())
    named = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == SHARED
        for alias in node.names
    }
    assert {"php", "settings", "site", "users"} <= named
    for name in named:
        assert _relative_imports(PYTHON / "portal" / f"{name}.py") <= named, name


def test_the_package_runs_from_module_utils() -> None:
    for path in (PYTHON / "portal").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.level == 0 and (node.module or "").split(".")[0] == "encaja"), path
                assert node.level < 3, f"{path} reaches above the package"
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != "encaja" for alias in node.names), path
