#!/usr/bin/python
"""Registers a boxed portal at the vendor's application service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_registration
short_description: Register a boxed portal at the vendor's application service
description:
  - Has the portal's kernel register it, which needs the box's licence and a way to the vendor. Outgoing webhooks and
    every application need it.
  - Counts as done when the portal has its new pair. That of the cloud's portal does not count;
    M(encaja.portal.portal_cloud) removes it.
options:
  domain:
    description: The portal's host name, by which the vendor will know it.
    type: str
    required: true
  scheme:
    description: The portal's scheme.
    type: str
    choices: [https, http]
    default: https
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Register the portal
  encaja.portal.portal_registration:
    domain: crm.example.com
"""

RETURN = r"""
applications:
  description: How many webhooks and applications have which fate.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    applications,
    open_portal,
    run,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Register the portal unless it is (in check mode, say whether it is not); returns the module's result."""
    portal = open_portal(module)
    changed = not applications.is_registered(portal)
    if changed and not module.check_mode:
        portal = applications.register(portal, module.params["domain"], module.params["scheme"])
    return {"changed": changed, "applications": applications.summary(applications.inventory(portal))}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "domain": {"type": "str", "required": True},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
