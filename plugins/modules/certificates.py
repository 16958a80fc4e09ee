#!/usr/bin/python
"""Host side of ``certificates``: keys and certificates in their place, and what is there now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Validate or sign certificates, and install them
description:
  - Provided certificates are validated on the controller before any host is changed. The key must match, the names must
    be covered, the dates valid, and the chain must lead to a trusted authority. All problems are reported together.
  - A certificate without files is signed on the controller by the private authority in O(authority). The private key is
    generated on the host and never leaves it; the authority's key never leaves the controller.
  - One round trip if nothing is signed, two otherwise.
options:
  certificates:
    description:
      - The certificates. Each has C(name) (for the files C(<name>.crt) with the full chain, and C(<name>.key)) and
        C(names) (host names to cover).
      - Provided ones have C(certificate), as a path on the controller (a file in any usual form, or a folder) or PEM
        text, and where they are not in it C(key) and C(chain); C(passphrase) opens a key or PKCS#12 file.
    type: list
    elements: dict
    required: true
  authority:
    description: The private authority, with C(certificate) and C(key) as paths on the controller or PEM text.
    type: dict
  days:
    description: Validity of signed certificates, in days.
    type: int
    default: 365
  renew_days:
    description: Remaining days below which signed certificates are renewed and provided ones cause a warning.
    type: int
    default: 30
  requests:
    description: Folder on the controller with the requests of bought certificates, and what came back for them.
    type: path
  may_wait:
    description: Whether such a certificate may still be missing.
    type: bool
    default: true
  services:
    description:
      - Units that use the certificates, each with the addresses at which it shows one (C(host:port), for a database
        server C(mysql:host:port)). After a change they are reloaded, where they run; every address that showed a
        certificate before has to show the new one, else the former certificate comes back and the module fails.
    type: dict
    default: {}
  group:
    description: Group that may read the keys.
    type: str
    default: ssl-cert
extends_documentation_fragment: [encaja.portal.certificates]
author: encaja
"""

EXAMPLES = r"""
- name: Install the portal's certificate
  encaja.portal.certificates:
    certificates:
      - name: portal.example.org
        names: [portal.example.org]
        certificate: files/portal.crt
        key: "{{ vault_portal_key }}"
"""

RETURN = r"""
certificates:
  description: For each certificate its name, names, issuer, last day and days left.
  returned: always
  type: list
  elements: dict
served:
  description: What ports showed after a change, with name, unit, address and serial number.
  returned: always
  type: list
  elements: dict
"""

import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.certificate_store import (
    NotShownError,
    Store,
    group_number,
    public_key,
)


def place(store: Store, item: dict[str, Any]) -> dict[str, Any]:
    """Bring one certificate into use, or make the key of one that is yet to be signed; return what is there now."""
    name, certificate, key = item["name"], item["certificate"] or "", item["key"] or ""
    if item["requested"]:
        key = store.key_for(name, certificate)
        if not key:
            raise OSError(f"this host has not the key that {name} was requested with: run 'encaja certificate request'")
    elif not key:
        store.make_key(name)
        key = store.file(name, "key")
    if certificate:
        store.install(name, certificate, key, item["server_name"] or name)
    return {"name": name, "certificate": store.file(name, "crt"), "public_key": public_key(store.file(name, "key"))}


def main() -> None:
    """Run the module, with what the controller has checked and prepared."""
    module = AnsibleModule(
        argument_spec={
            "items": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "server_name": {"type": "str"},
                    "certificate": {"type": "str"},
                    "key": {"type": "str", "no_log": True},
                    "requested": {"type": "bool", "default": False},
                },
            },
            "folder": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
            "services": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        group = group_number(given["group"], check=module.check_mode)
        store = Store(Path(given["folder"]), group, given["services"], check=module.check_mode)
        store.prepare()
        seen = [place(store, item) for item in given["items"]]
    except KeyError:
        module.fail_json(msg=f"the group {given['group']} does not exist: install the package ssl-cert first")
    except (OSError, subprocess.SubprocessError) as fault:
        module.fail_json(msg=f"certificates cannot be installed in {given['folder']}: {fault}")
    except NotShownError as fault:
        module.fail_json(msg=str(fault))
    module.exit_json(changed=bool(store.changed), files_changed=store.changed, seen=seen, served=store.served)


if __name__ == "__main__":
    main()
