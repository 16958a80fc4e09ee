#!/usr/bin/python
"""Waits until a released portal's background work is proven to run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_background_proof
short_description: Wait until a released portal's agents, mail and Messenger are proven to run
description:
  - Reads the rows that they leave (C(b_agent), C(b_event) and the Messenger's tables) until agents of both kinds have
    run since the release, mail has been sent and messages have been worked off.
  - What had nothing to do counts as proven.
  - Fails if something is still unproven at the end. Overdue and crashed agents are named in RV(portal_warnings).
  - Does nothing before the release.
options:
  timeout:
    description: Seconds to wait.
    type: int
    default: 180
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Wait until agents, mail and Messenger are proven to run
  encaja.portal.portal_background_proof:
    timeout: 180
"""

RETURN = r"""
report:
  description: What the rows say.
  returned: always
  type: dict
portal_warnings:
  description: Overdue and crashed agents, mail that could not be sent.
  returned: always
  type: list
  elements: str
summary:
  description: What ran, in one line.
  returned: when the portal is released
  type: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    background_proof,
    open_portal,
    run,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Wait for the proof; returns the module's result."""
    portal = open_portal(module)
    since = portal.state().get("released_at")
    if module.check_mode or not since or not portal.state().get("released"):
        return {"changed": False, "report": {}, "portal_warnings": []}
    signs, wrong = background_proof.wait_for_proof(portal, since, module.params["timeout"])
    if wrong:
        raise EncajaError(
            "; ".join(wrong), portal.database.name, "read 'journalctl -u encaja-portal-cron' and run the release again"
        )
    failed = background_proof.failed_mail(signs)
    warnings = [*background_proof.failing_agents(signs), *background_proof.stuck_queues(signs)]
    if failed:
        warnings.append(f"could not be sent: {failed}")
    return {
        "changed": False,
        "report": asdict(signs),
        "portal_warnings": warnings,
        "summary": background_proof.summary(signs),
    }


ARGUMENTS: dict[str, dict[str, Any]] = {
    "timeout": {"type": "int", "default": 180},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
