"""Lookup ``role_values``: one list made of ``<role>_<suffix>`` of several roles."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.role_values import scope
from encaja.errors import EncajaError

DOCUMENTATION = r"""
name: role_values
short_description: Join the lists of several roles' variables with the same suffix
description:
  - Joins the variables C(<role>_<suffix>) of the named roles, from the host's variables or else the role's defaults.
  - Used to install the packages of all roles of a host in one transaction, and to open all their ports.
options:
  _terms:
    description: The suffix, then the names of the roles.
    required: true
author: encaja
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read values as the roles themselves would see them."""

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
            return self._list(name, self._templar.template(variables[name]))
        try:
            seen = scope(role, variables)
        except EncajaError as fault:
            raise AnsibleLookupError(f"role_values: {fault}") from fault
        if name not in seen:
            return []
        return self._list(name, self._templar.copy_with_new_env(available_variables=seen).template(seen[name]))

    def _list(self, name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise AnsibleLookupError(f"role_values: {name} must be a list, it is {type(value).__name__}")
        return value
