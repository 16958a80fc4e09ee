#!/usr/bin/python
"""Sees which restore the live portal stands on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_restored
short_description: See which restore the live portal stands on
description:
  - Tells the restore that the live tree came from, by the record that it wrote into its tree.
  - >-
    Fails where the restore that this host was told to make is not finished, or another tree is live: nothing that
    comes after a restore may pass on the portal that was there before.
  - A portal that the kit did not restore, and a neutralised copy, pass. Changes nothing.
options:
  restore:
    description: >-
      Name of the restore that the portal has to stand on; empty for the one of the host's job, V(any) for whatever is
      live.
    type: str
    default: ""
  job:
    description: The job of the host's restore.
    type: path
    default: /etc/encaja/restore.json
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: See which restore this portal stands on
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
    """Look; returns the module's result."""
    portal = open_portal(module)
    found = restored.look(
        portal.root,
        portal.database.name,
        is_copy=portal.option(*snapshot.NEUTRAL_MARKER) == "Y",
        wanted=module.params["restore"],
        job=Path(module.params["job"]),
    )
    if found.fault and module.check_mode:  # the restore of the same run has not been made
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
