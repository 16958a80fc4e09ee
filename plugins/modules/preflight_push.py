#!/usr/bin/python
"""Reads what a host sees of the push server: whether its release is installed, and a tarball at a URL."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_push
short_description: Inspect the push server's tarball before anything is installed
description:
  - The action of the same name uses the variables of role C(push). An installed release no longer requires its tarball.
  - A tarball on the controller is read there; one at a URL is downloaded by the host and not kept.
  - Changes nothing and does not fail; see RV(faults) for the problems.
options:
  hosts:
    description: >-
      Future entries of C(/etc/hosts), as a list of C(address) and C(names), which are used for name resolution.
    type: list
    elements: dict
    default: []
author: encaja
"""

EXAMPLES = r"""
- name: Inspect the push server's tarball
  encaja.portal.preflight_push:
"""

RETURN = r"""
faults:
  description: What is wrong, and how to fix it.
  returned: always
  type: list
  elements: dict
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.encaja.portal.plugins.module_utils.future_names import resolve_by
from ansible_collections.encaja.portal.plugins.module_utils.push_tarball import (
    DEBIAN_LIBRARIES,
    TarballError,
    read_tarball,
)

LIMIT = 1 << 26
"""Bytes beyond which an answer is no push server."""


def fetch(url: str, timeout: int) -> dict[str, Any]:
    """The tarball's hash and libraries, or the error."""
    try:
        with open_url(url, timeout=timeout) as answer:
            found = read_tarball(answer.read(LIMIT))
    except (OSError, ValueError) as error:
        return {"error": f"cannot be fetched: {getattr(error, 'reason', error)}"}
    except TarballError as error:
        return {"error": str(error)}
    return {"error": "", "sha256": found.sha256, "needed": list(found.needed), "held": list(found.held)}


def installed_libraries() -> list[str]:
    """The libraries of Debian packages that Node finds."""
    names = []
    for folder in DEBIAN_LIBRARIES:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            scoped = os.listdir(os.path.join(folder, name)) if name.startswith("@") else None
            names += [name] if scoped is None else [f"{name}/{inner}" for inner in scoped]
    return names


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "path", "required": True},
            "url": {"type": "str", "default": ""},
            "hosts": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    given = module.params
    resolve_by(given["hosts"])
    result: dict[str, Any] = {"present": os.path.isfile(os.path.join(given["release"], "package.json"))}
    if not result["present"]:
        result["libraries"] = installed_libraries()
        if given["url"]:
            result |= fetch(given["url"], given["timeout"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
