#!/usr/bin/python
"""Merges sections into a portal's ``.settings.php``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_settings
short_description: Merge sections into a portal's .settings.php
description:
  - Reads the array that the file returns, merges sections into it and writes it in the format of the portal's kernel.
    An unchanged file is not written, so its comments are kept.
  - A file that is not plain data (closure, function call, syntax error) is not changed and reported with its line.
options:
  path:
    description: The file, usually C(bitrix/.settings.php) below the document root. It is created if missing.
    type: path
    required: true
  sections:
    description: Sections to merge into the file, each C({value, readonly}). Must not contain secrets.
    type: dict
    default: {}
  secrets:
    description: Secret values by dotted path, as C(connections.value.default.password).
    type: dict
    default: {}
  replace:
    description: Sections to replace by those in O(sections) instead of merging.
    type: list
    elements: str
    default: []
  absent:
    description: Dotted paths to remove (a section, or one value in it).
    type: list
    elements: str
    default: []
extends_documentation_fragment: [encaja.portal.portal.file]
author: encaja
"""

EXAMPLES = r"""
- name: Set the portal's database
  encaja.portal.portal_settings:
    path: /srv/portal/www/bitrix/.settings.php
    sections:
      connections: {value: {default: {host: localhost, database: portal, login: portal}}, readonly: true}
    secrets:
      connections.value.default.password: "{{ portal_database_password }}"
    owner: www-data
    group: www-data
    mode: "0640"
"""

RETURN = r"""
backup_file:
  description: Copy of the original file.
  returned: when a file was changed
  type: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    FILE_ARGUMENTS,
    php,
    run,
    settings,
    write_changed,
)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Converge the file (in check mode, only plan); returns the module's result."""
    wanted = module.params
    path = Path(wanted["path"])
    before = php.parse_settings(php.decode(path.read_bytes()), str(path)) if path.exists() else {}
    after = settings.converge(before, wanted["sections"], wanted["secrets"], wanted["replace"], wanted["absent"])
    if before == after and path.exists():
        return write_changed(module, path, None, None)
    return write_changed(module, path, php.encode(php.render_settings(after)), settings.diff(before, after, str(path)))


ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "sections": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "replace": {"type": "list", "elements": "str", "default": []},
    "absent": {"type": "list", "elements": "str", "default": []},
    **FILE_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, converge)
