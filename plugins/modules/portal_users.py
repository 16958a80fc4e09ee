#!/usr/bin/python
"""Lets the people of a restored portal log in again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_users
short_description: Let the people of a restored portal log in again
description:
  - Counts who can log in and who cannot and why, and clears the mark of Bitrix24.Network from real employees.
  - Nobody is mailed before O(recovery=mail), which the release step sets.
options:
  clear_marks:
    description: Clear the mark of Bitrix24.Network. Pseudo-users are never touched.
    type: bool
    default: true
  guests:
    description: Also for people without a department.
    type: bool
    default: false
  csv:
    description: A file in which the people and their states are written for an administrator; empty for none.
    type: str
    default: ""
  csv_language:
    description: Language of that file.
    type: str
    choices: [en, es]
    default: en
  recovery:
    description:
      - What everybody who waits for a recovery link gets now. C(mail) queues a mail in each user's language, C(list)
        writes the links into O(recovery_csv) for somebody to hand out and mails nobody, C(none) does nothing.
      - How long a link holds is the portal's security policy (a day, unless it was changed).
    type: str
    choices: [none, mail, list]
    default: none
  recovery_csv:
    description: The file for O(recovery=list). Whoever has it can set these people's passwords.
    type: path
    default: /var/lib/encaja/settle/recovery.csv
  domain:
    description: The portal's host name, for the links; needed with O(recovery).
    type: str
    default: ""
  scheme:
    description: The portal's scheme, for the links.
    type: str
    choices: [https, http]
    default: https
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Let employees log in with login and password
  encaja.portal.portal_users:
    csv: /var/lib/encaja/portal-users.csv
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

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    files,
    open_portal,
    recovery,
    run,
    settle,
    site,
    users,
)


def _write(path: Path, text: str) -> bool:
    data = text.encode("utf-8-sig")
    if path.exists() and path.read_bytes() == data:
        return False
    files.write(path, data, files.Attributes(mode=0o600))
    return True


def _list(portal: site.Portal, wanted: dict[str, Any]) -> dict[str, Any]:
    links, refused = recovery.listed(portal, f"{wanted['scheme']}://{wanted['domain']}")
    if links:
        _write(Path(wanted["recovery_csv"]), recovery.as_csv(links, wanted["csv_language"]))
        had = portal.state().get("recovery_sent", [])
        portal.note(recovery_sent=sorted({*had, *(user.id for user, _ in links)}))
    return {"listed": len(links), "refused": refused}


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Clear marks (or say what would change), write the lists, queue recovery mails; returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    planned, cured = users.plan_users(portal, clear_marks=wanted["clear_marks"], guests=wanted["guests"])
    noted = {**portal.state().get("recovery", {}), **cured} if cured else {}
    result = settle(module, portal, planned, {"recovery": noted} if noted else {})
    if module.check_mode:
        if wanted["recovery"] != "none":
            waiting = recovery.due(portal, without_mail=wanted["recovery"] == "list")
            result["changed"] = result["changed"] or bool(waiting)
        return result
    if wanted["csv"]:
        people = users.read_users(portal, users.pending_recovery(portal))
        written = _write(Path(wanted["csv"]), users.as_csv(people, wanted["csv_language"]))
        result["changed"] = result["changed"] or written
    if wanted["recovery"] == "mail":
        result["recovery"] = recovery.mail(portal, wanted["domain"])
        result["changed"] = result["changed"] or result["recovery"]["sent"] > 0
    if wanted["recovery"] == "list":
        result["recovery"] = _list(portal, wanted)
        result["changed"] = result["changed"] or result["recovery"]["listed"] > 0
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "clear_marks": {"type": "bool", "default": True},
    "guests": {"type": "bool", "default": False},
    "csv": {"type": "str", "default": ""},
    "csv_language": {"type": "str", "choices": ["en", "es"], "default": "en"},
    "recovery": {"type": "str", "choices": ["none", "mail", "list"], "default": "none"},
    "recovery_csv": {"type": "path", "default": "/var/lib/encaja/settle/recovery.csv"},
    "domain": {"type": "str", "default": ""},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
