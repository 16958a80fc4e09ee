"""A role's own values as its templates see them, for those who ask before the role runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants
from ansible.template import trust_as_template

from encaja.errors import EncajaError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def folder(role: str) -> Path:
    """Where ``role`` lies.

    Raises:
        EncajaError: no folder of Ansible's roles path has it.
    """
    for parent in constants.DEFAULT_ROLES_PATH or []:
        path = Path(parent) / role
        if path.is_dir():
            return path
    raise EncajaError(f"there is no role {role!r}", "roles_path", "run in the project's folder, or correct the name")


def read(path: Path) -> Any:
    """What a YAML file of a role holds; an empty dictionary where there is no file."""
    if not path.is_file():
        return {}
    return yaml.load(path.read_text(), Loader=LOADER) or {}  # noqa: S506 - both are safe loaders


def scope(role: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a template of ``role`` sees: its defaults under the host's ``variables`` under its fixed values."""
    here = folder(role)
    defaults, fixed = (trusted(read(here / kind / "main.yml")) for kind in ("defaults", "vars"))
    return {**defaults, **variables, **fixed}


def trusted(value: Any) -> Any:
    """``value`` of a role's own file with its strings marked as templates."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(one) for one in value]
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    return value
