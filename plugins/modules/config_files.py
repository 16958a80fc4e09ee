#!/usr/bin/python
"""Host side of ``config_files``: bring a list of files, directories and links to their state at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Place all configuration files of a component in one round trip
description:
  - Renders the templates of a role on the controller and converges every file, directory and link in one call.
  - One task per role in place of one per file, because what a run costs is round trips.
  - A file is written next to its destination and renamed. When O(validate) fails, every file is put back as it was.
options:
  files:
    description:
      - The items, in the order in which they are made. Each has exactly one of O(files[].template), O(files[].content),
        O(files[].copy), O(files[].directory), O(files[].link) and O(files[].absent).
      - Empty items are passed over, so that an item can be conditional.
    type: list
    elements: dict
    required: true
    suboptions:
      template:
        description: A template of the role, rendered on the controller and placed at O(files[].dest).
        type: str
      content:
        description: What the file at O(files[].dest) is to hold.
        type: str
      copy:
        description: A file of the role, placed at O(files[].dest) as it is.
        type: str
      directory:
        description: A directory; its parents are made with it.
        type: path
      link:
        description: A symbolic link that points to O(files[].to).
        type: path
      absent:
        description: A file or link that is removed. A directory is refused, since it may hold what nobody listed.
        type: path
      dest:
        description: Path of the file that O(files[].template), O(files[].content) or O(files[].copy) makes.
        type: path
      to:
        description: Where O(files[].link) points.
        type: str
      encoding:
        description: V(base64) where O(files[].content) is bytes in base64.
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
        description: Mode in octal digits; without it 0644, and 0755 for a directory.
        type: str
      secret:
        description: Whether the content stays out of diffs.
        type: bool
        default: false
      force:
        description: Whether a file that exists is changed at all.
        type: bool
        default: true
  validate:
    description: A command, without a shell, which must succeed when all files are in place.
    type: str
  fingerprint:
    description:
      - Name under which the host remembers that these items hold, for M(encaja.portal.converged).
      - Given by the action.
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
