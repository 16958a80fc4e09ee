#!/usr/bin/python
"""Masks the personal data of a copied portal, and keeps its test users."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_masking
short_description: Masks personal data of a copied portal, and keeps its test users
description:
  - Masks names, telephone numbers and mail addresses by a list of rules, the same value alike wherever it stands, and
    proves that nothing unmasked is left. A masked value is known as one, so the module can be run again at any time.
  - Makes, changes and shuts out test users, and no others.
  - Refuses a host whose marker says production.
options:
  mask:
    description:
      - The rules, each with C(id), C(table), C(columns), C(as) (name, phone, mail, login or nothing) and perhaps
        C(where) (a condition in SQL) and C(why). Nothing is masked when the list is empty.
    type: list
    elements: dict
    default: []
  users:
    description:
      - The test users, each with C(login) and C(password), and perhaps C(name), C(last_name), C(email), C(groups) and
        C(department). Test users that are not in the list cannot log in any more.
    type: list
    elements: dict
    default: []
  key_file:
    description: The key of the masks; made once.
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
  description: Per rule the number of rows that were masked, and its state (changed, masked or absent).
  returned: always
  type: list
  elements: dict
users:
  description: Log-in names of the test users that were made, changed or shut out.
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
    """Mask, then keep the test users; returns the module's result."""
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
