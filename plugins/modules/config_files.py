#!/usr/bin/python
"""Host side of ``config_files``: converges a list of files, directories and links in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Converge all configuration files of a component in one round trip
description:
  - Renders a role's templates on the controller and converges every file, directory and link in one call.
  - One task per role instead of one per file, because round trips dominate the duration of a run.
  - Files are replaced atomically. When O(validate) fails, every file is restored.
options:
  files:
    description:
      - The items, in the order of creation. Each has exactly one of O(files[].template), O(files[].content),
        O(files[].copy), O(files[].directory), O(files[].link) and O(files[].absent).
      - Empty items are skipped, so that an item can be conditional.
    type: list
    elements: dict
    required: true
    suboptions:
      template:
        description: A template of the role, rendered on the controller for O(files[].dest).
        type: str
      content:
        description: Content of the file at O(files[].dest).
        type: str
      copy:
        description: A file of the role, copied to O(files[].dest).
        type: str
      directory:
        description: A directory, created with its parents.
        type: path
      link:
        description: A symbolic link that points to O(files[].to).
        type: path
      absent:
        description: A file or link to remove. Fails on a directory, which may contain other files.
        type: path
      dest:
        description: Path of the file for O(files[].template), O(files[].content) or O(files[].copy).
        type: path
      to:
        description: Target of O(files[].link).
        type: str
      encoding:
        description: Encoding of O(files[].content).
        type: str
        choices: [text, base64]
        default: text
      owner:
        description: Owner of a file or directory.
        type: str
        default: root
      group:
        description: Group of a file or directory.
        type: str
        default: root
      mode:
        description: Mode in octal digits; by default 0644, and 0755 for a directory.
        type: str
      secret:
        description: Whether to keep the content out of diffs.
        type: bool
        default: false
      force:
        description: Whether to change an existing file.
        type: bool
        default: true
  validate:
    description: A command, run without a shell, that must succeed with all files in place.
    type: str
  fingerprint:
    description:
      - Name under which the host records that these items have converged, for M(encaja.portal.converged).
      - Set by the action.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Configure nginx
  encaja.portal.config_files:
    files:
      - {template: nginx.conf.j2, dest: /etc/nginx/nginx.conf}
      - {absent: /etc/nginx/sites-enabled/default}
    validate: nginx -t
  notify: Reload nginx
"""

RETURN = r"""
files_changed:
  description: Paths that were (or, in check mode, would be) changed.
  returned: always
  type: list
  elements: str
"""

import shlex
import subprocess

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import records
from ansible_collections.encaja.portal.plugins.module_utils.file_items import OPTIONS, RULES, Converger, recorded


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS, **RULES},
            "validate": {"type": "str"},
            "fingerprint": {"type": "str"},
        },
        supports_check_mode=True,
    )
    files = module.params["files"]
    converger = Converger(module)
    error = ""
    try:
        for item in files:
            converger.converge(item)
        command = module.params["validate"]
        if command and converger.changed and not module.check_mode:
            done = subprocess.run(
                shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines()
                error = f"'{command}' refused the new files, the old ones are back: {' / '.join(lines[-5:])}"
    except (OSError, ValueError) as fault:
        error = f"{fault}; the files of this task are as they were before"
    if error:
        converger.restore()
    converger.close()
    if error:
        module.fail_json(msg=error)
    if module.params["fingerprint"] and not module.check_mode:
        records.remember(module.params["fingerprint"], {"files": [recorded(item) for item in files]})
    module.exit_json(changed=bool(converger.changed), files_changed=converger.changed, diff=converger.diffs)


if __name__ == "__main__":
    main()
