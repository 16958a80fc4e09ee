#!/usr/bin/python
"""Host side of ``trust_store``: the certificate authorities that all programs of the host trust."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trust_store
short_description: Install your own certificate authorities in a host's trust store
description:
  - Installs authorities in Debian's trust store, which OpenSSL uses, and with it PHP, curl, Python and MariaDB's
    programs. Those no longer listed are removed.
  - The certificates are validated on the controller first. Each must be a valid certificate of an authority.
  - Inspects the store itself, so that the next run completes one that was killed before the store was rebuilt.
options:
  trusted:
    description: Authorities, PEM text or paths on the controller; a file may hold several.
    type: list
    elements: str
    default: []
  authority:
    description: The private authority that signs the estate's certificates, PEM text or a path on the controller.
    type: str
    default: ""
  authority_name:
    description: Base name of its file.
    type: str
    default: encaja-lab
  folder:
    description: Debian's directory for local authorities. The module manages everything in C(encaja) below it.
    type: path
    default: /usr/local/share/ca-certificates
author: encaja
"""

EXAMPLES = r"""
- name: Install the company's certificate authority
  encaja.portal.trust_store:
    trusted: [files/company-root.crt]
"""

RETURN = r"""
placed:
  description: Files that were installed.
  returned: always
  type: list
  elements: str
removed:
  description: Files that were removed.
  returned: always
  type: list
  elements: str
"""

import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import records
from ansible_collections.encaja.portal.plugins.module_utils.trusted_roots import converge


def main() -> None:
    """Run the module, with what the controller has checked."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "folder": {"type": "path", "required": True},
            "owned": {"type": "str", "required": True},
            "fingerprint": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        result = converge(Path(given["folder"]), given["owned"], given["files"], module.check_mode)
    except subprocess.CalledProcessError as fault:
        module.fail_json(msg=f"update-ca-certificates failed: {(fault.stderr or fault.stdout or '').strip()[-300:]}")
    except OSError as fault:
        module.fail_json(msg=f"authorities cannot be placed: {fault.filename}: {fault.strerror}")
    if given["fingerprint"] and not module.check_mode:
        records.remember(given["fingerprint"], {"roots": {key: given[key] for key in ("folder", "owned", "files")}})
    module.exit_json(**result)


if __name__ == "__main__":
    main()
