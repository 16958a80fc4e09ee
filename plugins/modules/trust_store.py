#!/usr/bin/python
"""Host side of ``trust_store``: the authorities that every program of the host believes."""

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

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically

STORE = Path("/etc/ssl/certs")
BUNDLE = "ca-certificates.crt"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def certificates(text: str) -> set[str]:
    """The certificates of a PEM file, without white space."""
    return {re.sub(r"\s+", "", body) for body in _CERTIFICATE.findall(text)}


def read(path: Path) -> str:
    """A file's text, empty where there is none."""
    return path.read_text(encoding="ascii", errors="replace") if path.is_file() else ""


def place(path: Path, text: str) -> None:
    """Write a file in one step, on the disk before it has its name."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomically(path, text.encode("ascii"), 0o644)


def left_behind(store: Path, owned: Path) -> bool:
    """Whether the store still leads to a file that is gone: a run was cut off before the store was made anew."""
    if not store.is_dir():
        return False
    links = (Path(entry.path) for entry in os.scandir(store) if entry.is_symlink())
    return any(str(link.readlink()).startswith(f"{owned}/") and not link.exists() for link in links)


def converge(folder: Path, owned: str, files: dict[str, str], check: bool, store: Path = STORE) -> dict[str, Any]:
    """Bring the store to what is wanted (or say what would change); returns the module's result.

    Raises:
        CalledProcessError: Debian's program failed.
    """
    mine = folder / owned
    wanted = {folder / name: text for name, text in files.items()}
    placed = [path for path, text in wanted.items() if read(path) != text]
    removed = [path for path in sorted(mine.glob("*.crt")) if path not in wanted]
    cleared = bool(removed) or left_behind(store, mine)
    held = certificates(read(store / BUNDLE))
    missing = any(not certificates(text) <= held for text in wanted.values())
    changed = bool(placed) or cleared or missing
    if changed and not check:
        for path in placed:
            place(path, wanted[path])
        for path in removed:
            path.unlink()
        # Debian's program leaves links to what is gone, unless it makes all of them anew.
        subprocess.run(
            ["update-ca-certificates", *(["--fresh"] if cleared else [])], capture_output=True, text=True, check=True
        )
    return {"changed": changed, "placed": [str(path) for path in placed], "removed": [str(path) for path in removed]}


def main() -> None:
    """Run the module, with what the controller has checked."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "folder": {"type": "path", "required": True},
            "owned": {"type": "str", "required": True},
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
    module.exit_json(**result)


if __name__ == "__main__":
    main()
