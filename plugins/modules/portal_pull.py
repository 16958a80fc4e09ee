#!/usr/bin/python
"""Connects a portal to the push server of the box."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_pull
short_description: Connect a portal to the push server of the box
description:
  - Removes rows of module pull from the cloud, which take precedence over the settings file, and writes the file's
    section.
  - Optionally verifies delivery by publishing a message as the portal does and receiving it as a browser does.
options:
  key:
    description: Key that signs channels, the same as the push server's.
    type: str
    required: true
  port:
    description: TCP port of the portal; 0 for the scheme's own.
    type: int
    default: 0
  publish_url:
    description: URL to which the portal publishes.
    type: str
    default: http://127.0.0.1:8895/bitrix/pub/
  mobile_port:
    description: Port of the mobile application's listener without TLS; 0 for the portal's own.
    type: int
    default: 8893
  mobile_port_secure:
    description: Port of the mobile application's listener with TLS; 0 for the portal's own.
    type: int
    default: 8894
  prove:
    description: The portal's host name, for verifying delivery; empty for no verification.
    type: str
    default: ""
  scheme:
    description: The portal's scheme, for this verification.
    type: str
    choices: [https, http]
    default: https
  connect_to:
    description: Address to connect to for this verification while the name does not resolve to this host yet.
    type: str
    default: ""
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Connect push & pull
  encaja.portal.portal_pull:
    key: "{{ encaja_push_key }}"
    prove: crm.example.com
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
    pull,
    run,
    settle,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Connect the portal (in check mode, only plan) and verify delivery; returns the module's result."""
    wanted = module.params
    policy = pull.PullPolicy(
        wanted["key"], wanted["port"], wanted["publish_url"], wanted["mobile_port"], wanted["mobile_port_secure"]
    )
    portal = open_portal(module)
    planned = pull.plan_pull(portal, policy)
    result = settle(module, portal, planned)
    if wanted["prove"] and not module.check_mode:
        result["proof"] = pull.prove(pull.section(policy), wanted["prove"], wanted["scheme"], wanted["connect_to"])
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "key": {"type": "str", "required": True, "no_log": True},
    "port": {"type": "int", "default": 0},
    "publish_url": {"type": "str", "default": "http://127.0.0.1:8895/bitrix/pub/"},
    "mobile_port": {"type": "int", "default": 8893},
    "mobile_port_secure": {"type": "int", "default": 8894},
    "prove": {"type": "str", "default": ""},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    "connect_to": {"type": "str", "default": ""},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
