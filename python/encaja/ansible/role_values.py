"""A role's own values as its templates see them, needed before the role runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from ansible import constants
from ansible.template import trust_as_template

from encaja.errors import EncajaError

COLLECTION = "ansible_collections.encaja.portal"
FILES = ("defaults/main.yml", "vars/main.yml", "meta/argument_specs.yml", "meta/rules.yml")
LISTS = ("files/rules/*.yml", "files/harmless/*.yml", "files/silence/*.yml")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parents() -> Iterator[Path]:
    """The folders that hold roles: the collection's own first, then Ansible's roles path."""
    spec = find_spec(COLLECTION)
    for root in (spec and spec.submodule_search_locations) or ():
        yield Path(root) / "roles"
    yield from map(Path, constants.DEFAULT_ROLES_PATH or [])


def folder(role: str) -> Path:
    """The folder of ``role``.

    Raises:
        EncajaError: neither the collection nor a folder of Ansible's roles path has it.
    """
    for parent in parents():
        path = parent / role
        if path.is_dir():
            return path
    raise EncajaError(f"there is no role {role!r}", "roles_path", "run in the project's folder, or correct the name")


@cache
def read(path: Path) -> Any:
    """The content of a role's YAML file, its strings marked as templates; empty where there is no file.

    Kept for the whole run: what is read before there are workers is there for all of them.
    """
    if not path.is_file():
        return {}
    return trusted(yaml.load(path.read_text(), Loader=LOADER) or {})  # noqa: S506 - both are safe loaders


def scope(role: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a template of ``role`` sees: its defaults under the host's ``variables`` under its fixed values."""
    here = folder(role)
    defaults, fixed = (read(here / kind / "main.yml") for kind in ("defaults", "vars"))
    return {**defaults, **variables, **fixed}


def lists(role: str, name: str) -> list[Any]:
    """The lists of the YAML files in ``files/<name>`` of ``role``, joined in the order of their names."""
    return [one for path in sorted((folder(role) / "files" / name).glob("*.yml")) for one in read(path)]


def read_all() -> None:
    """Read the files of every role."""
    for parent in parents():
        for name in (*FILES, *LISTS):
            for path in parent.glob(f"*/{name}"):
                read(path)


def trusted(value: Any) -> Any:
    """``value`` of a role's own file with its strings marked as templates."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(one) for one in value]
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    return value
