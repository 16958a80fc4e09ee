"""Lookup ``certificate_faults``: what is wrong with the certificates that a host is to have."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.certificate_inputs import judge

DOCUMENTATION = r"""
name: certificate_faults
short_description: Validate certificates before a host is changed
description:
  - Validates the arguments of M(encaja.portal.certificates) on the controller, as that action does.
  - Returns the problems that would make it fail; an empty list if everything can be installed.
options:
  _terms:
    description: >-
      A dictionary of C(certificates), C(authority), C(trusted), C(renew_days), C(requests) and C(may_wait), as for the
      action.
    required: true
  warnings:
    description: Whether to return warnings instead of problems.
    type: bool
    default: false
author: encaja
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Judges certificates."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return a clause per fault, or per warning."""
        self.set_options(var_options=variables, direct=kwargs)
        self._variables = variables or {}
        found: list[str] = []
        for wanted in terms:
            judged = judge(
                self,
                wanted["certificates"],
                wanted["authority"],
                wanted["trusted"],
                int(wanted["renew_days"]),
                requests=wanted.get("requests", ""),
                may_wait=bool(wanted.get("may_wait", True)),
            )
            found += judged.warnings if self.get_option("warnings") else judged.faults
        return found

    def _find_needle(self, dirname: str, needle: str) -> str:
        found = self.find_file_in_search_path(self._variables, dirname, needle, ignore_missing=True)
        if found is None:
            raise AnsibleLookupError(f"{needle} does not exist on this machine")
        return str(found)
