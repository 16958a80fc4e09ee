#!/usr/bin/python
"""Checks which restore the live portal comes from."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_restored
short_description: Check which restore the live portal comes from
description:
  - Reads the record that the restore wrote into the live tree.
  - >-
    Fails if the restore last requested on this host is not finished, or another tree is live, so that no later step
    works on a previous portal.
  - Accepts a portal that the kit did not restore, and a neutralised copy. Changes nothing.
options:
  restore:
    description: >-
      Name of the restore that the portal must come from; empty for the one in the host's job, V(any) for any live
      portal.
    type: str
    default: ""
  job:
    description: Job file of the host's restore.
    type: path
    default: /etc/encaja/restore.json
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Check which restore the portal comes from
  encaja.portal.portal_restored:
"""

RETURN = r"""
restore:
  description: The record of the restore (C(stamp), C(archive), C(database) …), C(tree), C(copy) and C(evidence).
  returned: always
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    open_portal,
    restored,
    run,
    snapshot,
)


def look(module: AnsibleModule) -> dict[str, Any]:
    """Inspect the portal; returns the module's result."""
    portal = open_portal(module)
    found = restored.look(
        portal.root,
        portal.database.name,
        is_copy=portal.option(*snapshot.NEUTRAL_MARKER) == "Y",
        wanted=module.params["restore"],
        job=Path(module.params["job"]),
    )
    if found.fault and module.check_mode:  # the restore of the same run has not taken place
        module.warn(found.fault)
    elif found.fault:
        raise EncajaError(found.fault, str(portal.root), found.hint)
    return {"changed": False, "restore": found.report, "msg": found.evidence}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "restore": {"type": "str", "default": ""},
    "job": {"type": "path", "default": str(restored.JOB)},
    **PORTAL_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, look)
