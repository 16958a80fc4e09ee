#!/usr/bin/python
"""Takes a snapshot of a host for a comparison."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Take a snapshot of a host for a comparison
description:
  - Reads system, packages, timers and crontabs; on a database's host MariaDB's variables; on a portal's host also PHP,
    nginx, options, sites, modules, settings files and the number of rows of every table. Changes nothing.
  - Every value leaves the host as a keyed digest, with its text only if it is not secret.
options:
  environment:
    description: The host's environment.
    type: str
    required: true
  functions:
    description: The host's functions; C(portal) and C(database) are used.
    type: list
    elements: str
    default: []
  names:
    description: Domain, host names and addresses of the environment.
    type: list
    elements: str
    default: []
  salt:
    description: The key of the digests, the same on all hosts of a comparison.
    type: str
    required: true
  rules:
    description: The rules that neutralise a copy, to distinguish their effects from differences.
    type: list
    elements: dict
    default: []
  root:
    description: The portal's document root.
    type: path
    default: /srv/portal/www
  fpm_socket:
    description: Socket of the portal's PHP-FPM pool.
    type: path
    default: /run/php/portal.sock
  database_socket:
    description: Socket of MariaDB; empty for the default.
    type: str
    default: ""
author: encaja
"""

EXAMPLES = r"""
- name: Take a snapshot
  encaja.portal.snapshot:
    environment: production
    functions: [portal, database]
    names: [crm.example.com]
    salt: "{{ compare_salt }}"
  no_log: true
  register: compare_snapshot
"""

RETURN = r"""
snapshot:
  description: Values by section and name, what could not be read, and what neutralisation has set.
  returned: always
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import run, snapshot


def look(module: AnsibleModule) -> dict[str, Any]:
    """Take the snapshot; returns the module's result."""
    given = module.params
    place = snapshot.Place(
        given["environment"], given["functions"], given["names"], Path(given["root"]), Path(given["fpm_socket"]),
        given["database_socket"],
    )  # fmt: skip
    return {"changed": False, "snapshot": snapshot.take(place, given["salt"], given["rules"])}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "environment": {"type": "str", "required": True},
    "functions": {"type": "list", "elements": "str", "default": []},
    "names": {"type": "list", "elements": "str", "default": []},
    "salt": {"type": "str", "required": True, "no_log": True},
    "rules": {"type": "list", "elements": "dict", "default": []},
    "root": {"type": "path", "default": "/srv/portal/www"},
    "fpm_socket": {"type": "path", "default": "/run/php/portal.sock"},
    "database_socket": {"type": "str", "default": ""},
}

if __name__ == "__main__":
    run(ARGUMENTS, look)
