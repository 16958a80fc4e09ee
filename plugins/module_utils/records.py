"""The host's records of tasks that have converged it, so that one query can find which of them still hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically

PATH = "/var/lib/encaja/converged.json"
MOST = 80  # a host has about thirty; the oldest are dropped first, and recorded again when their task runs


def read() -> dict[str, dict[str, Any]]:
    """The records by fingerprint; none if they cannot be read, since tasks work without them."""
    try:
        with open(PATH, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {fingerprint: record for fingerprint, record in known if isinstance(record, dict)}


def remember(fingerprint: str, record: Mapping[str, Any]) -> None:
    """Add a record, instead of the same one under an older name."""
    known = read()
    if known.get(fingerprint) == record:
        return
    others = [(name, other) for name, other in known.items() if name != fingerprint and other != record]
    os.makedirs(os.path.dirname(PATH), mode=0o755, exist_ok=True)
    # Readable by root only: it names files that only root may see.
    write_atomically(Path(PATH), json.dumps(dict([*others, (fingerprint, record)][-MOST:])).encode(), durable=False)
