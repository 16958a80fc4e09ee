#!/usr/bin/python
"""Turns a restored cloud portal into a boxed one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_cloud
short_description: Turn a restored cloud portal into a boxed one
description:
  - Removes the module row and constants that switch the kernel to the cloud's behaviour, credentials of the cloud's
    services, its CDN and its licence.
  - Takes stock of REST applications, bots and files in buckets, and switches off what cannot work in the box.
options:
  licence:
    description: Licence key of the box; empty leaves the file alone.
    type: str
    default: ""
  applications:
    description: What becomes of market applications until they are installed anew.
    type: str
    choices: [deactivate, keep]
    default: deactivate
  bots:
    description: What becomes of bots that cannot work in the box.
    type: str
    choices: [deactivate, keep]
    default: deactivate
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Remove settings of the cloud
  encaja.portal.portal_cloud:
    licence: "{{ encaja_licence_key }}"
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
    cloud,
    open_portal,
    run,
    settle,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Turn the portal into a boxed one (or say what would change); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    policy = cloud.CloudPolicy(wanted["licence"], wanted["applications"], wanted["bots"])
    return settle(module, portal, cloud.plan_cloud(portal, policy))


ARGUMENTS: dict[str, dict[str, Any]] = {
    "licence": {"type": "str", "default": "", "no_log": True},
    "applications": {"type": "str", "choices": ["deactivate", "keep"], "default": "deactivate"},
    "bots": {"type": "str", "choices": ["deactivate", "keep"], "default": "deactivate"},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
