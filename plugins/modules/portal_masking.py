#!/usr/bin/python
"""Masks the personal data of a copied portal and maintains its test users."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_masking
short_description: Mask personal data of a copied portal and maintain its test users
description:
  - Masks names, phone numbers and mail addresses by a list of rules, the same value with the same mask everywhere, and
    verifies that nothing unmasked is left. Masked values are recognised, so the module is idempotent.
  - Creates, changes and blocks test users only.
  - Fails on a host whose marker says production.
options:
  mask:
    description:
      - The rules, each with C(id), C(table), C(columns), C(as) (name, phone, mail, login or null) and
        optionally C(where) (a condition in SQL) and C(why). An empty list masks nothing.
    type: list
    elements: dict
    default: []
  users:
    description:
      - The test users, each with C(login) and C(password), and optionally C(name), C(last_name), C(email), C(groups)
        and
        C(department). Test users not in the list can no longer log in.
    type: list
    elements: dict
    default: []
  key_file:
    description: Key of the masks, generated once.
    type: path
    default: /var/lib/encaja/mask.key
extends_documentation_fragment: [encaja.portal.portal.copy]
author: encaja
"""

EXAMPLES = r"""
- name: Mask personal data
  encaja.portal.portal_masking:
    mask:
      - {id: employees, table: b_user, columns: [NAME, LAST_NAME], as: name}
"""

RETURN = r"""
masked:
  description: For each rule the number of masked rows, and its state (changed, masked or absent).
  returned: always
  type: list
  elements: dict
users:
  description: Login names of the test users that were created, changed or blocked.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    COPY_ARGUMENTS,
    cache,
    masking,
    open_copy,
    run,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Mask, then converge the test users; returns the module's result."""
    given = module.params
    database, settings = open_copy(module, "people of production are never masked")
    masked = []
    if given["mask"]:
        masking.check_rules(given["mask"])
        key = b"" if module.check_mode else masking.read_key(Path(given["key_file"]))
        masked = masking.mask(database, given["mask"], key, module.check_mode)
    users = masking.converge_users(database, given["users"], module.check_mode)
    changed = bool(users) or any(one.rows for one in masked)
    if changed and not module.check_mode:
        cache.purge(Path(given["root"]), settings)
    return {"masked": [vars(one) for one in masked], "users": users, "changed": changed}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "mask": {"type": "list", "elements": "dict", "default": []},
    "users": {"type": "list", "elements": "dict", "default": [], "no_log": True},
    "key_file": {"type": "path", "default": "/var/lib/encaja/mask.key"},
    **COPY_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, converge)
