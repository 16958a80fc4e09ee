#!/usr/bin/python
"""Sets how a portal works by itself: agents, waiting mail, sessions, and the frost."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_background_work
short_description: Set how a portal works by itself
description:
  - Sends agents to cron, holds (or purges, or releases) mail that was waiting when the backup was made, relaxes
    policies that log people out, and completes task comments.
  - O(frozen) keeps agents and mail still until the release step clears it.
options:
  frozen:
    description: Whether the freeze switches stand in C(dbconn.php). C(keep) sets them until the first release.
    type: str
    choices: [keep, "yes", "no"]
    default: keep
  mail:
    description: What becomes of mail that was waiting in the backup.
    type: str
    choices: [hold, purge, release]
    default: hold
  session_minutes:
    description: The shortest time without activity after which a group's policy may end a session.
    type: int
    default: 1440
  all_agents_on_cron:
    description: Whether no agent runs on pages.
    type: bool
    default: true
  fast_download:
    description: Whether the web server hands out files instead of PHP; the web role prepares it.
    type: bool
    default: true
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Keep the portal still until it is released
  encaja.portal.portal_background_work:
    frozen: keep
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
    background_work,
    open_portal,
    run,
    settle,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Bring the portal's own work to its state (or say what would change); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    frozen = not portal.state().get("released", False) if wanted["frozen"] == "keep" else wanted["frozen"] == "yes"
    policy = background_work.WorkPolicy(
        frozen, wanted["mail"], wanted["session_minutes"], wanted["all_agents_on_cron"], wanted["fast_download"]
    )
    planned, notes = background_work.plan_work(portal, policy)
    if wanted["frozen"] != "keep":
        notes["released"] = not frozen
    return settle(module, portal, planned, notes)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "frozen": {"type": "str", "choices": ["keep", "yes", "no"], "default": "keep"},
    "mail": {"type": "str", "choices": ["hold", "purge", "release"], "default": "hold"},
    "session_minutes": {"type": "int", "default": 1440},
    "all_agents_on_cron": {"type": "bool", "default": True},
    "fast_download": {"type": "bool", "default": True},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
