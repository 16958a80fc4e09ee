"""Lookup ``role_values``: one list made of ``<role>_<suffix>`` of several roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DOCUMENTATION = r"""
name: role_values
short_description: Joins the lists that several roles give under the same suffix
description:
  - For every role named, takes the variable C(<role>_<suffix>) as the host has it, else as the role's defaults say it.
  - Used to install the packages of all roles of a host in one transaction, and to open the ports of all of them.
options:
  _terms:
    description: The suffix, then the names of the roles.
    required: true
author: encaja
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read values from host variables first, then from ``roles/<role>/defaults/main.yml``."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **_: Any) -> list[Any]:
        """Return the joined list without repetitions, in order."""
        suffix, *roles = self._flatten(terms)
        joined: list[Any] = []
        for role in roles:
            for value in self._values(role, f"{role}_{suffix}", variables or {}):
                if value not in joined:
                    joined.append(value)
        return joined

    def _values(self, role: str, name: str, variables: dict[str, Any]) -> list[Any]:
        if name in variables:
            value = self._templar.template(variables[name])
        else:
            defaults = self._defaults(role)
            if name not in defaults:
                return []
            scope = {**{key: _trusted(given) for key, given in defaults.items()}, **variables}
            value = self._templar.copy_with_new_env(available_variables=scope).template(_trusted(defaults[name]))
        if not isinstance(value, list):
            raise AnsibleLookupError(f"role_values: {name} must be a list, it is {type(value).__name__}")
        return value

    def _defaults(self, role: str) -> dict[str, Any]:
        for folder in constants.DEFAULT_ROLES_PATH or []:
            path = Path(folder) / role / "defaults" / "main.yml"
            if path.is_file():
                return read(path)
        raise AnsibleLookupError(f"role_values: there is no role {role!r} in {constants.DEFAULT_ROLES_PATH}")


def read(path: Path) -> dict[str, Any]:
    """What a YAML file of a role holds, with libyaml where Python has it."""
    loaded: dict[str, Any] = yaml.load(path.read_text(), Loader=LOADER) or {}  # noqa: S506 - both are safe loaders
    return loaded


def _trusted(value: Any) -> Any:
    """Mark every string of a role's own defaults as a template."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [_trusted(one) for one in value]
    if isinstance(value, dict):
        return {key: _trusted(one) for key, one in value.items()}
    return value
