#!/usr/bin/python
"""Reads what a host sees of a backup: the head of the first volume at a link, or the files of a folder."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_backup
short_description: Inspect a backup from the host that will restore it
description:
  - Requests the first bytes at a link, or lists a folder. The action of the same name evaluates them.
  - Changes nothing and does not fail; see RV(faults) for the problems and RV(bytes) for the size.
options:
  source:
    description: Link to the first volume, or a folder on the host; empty for no inspection.
    type: str
    default: ""
  volumes:
    description: Number of volumes of an archive that does not contain it; 0 for unknown.
    type: int
    default: 0
  hosts:
    description: >-
      Future entries of C(/etc/hosts), as a list of C(address) and C(names), which are used for name resolution.
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds to wait for a server.
    type: int
    default: 20
author: encaja
"""

EXAMPLES = r"""
- name: Inspect the backup
  encaja.portal.preflight_backup:
    source: "{{ encaja_backup_source }}"
"""

RETURN = r"""
faults:
  description: What is wrong, and how to fix it.
  returned: always
  type: list
  elements: dict
bytes:
  description: Size of all volumes, derived from some of them; 0 for unknown.
  returned: always
  type: int
volumes:
  description: Number of volumes; 0 for unknown.
  returned: always
  type: int
"""

import base64
import os
import urllib.error
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.encaja.portal.plugins.module_utils.future_names import resolve_by

HEAD_BYTES = 1 << 16
PAGE_BYTES = 1 << 20


def _ask(url: str, limit: int, timeout: int) -> dict[str, Any]:
    """Status, first bytes and total size of the file at a URL."""
    headers = {"Range": f"bytes=0-{limit - 1}", "Accept-Encoding": "identity"}
    try:
        with open_url(url, headers=headers, timeout=timeout) as answer:
            total = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
            size = total if total.isdigit() else answer.headers.get("Content-Length") or "0"
            return {"status": answer.status, "head": answer.read(limit), "size": int(size), "error": ""}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "head": b"", "size": 0, "error": str(error.reason)}
    except (OSError, ValueError) as error:
        return {"status": 0, "head": b"", "size": 0, "error": str(getattr(error, "reason", error))}


def look_at_link(url: str, folder: str, timeout: int) -> dict[str, Any]:
    """The head of the first volume, and the folder's index page if requested."""
    found = _ask(url, HEAD_BYTES, timeout)
    page = _ask(folder, PAGE_BYTES, timeout)["head"] if folder else b""
    return {**found, "head": base64.b64encode(found["head"]).decode(), "page": page.decode("utf-8", "replace")}


def look_at_volumes(urls: list[str], timeout: int) -> dict[str, Any]:
    """Status and size of the file at each URL."""
    answers = [_ask(url, 1, timeout) for url in urls]
    return {"answers": [[answer["status"], answer["size"]] for answer in answers]}


def look_at_folder(folder: str, first: str) -> dict[str, Any]:
    """The files of a folder with their sizes, and the head of the one named `first`."""
    try:
        files = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()}
    except OSError as error:
        return {"files": {}, "head": "", "error": error.strerror or str(error)}
    head = b""
    if first in files:
        with open(os.path.join(folder, first), "rb") as stream:
            head = stream.read(HEAD_BYTES)
    return {"files": files, "head": base64.b64encode(head).decode(), "error": ""}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "no_log": True},
            "page": {"type": "str", "no_log": True},
            "urls": {"type": "list", "elements": "str", "no_log": True},
            "folder": {"type": "path"},
            "first": {"type": "str", "default": ""},
            "hosts": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 20},
        },
        mutually_exclusive=[("url", "urls", "folder")],
        required_one_of=[("url", "urls", "folder")],
        supports_check_mode=True,
    )
    given = module.params
    resolve_by(given["hosts"])
    if given["url"]:
        found = look_at_link(given["url"], given["page"] or "", given["timeout"])
    elif given["urls"]:
        found = look_at_volumes(given["urls"], given["timeout"])
    else:
        found = look_at_folder(given["folder"], given["first"])
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
