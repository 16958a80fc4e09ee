"""The variables of inventories as hashes, one by one: a change of one says nothing of the others.

The files are read as they lie, without Ansible and without any vault's password, so that the hashes are the same
whoever looks. A variable that is encrypted in its place (`!vault`) is compared by its ciphertext; of a file that is
encrypted as a whole, of an inventory that is a program, a plugin's configuration or an INI file, only the whole is
known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from encaja.runbook.book.mentions import Mentions, mentions, strings
from encaja.runbook.redact import is_secret_name

SKIPPED_SUFFIXES = (".pyc", ".retry", ".swp", "~")
SKIPPED_DIRECTORIES = {"__pycache__", "molecule", ".git"}
RUNBOOK_NAME = "runbook.yml"
VAULT_HEADER = b"$ANSIBLE_VAULT"
_VARS_DIRECTORIES = ("group_vars", "host_vars")
_YAML = (".yml", ".yaml", ".json")
_GROUP_KEYS = {"hosts", "children", "vars"}


class AnyTagLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads Ansible's YAML without minding its own tags: of `!vault` the ciphertext is the value."""


def _tagged(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return f"!{suffix} {' '.join(node.value.split())}"
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


AnyTagLoader.add_multi_constructor("!", _tagged)


@dataclass(frozen=True)
class Value:
    """One variable as a group or host (`scope`) is given it in a file (`place`)."""

    name: str
    place: str
    scope: str
    digest: str
    mentions: Mentions


@dataclass
class InventoryValues:
    """All that inventories hold: variables, what can only be compared as a whole, and who is in which group."""

    values: list[Value] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)
    shape: dict[str, str] = field(default_factory=dict)
    groups: dict[str, frozenset[str]] | None = field(default_factory=dict)


def digest_of(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def files_below(root: Path) -> Iterator[Path]:
    """A file itself, or all that counts below a directory, in order."""
    if root.is_file():
        yield root
        return
    for entry in sorted(root.iterdir()):
        if entry.is_dir():
            if entry.name not in SKIPPED_DIRECTORIES and not entry.name.startswith("."):
                yield from files_below(entry)
        elif entry.is_file() and not entry.name.startswith(".") and not entry.name.endswith(SKIPPED_SUFFIXES):
            yield entry


def read_values(project: Path, inventories: Sequence[Path]) -> InventoryValues:
    """Reads inventories with the `group_vars` and `host_vars` inside or next to them."""
    found = InventoryValues()
    shapes: list[_Shape] = []
    known = True
    for inventory in inventories:
        for path in _sources(inventory):
            place = str(path.relative_to(project)) if path.is_relative_to(project) else str(path)
            data = path.read_bytes()
            scope = _scope(path, inventory)
            if data.startswith(VAULT_HEADER):
                found.whole[f"{place} (encrypted)"] = digest_of(data)
                known = known and scope is not None
            elif scope is not None:
                variables = _variables(data)
                if variables is None:
                    found.whole[place] = digest_of(data)
                else:
                    found.values += [Value(name, place, scope, value, said) for name, value, said in variables]
            elif path.suffix in _YAML and (shape := _hosts_file(data)):
                shapes.append(shape)
                found.shape[f"hosts and groups ({place})"] = digest_of(_canonical(shape.groups))
                found.values += [Value(name, place, owner, value, said) for owner, name, value, said in shape.variables]
            else:
                found.whole[place] = digest_of(data)
                known = known and inventory not in (path.parent, path)
    found.groups = _members(shapes) if known else None
    return found


def _sources(inventory: Path) -> Iterator[Path]:
    roots = [inventory]
    if inventory.is_file():
        roots += [path for name in _VARS_DIRECTORIES if (path := inventory.parent / name).is_dir()]
    for root in roots:
        for path in files_below(root):
            if path.parent != root or path.name != RUNBOOK_NAME or root.name in _VARS_DIRECTORIES:
                yield path


def _scope(path: Path, inventory: Path) -> str | None:
    """The group or host that a file of `group_vars` or `host_vars` speaks of; None for any other file."""
    base = inventory if inventory.is_dir() else inventory.parent
    parts = path.relative_to(base).parts
    if len(parts) < 2 or parts[0] not in _VARS_DIRECTORIES or path.suffix not in ("", *_YAML):
        return None
    name = parts[1]
    return name if len(parts) > 2 else name.removesuffix(path.suffix)


@lru_cache(maxsize=1024)
def _variables(data: bytes) -> tuple[tuple[str, str, Mentions], ...] | None:
    try:
        loaded = yaml.load(data, Loader=AnyTagLoader)  # noqa: S506 - a SafeLoader underneath
    except (yaml.YAMLError, ValueError):
        return None
    if loaded is None:
        return ()
    return _digested(loaded) if isinstance(loaded, dict) else None


def _digested(variables: Mapping[Any, Any]) -> tuple[tuple[str, str, Mentions], ...]:
    return tuple(
        (str(name), _digest(str(name), value), mentions(" ".join(strings(value)))) for name, value in variables.items()
    )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _digest(name: str, value: Any) -> str:
    """A value's hash; of one that holds a secret one that costs too much to try out what it may be."""
    data = _canonical(value)
    if _is_secret(name, value):
        return hashlib.scrypt(data, salt=name.encode(), n=2**12, r=8, p=1, dklen=32).hex()
    return digest_of(data)


def _is_secret(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_secret(str(key), item) for key, item in value.items())
    if isinstance(value, list):
        return any(_is_secret(name, item) for item in value)
    return is_secret_name(name) or (isinstance(value, str) and "://" in value and ("?" in value or "@" in value))


@dataclass
class _Shape:
    """A YAML inventory: each group's hosts and children, and all variables by whom they are given to."""

    groups: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    variables: list[tuple[str, str, str, Mentions]] = field(default_factory=list)

    def add(self, name: str, group: Any) -> bool:
        """Takes a group in; False where it has not the shape of one."""
        if group is None:
            group = {}
        if not isinstance(group, dict) or not group.keys() <= _GROUP_KEYS:
            return False
        parts = {key: group.get(key) or {} for key in _GROUP_KEYS}
        if not all(isinstance(part, dict) for part in parts.values()):
            return False
        known = self.groups.setdefault(name, {"hosts": [], "children": []})
        for key in ("hosts", "children"):
            known[key] = sorted({*known[key], *(str(item) for item in parts[key])})
        self._take(name, parts["vars"])
        for host, variables in parts["hosts"].items():
            if variables is not None and not isinstance(variables, dict):
                return False
            self._take(str(host), variables or {})
        return all(self.add(str(child), inner) for child, inner in parts["children"].items())

    def _take(self, owner: str, variables: Mapping[Any, Any]) -> None:
        self.variables += [(owner, *one) for one in _digested(variables)]


@lru_cache(maxsize=64)
def _hosts_file(data: bytes) -> _Shape | None:
    try:
        loaded = yaml.load(data, Loader=AnyTagLoader)  # noqa: S506 - a SafeLoader underneath
    except (yaml.YAMLError, ValueError):
        return None
    shape = _Shape()
    if not isinstance(loaded, dict) or not loaded:
        return None
    return shape if all(shape.add(str(name), group) for name, group in loaded.items()) else None


def _members(shapes: Sequence[_Shape]) -> dict[str, frozenset[str]] | None:
    """The hosts of every group, those of its children included; None where ranges hide their names."""
    hosts: dict[str, set[str]] = {}
    children: dict[str, set[str]] = {}
    for shape in shapes:
        for name, group in shape.groups.items():
            hosts.setdefault(name, set()).update(group["hosts"])
            children.setdefault(name, set()).update(group["children"])
    if any("[" in host for group in hosts.values() for host in group):
        return None

    def members(name: str, seen: frozenset[str]) -> frozenset[str]:
        inner = (members(child, seen | {child}) for child in children.get(name, ()) if child not in seen)
        return frozenset(hosts.get(name, ())).union(*inner)

    found = {name: members(name, frozenset({name})) for name in hosts}
    return {**found, "all": frozenset().union(*found.values())}
