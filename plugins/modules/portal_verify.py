#!/usr/bin/python
"""Verifies a portal and its host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_verify
short_description: Verify a portal and its host
description:
  - Runs the checks of the case (ten dangers, three bugs), of the licence, the vendor's two server tests as far as
    possible from outside, and a simple performance check. Changes nothing in the portal.
  - Some checks require a temporary page, table or files, which are removed immediately; they are skipped in check mode.
options:
  connect_to:
    description: Address to connect to while the name does not resolve to this host yet.
    type: str
    default: ""
  session_minutes:
    description: Minimum minutes of inactivity after which a session may end.
    type: int
    default: 1440
  trusted_proxies:
    description: Proxies in front of the portal whose forwarded client address must be trusted.
    type: list
    elements: str
    default: []
  carry_over:
    description: Directory of the carry-over's state.
    type: path
    default: /var/lib/encaja/carry-over
  restore:
    description: >-
      Name of the restore that the portal must come from; empty for the one in the host's job, V(any) for any live
      portal.
    type: str
    default: ""
  rules:
    description:
      - The rules that neutralise a copy. On a copy, their values are expected and required; a copy that is not inert is
        an error.
    type: list
    elements: dict
    default: []
  silence:
    description: The rules about what is switched off until the release.
    type: list
    elements: dict
    default: []
  environment:
    description: File that names the host's environment.
    type: path
    default: /etc/encaja/environment
  inert:
    description: File that proves that the host's copy is inert.
    type: path
    default: /etc/encaja/neutralised
  only:
    description: Prefixes of the ids of the checks to run; empty for all.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [encaja.portal.portal, encaja.portal.portal.address]
author: encaja
"""

EXAMPLES = r"""
- name: Verify the portal
  encaja.portal.portal_verify:
    domain: crm.example.com
  register: verification
"""

RETURN = r"""
verification:
  description: Findings of all checks, their counts, and the number of differences (errors found).
  returned: always
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    ADDRESS_ARGUMENTS,
    PORTAL_ARGUMENTS,
    address,
    carry_over_state,
    checks_case,
    checks_copy,
    checks_licence,
    checks_server,
    checks_silence,
    checks_web,
    copy_state,
    held_mail,
    lead_rates,
    open_portal,
    outbox,
    run,
    silence,
    verify,
)


def look(module: AnsibleModule) -> dict[str, Any]:
    """Run the checks; returns the module's result."""
    wanted = module.params
    scene = verify.Scene(
        open_portal(module), address(module), Path(wanted["fpm_socket"]), wanted["connect_to"],
        wanted["session_minutes"], tuple(wanted["trusted_proxies"]), Path(wanted["carry_over"]),
        wanted["restore"], rules=tuple(wanted["rules"]),
        silence=tuple(wanted["silence"]), environment=Path(wanted["environment"]),
        inert=Path(wanted["inert"]),
    )  # fmt: skip
    checks = [
        check
        for group in (checks_case, checks_copy, checks_licence, checks_server, checks_silence, checks_web)
        for check in group.CHECKS
    ]
    if module.check_mode:
        checks = [check for check in checks if check.id not in checks_web.TOUCHING]
    found = verify.verify(scene, checks, wanted["only"], remember=not module.check_mode)
    found["leads"] = lead_rates.by_hour(scene.portal)
    found["outbox"] = outbox.waiting(scene.portal) if scene.portal.has(silence.TABLE) else held_mail.waiting()
    return {"changed": False, "verification": found}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "connect_to": {"type": "str", "default": ""},
    "session_minutes": {"type": "int", "default": 1440},
    "trusted_proxies": {"type": "list", "elements": "str", "default": []},
    "carry_over": {"type": "path", "default": str(carry_over_state.FOLDER)},
    "restore": {"type": "str", "default": ""},
    "rules": {"type": "list", "elements": "dict", "default": []},
    "silence": {"type": "list", "elements": "dict", "default": []},
    "environment": {"type": "path", "default": str(copy_state.ENVIRONMENT)},
    "inert": {"type": "path", "default": str(copy_state.PROOF)},
    "only": {"type": "list", "elements": "str", "default": []},
    **ADDRESS_ARGUMENTS,
    **PORTAL_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, look)
