#!/usr/bin/python
"""Sets and removes single constants and variables of a portal's ``dbconn.php``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_dbconn
short_description: Set constants and variables in a portal's dbconn.php
description:
  - The file is a program of its owner, so only the named C(define()) calls and assignments are touched; comments,
    conditions and everything else stay as they are. A new constant is put at the top, where it wins.
  - A definition that is the only body of an C(if) without braces is replaced by an empty statement when it is removed.
options:
  path:
    description: The file, usually C(bitrix/php_interface/dbconn.php) below the document root.
    type: path
    required: true
  define:
    description: Constants and their values.
    type: dict
    default: {}
  undefine:
    description: Constants that are removed, wherever the file defines them.
    type: list
    elements: str
    default: []
  variables:
    description: Variables (without C($)) and their values.
    type: dict
    default: {}
  secrets:
    description: Variables whose values are secret.
    type: dict
    default: {}
extends_documentation_fragment: [encaja.portal.portal.file]
author: encaja
"""

EXAMPLES = r"""
- name: Freeze agents and mail before the first start after a restore
  encaja.portal.portal_dbconn:
    path: /srv/portal/www/bitrix/php_interface/dbconn.php
    define: {NO_AGENT_CHECK: true, DisableEventsCheck: true}
"""

RETURN = r"""
backup_file:
  description: The copy of the file as it was.
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
    """Bring the file to its state (or say what would change); returns the module's result."""
    wanted = module.params
    path = Path(wanted["path"])
    before = php.decode(path.read_bytes()) if path.exists() else ""
    after, shown_before, shown_after = before, before, before
    for name in wanted["undefine"]:
        after, shown_after = php.edit_define(after, name), php.edit_define(shown_after, name)
    for name, value in wanted["define"].items():
        after, shown_after = php.edit_define(after, name, value), php.edit_define(shown_after, name, value)
    for name, value in wanted["variables"].items():
        after, shown_after = php.edit_variable(after, name, value), php.edit_variable(shown_after, name, value)
    for name, value in wanted["secrets"].items():
        hidden = settings.HIDDEN if php.read_variable(before, name) == value else settings.HIDDEN_CHANGED
        if php.read_variable(before, name) is not None:
            shown_before = php.edit_variable(shown_before, name, settings.HIDDEN)
        after, shown_after = php.edit_variable(after, name, value), php.edit_variable(shown_after, name, hidden)
    if after == before:
        return write_changed(module, path, None, None)
    headers = {"before_header": str(path), "after_header": str(path)}
    return write_changed(module, path, php.encode(after), {**headers, "before": shown_before, "after": shown_after})


ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "define": {"type": "dict", "default": {}},
    "undefine": {"type": "list", "elements": "str", "default": []},
    "variables": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    **FILE_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, converge)
