"""Versions of a tree's modules, by the files that say them.

That of ``main`` is ``SM_VERSION`` in ``classes/general/version.php``, that of any other module is in
``$arModuleVersion`` of its ``install/version.php``; the table ``b_module`` has none. Source: behaviour.md 8.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MODULES: Final = "bitrix/modules"
MAIN_FILE: Final = f"{MODULES}/main/classes/general/version.php"
_MAIN: Final = {
    "VERSION": re.compile(r"define\(\s*['\"]SM_VERSION['\"]\s*,\s*['\"]([^'\"]+)"),
    "DATE": re.compile(r"define\(\s*['\"]SM_VERSION_DATE['\"]\s*,\s*['\"]([^'\"]+)"),
}
_OTHER: Final = {
    "VERSION": re.compile(r"['\"]VERSION['\"]\s*=>\s*['\"]([^'\"]+)"),
    "DATE": re.compile(r"['\"]VERSION_DATE['\"]\s*=>\s*['\"]([^'\"]+)"),
}
_SHOWN: Final = 5


def _read(root: Path, module: str, what: str) -> str:
    name = MAIN_FILE if module == "main" else f"{MODULES}/{module}/install/version.php"
    try:
        text = (root / name).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    found = (_MAIN if module == "main" else _OTHER)[what].search(text)
    return found[1] if found else ""


def main_version(root: Path) -> str:
    """The product's version; empty when its file does not say one."""
    return _read(root, "main", "VERSION")


def read_versions(root: Path) -> dict[str, str]:
    """Version by module, of those that have one."""
    folder = root / MODULES
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return {name: version for name in names if (version := _read(root, name, "VERSION"))}


def newest_date(root: Path) -> str:
    """When the newest module of a tree was published (``YYYY-MM-DD HH:MM:SS``); empty when no module says."""
    folder = root / MODULES
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return max((_read(root, name, "DATE") for name in names), default="")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def older(versions: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Modules that have a lower version than in another tree, with both; those that only one tree has do not count."""
    return {
        name: (version, other[name])
        for name, version in sorted(versions.items())
        if name in other and _numbers(version) < _numbers(other[name])
    }


def shown(pairs: Mapping[str, tuple[str, str]]) -> str:
    """Some modules with both versions, for a line of text: ``crm 26.1.0 (26.2.0)``; main comes first."""
    names = sorted(pairs, key=lambda name: (name != "main", name))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"{name} {pairs[name][0]} ({pairs[name][1]})" for name in names[:_SHOWN]) + more
