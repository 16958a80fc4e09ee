"""Lookup ``sha256``: the digest of a file on the controller."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: sha256
short_description: Compute the SHA-256 of files on the controller
description:
  - Reads the files as bytes. The stock lookups read text, so that P(ansible.builtin.file#lookup) with the filter
    P(ansible.builtin.hash#filter) fails on an archive, and M(ansible.builtin.stat) is a task, which a rule about a
    role's arguments cannot run.
options:
  _terms:
    description: Paths of the files.
    required: true
author: encaja
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Hash files."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **_: Any) -> list[str]:  # noqa: ARG002
        """Return one hash per path, in lower-case hexadecimal digits."""
        hashes = []
        for path in self._flatten(terms):
            try:
                with Path(path).open("rb") as file:
                    hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
            except OSError as fault:
                raise AnsibleLookupError(f"sha256: {path}: {fault.strerror}") from fault
        return hashes
