#!/usr/bin/python
"""Configures a portal's background work: agents, queued mail, sessions, and the freeze."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_background_work
short_description: Configure a portal's background work
description:
  - Moves agents to cron, holds (or purges, or releases) mail that was queued when the backup was made, relaxes
    policies that log users out, and completes task comments.
  - O(frozen) stops agents and mail until the release clears it, and with O(silence) workflows, robots and triggers.
options:
  frozen:
    description: Whether the constants for the freeze are in C(dbconn.php). C(keep) sets them until the first release.
    type: str
    choices: [keep, "yes", "no"]
    default: keep
  mail:
    description: Handling of mail that was queued in the backup.
    type: str
    choices: [hold, purge, release]
    default: hold
  session_minutes:
    description: Minimum minutes of inactivity after which a group's policy may end a session.
    type: int
    default: 1440
  all_agents_on_cron:
    description: Whether all agents run on cron instead of page views.
    type: bool
    default: true
  fast_download:
    description: Whether the web server delivers files instead of PHP; requires role C(web).
    type: bool
    default: true
  silence:
    description:
      - Rules that say what is switched off in the data while the portal is frozen, and put back byte for byte when it
        is not. While it is frozen, the host's mailer (role C(mail)) keeps what PHP sends at once.
    type: list
    elements: dict
    default: []
  queues:
    description:
      - What happens at the first release to what waits in the portal's queues (text messages, messages of the
        Messenger, events for applications, letters that PHP sent at once and so on), by kind; C(release), C(hold) or
        C(purge). Kinds that are not
        named are released. Only used with O(frozen=no).
    type: dict
    default: {}
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Freeze agents and mail until the release
  encaja.portal.portal_background_work:
    frozen: keep
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
    background_proof,
    background_work,
    held_mail,
    open_portal,
    outbox,
    plan,
    run,
    settle,
    silence,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Converge the portal's background work (in check mode, only plan); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    released = bool(portal.state().get("released", False))
    frozen = not released if wanted["frozen"] == "keep" else wanted["frozen"] == "yes"
    decided = plan.Plan()
    if not frozen and not module.check_mode:
        is_frozen = background_work.is_frozen(portal)
        decided = outbox.decide(portal, wanted["queues"], frozen=is_frozen, released=released)
        portal, released = open_portal(module), True
    policy = background_work.WorkPolicy(
        frozen, wanted["mail"], wanted["session_minutes"], wanted["all_agents_on_cron"], wanted["fast_download"],
        tuple(wanted["silence"]), wanted["queues"], released,
    )  # fmt: skip
    planned, notes = background_work.plan_work(portal, policy)
    if wanted["frozen"] != "keep":
        if not frozen and not portal.state().get("released", False):
            notes["released_at"] = background_proof.moment(portal)
        notes["released"] = not frozen
    result = settle(module, portal, planned, notes)
    result["changed"] |= decided.changed
    result["diff"] = [*decided.diff(), *result["diff"]]
    if frozen:
        result["changed"] |= held_mail.hold(check=module.check_mode)
    elif not module.check_mode:
        outbox.end(portal)
        silence.drop_empty(portal.database)
        held_mail.let_pass()
        letters = held_mail.decide(wanted["queues"].get(held_mail.KIND, "release"))
        result["changed"] |= bool(letters["sent"] or letters["purged"])
        result["report"]["immediate_mail"] = letters
        if letters["fault"]:
            result["portal_warnings"].append(
                f"{letters['left']} letters could not be sent ({letters['fault']}): run the release again"
            )
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "frozen": {"type": "str", "choices": ["keep", "yes", "no"], "default": "keep"},
    "mail": {"type": "str", "choices": ["hold", "purge", "release"], "default": "hold"},
    "session_minutes": {"type": "int", "default": 1440},
    "all_agents_on_cron": {"type": "bool", "default": True},
    "fast_download": {"type": "bool", "default": True},
    "silence": {"type": "list", "elements": "dict", "default": []},
    "queues": {"type": "dict", "default": {}},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
