#!/usr/bin/python
"""Enables the users of a restored portal to log in again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_users
short_description: Enable the users of a restored portal to log in again
description:
  - Counts users who can log in and those who cannot, with reasons, and clears the mark of Bitrix24.Network from real
    employees.
  - Sends no mail without O(recovery=mail), which the release sets.
options:
  clear_marks:
    description: Whether to clear the mark of Bitrix24.Network. Pseudo-users are never changed.
    type: bool
    default: true
  guests:
    description: Whether to do the same for users without a department.
    type: bool
    default: false
  csv:
    description: File for a list of users and their states; empty for none.
    type: str
    default: ""
  csv_language:
    description: Language of that file.
    type: str
    choices: [en, es]
    default: en
  recovery:
    description:
      - How recovery links are sent. C(mail) has the kernel queue a mail for each user, one by one, and counts those
        that are in the queue; C(list) writes the links into O(recovery_csv) for distribution and sends no mail; C(none)
        does nothing.
      - The portal's security policies set how long a link is valid (two days by default).
    type: str
    choices: [none, mail, list]
    default: none
  recovery_again:
    description: Whether C(mail) also sends another link to users whose link has expired.
    type: bool
    default: false
  recovery_csv:
    description: The file for O(recovery=list). Its links allow setting these users' passwords.
    type: path
    default: /var/lib/encaja/settle/recovery.csv
  domain:
    description: The portal's host name, for the links; required with O(recovery).
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
- name: Enable login by password
  encaja.portal.portal_users:
    csv: /var/lib/encaja/portal-users.csv
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
recovery:
  description: >-
    How many links were queued (C(sent)) or C(listed), the validity of the shortest in C(minutes), and why users got
    none (C(refused), by id).
  returned: with O(recovery=mail) and O(recovery=list)
  type: dict
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

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    open_portal,
    recovery,
    run,
    settle,
    site,
    users,
    write_private,
)


def _list(portal: site.Portal, wanted: dict[str, Any]) -> dict[str, Any]:
    links, refused = recovery.listed(portal, f"{wanted['scheme']}://{wanted['domain']}")
    if links:
        path = Path(wanted["recovery_csv"])
        former = path.read_text("utf-8-sig") if path.exists() else ""
        write_private(path, recovery.as_csv(portal, links, wanted["csv_language"], former))
        recovery.note_listed(portal, [user.id for user, _ in links])
    return {"listed": len(links), "refused": refused}


def _recover(portal: site.Portal, wanted: dict[str, Any], result: dict[str, Any]) -> None:
    """Send or list the links; says who got none and why, and what has to be known of the others."""
    told = recovery.conditions(portal, recovery.waiting(portal))
    if wanted["recovery"] == "mail":
        done = recovery.mail(portal, wanted["domain"], again=wanted["recovery_again"])
    else:
        done = _list(portal, wanted)
    result["recovery"] = done
    result["changed"] = result["changed"] or bool(done.get("sent") or done.get("listed"))
    refused = [f"user {number} gets no recovery link: {why}" for number, why in done["refused"].items()]
    result["portal_warnings"] = [*result["portal_warnings"], *told, *refused]


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Clear marks (in check mode, only plan), write the lists, queue recovery mails; returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    planned, cured = users.plan_users(portal, clear_marks=wanted["clear_marks"], guests=wanted["guests"])
    noted = {**portal.state().get("recovery", {}), **cured} if cured else {}
    result = settle(module, portal, planned, {"recovery": noted} if noted else {})
    if module.check_mode:
        if wanted["recovery"] != "none":
            waiting = recovery.due(
                portal,
                without_mail=wanted["recovery"] == "list",
                again=wanted["recovery"] == "list" or wanted["recovery_again"],
            )
            result["changed"] = result["changed"] or bool(waiting)
        return result
    if wanted["csv"]:
        people = users.read_users(portal, users.pending_recovery(portal))
        written = write_private(Path(wanted["csv"]), users.as_csv(people, wanted["csv_language"]))
        result["changed"] = result["changed"] or written
    if wanted["recovery"] != "none":
        _recover(portal, wanted, result)
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "clear_marks": {"type": "bool", "default": True},
    "guests": {"type": "bool", "default": False},
    "csv": {"type": "str", "default": ""},
    "csv_language": {"type": "str", "choices": ["en", "es"], "default": "en"},
    "recovery": {"type": "str", "choices": ["none", "mail", "list"], "default": "none"},
    "recovery_again": {"type": "bool", "default": False},
    "recovery_csv": {"type": "path", "default": "/var/lib/encaja/settle/recovery.csv"},
    "domain": {"type": "str", "default": ""},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
