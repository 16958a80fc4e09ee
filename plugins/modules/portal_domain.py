#!/usr/bin/python
"""Sets a restored portal's domain."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_domain
short_description: Set a restored portal's domain
description:
  - Sites, options, handlers, templates and files get the new host; values inside serialised PHP and JSON keep correct
    lengths and escapes. Users' texts are changed only in the columns of O(content).
  - Database and tree are scanned for remains of the old host.
options:
  content:
    description: Further columns, as C(table.column), in which the old host is replaced; C(*) for every text.
    type: list
    elements: str
    default: []
  scan:
    description: When to scan database and tree; C(changed) also scans when no earlier scan is recorded.
    type: str
    choices: [always, changed, never]
    default: changed
extends_documentation_fragment: [encaja.portal.portal, encaja.portal.portal.address]
author: encaja
"""

EXAMPLES = r"""
- name: Set the portal's domain
  encaja.portal.portal_domain:
    domain: crm.example.com
"""

RETURN = r"""
report:
  description: The findings.
  returned: always
  type: dict
portal_warnings:
  description: Problems that an administrator must solve.
  returned: always
  type: list
  elements: str
kept:
  description: Copies of the original files.
  returned: when files were changed
  type: list
  elements: str
purged:
  description: Caches that were purged.
  returned: when something was changed
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    ADDRESS_ARGUMENTS,
    PORTAL_ARGUMENTS,
    address,
    domain,
    open_portal,
    run,
    settle,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Set the portal's domain (in check mode, only plan); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    planned, change = domain.plan_domain(portal, address(module, tuple(wanted["content"])))
    result = settle(module, portal, planned, {"old_hosts": list(change.old)})
    noted = portal.state().get("remains")
    if (
        module.check_mode
        or wanted["scan"] == "never"
        or (wanted["scan"] == "changed" and noted and not planned.changed)
    ):
        result["remains"] = noted or {}
        return result
    found = domain.scan(portal, change.old)
    remains = {"tables": found.tables, "files": found.files[:200], "files_total": len(found.files)}
    portal.note(remains=remains)
    result["remains"] = remains
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "content": {"type": "list", "elements": "str", "default": []},
    "scan": {"type": "str", "choices": ["always", "changed", "never"], "default": "changed"},
    **ADDRESS_ARGUMENTS,
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
