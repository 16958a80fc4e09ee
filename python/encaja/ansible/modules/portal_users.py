#!/usr/bin/python
"""Lets the people of a restored portal log in again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_users
short_description: Let the people of a restored portal log in again
description:
  - Counts who can log in and who cannot and why, and clears the mark of Bitrix24.Network from real employees.
  - Nobody is mailed before O(send_recovery) is set, which the release step does.
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
  send_recovery:
    description: Queue a recovery mail, in each user's language, for everybody who waits for one.
    type: bool
    default: false
  domain:
    description: The portal's host name, for the links in those mails; needed with O(send_recovery).
    type: str
    default: ""
  root:
    description: The portal's document root.
    type: path
    default: /srv/portal/www
  state:
    description: Directory in which earlier runs noted what they found.
    type: path
    default: /var/lib/encaja/settle
  fpm_socket:
    description: Socket of the portal's PHP-FPM pool, whose memory caches are emptied when something changed.
    type: path
    default: /run/php/portal.sock
author: encaja
"""

EXAMPLES = r"""
- name: Let employees log in with login and password
  portal_users:
    csv: /root/portal-users.csv
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
from ansible.module_utils.portal_library import PORTAL_ARGUMENTS, files, kernel, open_portal, run, settle, site, users


def _recover(portal: site.Portal, domain: str) -> dict[str, Any]:
    waiting = frozenset(users.pending_recovery(portal))
    people = [
        {"id": user.id, "login": user.login, "email": user.email}
        for user in users.read_users(portal, waiting)
        if user.id in waiting and user.reason == "recovery" and user.email
    ]
    sent = portal.state().get("recovery_sent", [])
    people = [person for person in people if person["id"] not in sent]
    if not people:
        return {"sent": 0, "refused": {}}
    answers = kernel.send_recovery(portal.root, domain, people, portal.root.resolve().parent / ".encaja-recovery.json")
    done = [number for number, problem in answers.items() if not problem]
    portal.note(recovery_sent=sorted({*sent, *done}))
    return {"sent": len(done), "refused": {str(number): text for number, text in answers.items() if text}}


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Clear marks (or say what would change), write the list, queue recovery mails; returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    planned, cured = users.plan_users(portal, clear_marks=wanted["clear_marks"], guests=wanted["guests"])
    noted = {**portal.state().get("recovery", {}), **cured} if cured else {}
    result = settle(module, portal, planned, {"recovery": noted} if noted else {})
    if module.check_mode:
        return result
    if wanted["csv"]:
        people = users.read_users(portal, users.pending_recovery(portal))
        text = users.as_csv(people, wanted["csv_language"]).encode("utf-8-sig")
        path = Path(wanted["csv"])
        if not path.exists() or path.read_bytes() != text:
            files.write(path, text, files.Attributes(mode=0o600))
            result["changed"] = True
    if wanted["send_recovery"]:
        result["recovery"] = _recover(portal, wanted["domain"])
        result["changed"] = result["changed"] or result["recovery"]["sent"] > 0
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "clear_marks": {"type": "bool", "default": True},
    "guests": {"type": "bool", "default": False},
    "csv": {"type": "str", "default": ""},
    "csv_language": {"type": "str", "choices": ["en", "es"], "default": "en"},
    "send_recovery": {"type": "bool", "default": False},
    "domain": {"type": "str", "default": ""},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
