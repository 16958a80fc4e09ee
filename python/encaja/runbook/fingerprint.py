"""What a step's result depends on: its playbook and all that it draws in, inventories and variables, as hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from encaja.runbook.load import find_playbook
from encaja.runbook.model import Action

_SKIPPED_SUFFIXES = (".pyc", ".retry", ".swp", "~")
_SKIPPED_DIRECTORIES = {"__pycache__", "molecule", ".git"}
_ROLE_ACTIONS = ("include_role", "import_role", "ansible.builtin.include_role", "ansible.builtin.import_role")
_FILE_ACTIONS = tuple(
    f"{prefix}{name}"
    for prefix in ("", "ansible.builtin.")
    for name in ("import_playbook", "include_tasks", "import_tasks", "include_vars")
)


class _AnyTagLoader(yaml.SafeLoader):
    """Reads Ansible's YAML without minding its own tags (`!vault`, `!unsafe`)."""


_AnyTagLoader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


class Fingerprinter:
    """Computes manifests (path or variable: SHA-256); remembers files and roles that it has read."""

    def __init__(self, project: Path, inventories: Sequence[Path]) -> None:
        self._project = project
        self._inventories = tuple(inventories)
        self._trees: dict[Path, dict[str, str]] = {}

    def manifest(self, action: Action) -> dict[str, str]:
        """All inputs of an action whose variables are already filled in."""
        found: dict[str, str] = {}
        definition = {key: value for key, value in asdict(action).items() if value}
        found["run-book: what the step runs"] = _hash(json.dumps(definition, sort_keys=True, default=str).encode())
        for inventory in self._inventories:
            found |= self._tree(inventory)
        if action.playbook:
            playbook = find_playbook(self._project, action.playbook)
            if playbook:
                found |= self._playbook(playbook, set())
        return found

    def forget(self) -> None:
        """Reads everything anew the next time."""
        self._trees.clear()

    def _playbook(self, path: Path, seen: set[Path]) -> dict[str, str]:
        if path in seen or not path.is_file():
            return {}
        seen.add(path)
        text = path.read_bytes()
        found = {self._name(path): _hash(text)}
        roles, files, everything = _draws_in(text)
        for name in files:
            found |= self._playbook((path.parent / name).resolve(), seen)
        base = self._project / "roles"
        if everything:
            roles |= {entry.name for entry in base.iterdir() if entry.is_dir()} if base.is_dir() else frozenset()
        return found | self._roles(roles, seen)

    def _roles(self, names: Collection[str], seen: set[Path]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in sorted(names):
            directory = self._project / "roles" / name
            if directory in seen or not directory.is_dir():
                continue
            seen.add(directory)
            found |= self._tree(directory)
            needed: set[str] = set()
            for file in (
                *directory.glob("tasks/**/*.yml"),
                *directory.glob("handlers/*.yml"),
                directory / "meta/main.yml",
            ):
                if file.is_file():
                    needed |= _draws_in(file.read_bytes())[0]
            found |= self._roles(needed, seen)
        return found

    def _tree(self, root: Path) -> dict[str, str]:
        if root not in self._trees:
            self._trees[root] = {self._name(path): _hash(path.read_bytes()) for path in _files(root)}
        return self._trees[root]

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._project)) if path.is_relative_to(self._project) else str(path)


def digest(manifest: Mapping[str, str]) -> str:
    """One hash for a whole manifest."""
    return _hash(json.dumps(dict(manifest), sort_keys=True).encode())


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names of inputs that differ between two manifests."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for entry in sorted(root.iterdir()):
        if entry.is_dir():
            if entry.name not in _SKIPPED_DIRECTORIES and not entry.name.startswith("."):
                yield from _files(entry)
        elif entry.is_file() and not entry.name.startswith(".") and not entry.name.endswith(_SKIPPED_SUFFIXES):
            yield entry


@lru_cache(maxsize=4096)
def _draws_in(text: bytes) -> tuple[frozenset[str], frozenset[str], bool]:
    """Roles and files that a playbook or task file names, and whether a role's name is only known when it runs.

    It depends on the text alone, so what was parsed once is kept: a conductor asks before every step.
    """
    roles: set[str] = set()
    files: set[str] = set()
    try:
        data = yaml.load(text, Loader=_AnyTagLoader)  # noqa: S506 - a SafeLoader underneath
    except yaml.YAMLError:
        return frozenset(), frozenset(), True
    for key, value in _pairs(data):
        if key in ("roles", "dependencies") and isinstance(value, list):
            for item in value:
                name = item.get("role") or item.get("name") if isinstance(item, dict) else item
                if isinstance(name, str):
                    roles.add(name)
        elif key in _ROLE_ACTIONS and isinstance(value, dict) and isinstance(value.get("name"), str):
            roles.add(value["name"])
        elif key == "vars_files" and isinstance(value, list):
            files |= {name for name in value if isinstance(name, str) and "{{" not in name}
        elif key in _FILE_ACTIONS:
            name = value.get("file") if isinstance(value, dict) else value
            if isinstance(name, str) and "{{" not in name:
                files.add(name)
    templated = any("{{" in role for role in roles)
    return frozenset(role for role in roles if "{{" not in role), frozenset(files), templated


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), item
            yield from _pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)
