"""Lookup ``role_lists``: one list made of the YAML files in a folder of a role."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.role_values import lists
from encaja.errors import EncajaError

DOCUMENTATION = r"""
name: role_lists
short_description: Join the lists in the YAML files of a role's folder
description:
  - Joins the lists of C(files/<folder>/*.yml) of a role, by the files' names.
  - Used for data of which there is much, as the rules about a copy, wherever the role's variables are read.
options:
  _terms:
    description: The role, then the folder.
    required: true
author: encaja
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read what a role keeps as data."""

    def run(self, terms: list[Any], variables: Any = None, **_: Any) -> list[Any]:  # noqa: ARG002
        """Return the joined list, in order."""
        role, name = self._flatten(terms)
        try:
            return lists(role, name)
        except EncajaError as fault:
            raise AnsibleLookupError(f"role_lists: {fault}") from fault
