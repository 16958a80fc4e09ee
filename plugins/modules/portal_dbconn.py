#!/usr/bin/python
"""Sets and removes constants and variables of a portal's ``dbconn.php``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_dbconn
short_description: Set constants and variables in a portal's dbconn.php
description:
  - The file is a program of the portal's owner, so only the named C(define()) calls and assignments are changed;
    comments, conditions and everything else are kept. A new constant is added at the top, where it takes precedence.
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
    description: Constants to remove, wherever the file defines them.
    type: list
    elements: str
    default: []
  variables:
    description: Variables (without C($)) and their values.
    type: dict
    default: {}
  secrets:
    description: Variables with secret values.
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
