"""What Ansible's files name: the roles and files that they draw in, hosts, variables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from encaja.runbook.book.inventory_values import AnyTagLoader
from encaja.runbook.book.mentions import Mentions, mentions, strings

_ROLE_ACTIONS = ("include_role", "import_role", "ansible.builtin.include_role", "ansible.builtin.import_role")
_FILE_ACTIONS = tuple(
    f"{prefix}{name}"
    for prefix in ("", "ansible.builtin.")
    for name in ("import_playbook", "include_tasks", "import_tasks", "include_vars")
)
# Entry point under which a role without tasks specifies what it gives; Ansible does not check it when the role begins.
_GIVEN = "vars"


@dataclass(frozen=True)
class References:
    """What a playbook or task file names, and whether names are only known when it runs.

    A role stands with the task file of it that is wanted, "" for all of the role.
    """

    roles: frozenset[tuple[str, str]] = frozenset()
    files: frozenset[str] = frozenset()
    roles_unknown: bool = False
    files_unknown: bool = False


def _load(data: bytes) -> Any:
    return yaml.load(data, Loader=AnyTagLoader)  # noqa: S506 - a SafeLoader underneath


@lru_cache(maxsize=4096)
def references(data: bytes) -> References:
    """What a playbook or task file draws in.

    The result depends on the text alone and is cached: a conductor asks before every step.
    """
    try:
        loaded = _load(data)
    except yaml.YAMLError:
        return References(roles_unknown=True, files_unknown=True)
    roles: set[tuple[str, str]] = set()
    files: set[str] = set()
    for key, value in _pairs(loaded):
        roles |= _roles(key, value)
        files |= _files(key, value)
    plain = frozenset(role for role in roles if "{{" not in role[0])
    named = frozenset(name for name in files if "{{" not in name)
    return References(plain, named, plain != roles, named != files)


def _roles(key: str, value: Any) -> set[tuple[str, str]]:
    if key in ("roles", "dependencies") and isinstance(value, list):
        return {(name, "") for item in value if isinstance(name := _role_name(item), str)}
    if key in _ROLE_ACTIONS and isinstance(value, dict) and isinstance(value.get("name"), str):
        entry = str(value.get("tasks_from", ""))
        return {(value["name"], "" if "{{" in entry else entry)}
    return set()


def _files(key: str, value: Any) -> set[str]:
    names: list[Any] = []
    if key == "vars_files" and isinstance(value, list):
        names = value
    elif key in _FILE_ACTIONS:
        names = [value.get("file") if isinstance(value, dict) else value]
    return {name for name in names if isinstance(name, str)}


def _role_name(item: Any) -> Any:
    return item.get("role") or item.get("name") if isinstance(item, dict) else item


@lru_cache(maxsize=1024)
def host_patterns(data: bytes) -> tuple[str, ...]:
    """The patterns of hosts of a playbook's plays."""
    try:
        loaded = _load(data)
    except yaml.YAMLError:
        return ("{{ unknown }}",)
    plays = [play for play in loaded if isinstance(play, dict)] if isinstance(loaded, list) else []
    found = [play["hosts"] for play in plays if "hosts" in play]
    return tuple(":".join(map(str, hosts)) if isinstance(hosts, list) else str(hosts) for hosts in found)


@lru_cache(maxsize=1024)
def definitions(data: bytes) -> tuple[tuple[str, Mentions], ...]:
    """The variables of a role's file and what their values mention."""
    try:
        loaded = _load(data)
    except yaml.YAMLError:
        return ()
    items = loaded.items() if isinstance(loaded, dict) else ()
    return tuple((str(name), mentions(" ".join(strings(value)))) for name, value in items)


@lru_cache(maxsize=1024)
def role_options(data: bytes, only: str) -> frozenset[str]:
    """The options that Ansible evaluates when a role begins, or one entry point (`only`) of it."""
    try:
        loaded = _load(data)
    except yaml.YAMLError:
        return frozenset()
    entries = loaded.get("argument_specs") if isinstance(loaded, dict) else None
    return frozenset(
        str(name)
        for entry, specification in (entries or {}).items()
        if entry != _GIVEN and (not only or entry == only) and isinstance(specification, dict)
        for name in specification.get("options") or {}
    )


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), item
            yield from _pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)
