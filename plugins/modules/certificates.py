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
"""

import grp
import os
import subprocess
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

CURVE = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


class Store:
    """The directory of certificates on the host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.check: bool = module.check_mode
        self.folder: str = module.params["folder"]
        self.changed: list[str] = []
        try:
            self.group = grp.getgrnam(module.params["group"]).gr_gid
        except KeyError:
            if not self.check:
                raise
            self.group = 0

    def directory(self) -> None:
        """Create the directory, readable by all; the keys have their own mode."""
        if not os.path.isdir(self.folder):
            self.changed.append(self.folder)
            if not self.check:
                os.makedirs(self.folder, mode=0o755)

    def path(self, name: str) -> str:
        """Return the path of a file in the directory."""
        return os.path.join(self.folder, name)

    def read(self, name: str) -> str:
        """Return a file's text, empty if there is none."""
        if not os.path.isfile(self.path(name)):
            return ""
        with open(self.path(name), encoding="ascii", errors="replace") as stream:
            return stream.read()

    def _beside(self, name: str, text: str, mode: int, group: int) -> str:
        handle, staged = tempfile.mkstemp(prefix=f".{name}.", dir=self.folder)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(staged, 0, group)
        os.chmod(staged, mode)
        return staged

    def write(self, files: dict[str, tuple[str, int, int]]) -> None:
        """Write related files (name to text, mode, group); all are complete before the first is renamed."""
        differ = {name: wanted for name, wanted in files.items() if self.read(name) != wanted[0]}
        if differ and not self.check:
            ready = [(self._beside(name, *wanted), self.path(name)) for name, wanted in differ.items()]
            for staged, path in ready:
                os.rename(staged, path)
        self.changed += [self.path(name) for name in differ]
        for name, (_, mode, group) in files.items():
            self._attributes(name, mode, group)

    def _attributes(self, name: str, mode: int, group: int) -> None:
        path = self.path(name)
        if not os.path.exists(path):
            return
        now = os.stat(path)
        if (now.st_mode & 0o7777, now.st_uid, now.st_gid) == (mode, 0, group):
            return
        if path not in self.changed:
            self.changed.append(path)
        if not self.check:
            os.chown(path, 0, group)
            os.chmod(path, mode)

    def make_key(self, name: str) -> None:
        """Generate a private key if there is none."""
        if self.read(name):
            self._attributes(name, 0o640, self.group)
            return
        self.changed.append(self.path(name))
        if not self.check:
            made = subprocess.run(["openssl", "genpkey", *CURVE], capture_output=True, text=True, check=True).stdout
            os.rename(self._beside(name, made, 0o640, self.group), self.path(name))

    def public_key(self, name: str) -> str:
        """Return the public half of a key in PEM, empty if there is none that openssl can read."""
        if not os.path.isfile(self.path(name)):
            return ""
        asked = ["openssl", "pkey", "-pubout", "-in", self.path(name), "-passin", "pass:"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


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
                    "certificate": {"type": "str"},
                    "key": {"type": "str", "no_log": True},
                },
            },
            "folder": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    seen: list[dict[str, Any]] = []
    try:
        store = Store(module)
        store.directory()
        for item in module.params["items"]:
            certificate, key = f"{item['name']}.crt", f"{item['name']}.key"
            if item["key"]:
                store.write({key: (item["key"], 0o640, store.group), certificate: (item["certificate"], 0o644, 0)})
            else:
                store.make_key(key)
                if item["certificate"]:
                    store.write({certificate: (item["certificate"], 0o644, 0)})
            seen.append(
                {
                    "name": item["name"],
                    "certificate": store.read(certificate),
                    "public_key": store.public_key(key),
                }
            )
    except KeyError:
        module.fail_json(msg=f"the group {module.params['group']} does not exist: install the package ssl-cert first")
    except (OSError, subprocess.CalledProcessError) as fault:
        module.fail_json(msg=f"certificates cannot be installed in {module.params['folder']}: {fault}")
    module.exit_json(changed=bool(store.changed), files_changed=store.changed, seen=seen)


if __name__ == "__main__":
    main()
