#!/usr/bin/python
"""Sets and removes options of a portal's modules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_options
short_description: Set and remove options of a portal's modules
description:
  - Changes C(b_option) and C(b_option_site) directly and purges the portal's caches only when something changed.
  - Values of options with a name for secrets are not shown.
options:
  options:
    description: Options to set, each with C(module), C(name), C(value) and, for one site only, C(site).
    type: list
    elements: dict
    default: []
    suboptions:
      module:
        description: The module.
        type: str
        required: true
      name:
        description: The option, case-insensitive.
        type: str
        required: true
      value:
        description: The value as text.
        type: str
        required: true
      site:
        description: The site for which it is set.
        type: str
        default: ""
  absent:
    description: Options to remove (for all sites), as C(module.name), or C(module.*) for all of a module.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Disable the check for updates
  encaja.portal.portal_options:
    options:
      - {module: main, name: update_autocheck, value: "0"}
    absent: [rest.service_client_secret]
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
    PORTAL_ARGUMENTS,
    open_portal,
    plan,
    run,
    settle,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Converge the options (in check mode, only plan); returns the module's result."""
    portal = open_portal(module)
    wanted = plan.Plan()
    for item in module.params["absent"]:
        owner, _, name = item.partition(".")
        names = {option for found, option in portal.options if found == owner} | {
            option for found, option, _ in portal.site_options if found == owner
        }
        for option in sorted(names) if name == "*" else [name]:
            portal.remove_option(wanted, owner, option)
    for item in module.params["options"]:
        portal.set_option(wanted, item["module"], item["name"], item["value"], item["site"])
    return settle(module, portal, wanted)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "options": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "module": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "required": True, "no_log": False},
            "site": {"type": "str", "default": ""},
        },
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
