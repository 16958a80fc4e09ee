#!/usr/bin/python
"""Sets and removes options of a portal's modules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_options
short_description: Set and remove options of a portal's modules
description:
  - Works on C(b_option) and C(b_option_site) directly and empties the portal's caches only when something changed.
  - Values of options whose name says that they are secret are not shown.
options:
  options:
    description: Options that are set, each with C(module), C(name), C(value) and, for one site only, C(site).
    type: list
    elements: dict
    default: []
    suboptions:
      module:
        description: The module.
        type: str
        required: true
      name:
        description: The option; case does not matter.
        type: str
        required: true
      value:
        description: Its value as text.
        type: str
        required: true
      site:
        description: The site for which it is set.
        type: str
        default: ""
  absent:
    description: Options that are removed (for all sites), as C(module.name); C(module.*) for all of a module.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Let the portal ask nobody for updates
  encaja.portal.portal_options:
    options:
      - {module: main, name: update_autocheck, value: "0"}
    absent: [rest.service_client_secret]
"""

RETURN = r"""
report:
  description: What was found.
  returned: always
  type: dict
portal_warnings:
  description: What a person should know; nothing was done about it.
  returned: always
  type: list
  elements: str
kept:
  description: Copies of files as they were.
  returned: when files were changed
  type: list
  elements: str
purged:
  description: Caches that were emptied.
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
    """Bring the options to their values (or say what would change); returns the module's result."""
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
