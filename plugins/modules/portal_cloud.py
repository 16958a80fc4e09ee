#!/usr/bin/python
"""Turns a restored cloud portal into a boxed one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_cloud
short_description: Turn a restored cloud portal into a boxed one
description:
  - Removes the module row and constants that enable the cloud's behaviour in the kernel, and credentials of the
    cloud's services, its CDN and its licence.
  - Lists REST applications, bots and files in buckets, and deactivates what cannot work in the box.
options:
  licence:
    description: Licence key of the box; empty leaves the file unchanged.
    type: str
    default: ""
  applications:
    description: Handling of the cloud's applications, local ones too, until they are made or installed again.
    type: str
    choices: [deactivate, keep]
    default: deactivate
  bots:
    description: Handling of bots that cannot work in the box.
    type: str
    choices: [deactivate, keep]
    default: deactivate
  csv:
    description: File for a list of applications and webhooks and what becomes of each; empty for none.
    type: str
    default: ""
  csv_language:
    description: Language of that file.
    type: str
    choices: [en, es]
    default: en
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Remove settings of the cloud
  encaja.portal.portal_cloud:
    licence: "{{ encaja_licence_key }}"
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

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    applications,
    cloud,
    open_portal,
    run,
    settle,
    site,
    write_private,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Turn the portal into a boxed one (in check mode, only plan); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    policy = cloud.CloudPolicy(wanted["licence"], wanted["applications"], wanted["bots"])
    note = applications.cloud_note(portal, off=policy.applications == "deactivate")
    result = settle(module, portal, cloud.plan_cloud(portal, policy), {"cloud_rest": note})
    if wanted["csv"] and not module.check_mode:
        listed = applications.as_csv(
            applications.inventory(site.Portal(portal.root, portal.state_directory)), wanted["csv_language"]
        )
        result["changed"] = write_private(Path(wanted["csv"]), listed) or result["changed"]
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "licence": {"type": "str", "default": "", "no_log": True},
    "applications": {"type": "str", "choices": ["deactivate", "keep"], "default": "deactivate"},
    "bots": {"type": "str", "choices": ["deactivate", "keep"], "default": "deactivate"},
    "csv": {"type": "str", "default": ""},
    "csv_language": {"type": "str", "choices": ["en", "es"], "default": "en"},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
