#!/usr/bin/python
"""Chooses a portal's search engine and rebuilds its index."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_search
short_description: Choose a portal's search engine and rebuild its index
description:
  - The index is rebuilt through the portal's own kernel, in steps, with progress in
    C(/var/lib/encaja/reindex/status.json), and checked with known words afterwards.
options:
  engine:
    description: The engine.
    type: str
    choices: [bitrix, mysql, sphinx]
    default: bitrix
  sphinx:
    description: Address of Sphinx.
    type: str
    default: 127.0.0.1:9306
  reindex:
    description: When the index is rebuilt. C(needed) when it is empty, another engine's, or does not find known words.
    type: str
    choices: [needed, always, never]
    default: needed
  domain:
    description: The portal's host name, for addresses in the index.
    type: str
    required: true
  root:
    description: The portal's document root.
    type: path
    default: /srv/portal/www
  state:
    description: Directory in which earlier runs noted what they found.
    type: path
    default: /var/lib/encaja/settle
  fpm_socket:
    description: Socket of the portal's PHP-FPM pool, whose memory caches are emptied when something changed.
    type: path
    default: /run/php/portal.sock
author: encaja
"""

EXAMPLES = r"""
- name: Rebuild the search index where it is needed
  portal_search:
    domain: crm.example.com
"""

RETURN = r"""
report:
  description: What was found.
  returned: always
  type: dict
portal_warnings:
  description: What a person should know; nothing was done about it.
  returned: always
  type: list
  elements: str
kept:
  description: Copies of files as they were.
  returned: when files were changed
  type: list
  elements: str
purged:
  description: Caches that were emptied.
  returned: when something was changed
  type: list
  elements: str
"""

import datetime
import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.portal_library import PORTAL_ARGUMENTS, files, kernel, open_portal, run, search, settle

STATUS = Path("/var/lib/encaja/reindex/status.json")


def _rebuild(root: Path, domain: str) -> int:
    STATUS.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    begun = time.time()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def progress(done: int, owner: str, *, phase: str = "reindex", error: str | None = None) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        rate = done / max(time.time() - begun, 0.001)
        status = {
            "phase": phase, "message": owner, "done": done, "total": 0, "unit": "records", "rate": round(rate, 1),
            "eta_seconds": None, "started": started, "updated": now, "error": error,
        }  # fmt: skip
        files.write(STATUS, json.dumps(status).encode(), files.Attributes(mode=0o644))

    progress(0, "")
    try:
        done = kernel.reindex(root, domain, progress)
    except Exception as fault:
        progress(0, "", phase="failed", error=str(fault))
        raise
    progress(done, "", phase="done")
    return done


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Choose the engine and rebuild the index (or say what would change); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    before = portal.option("search", "full_text_engine")
    planned = search.plan_search(portal, wanted["engine"], wanted["sphinx"])
    result = settle(module, portal, planned)
    state = planned.report
    due = search.needs_reindex(state) or (bool(before) and before != wanted["engine"])
    if wanted["reindex"] == "always" or (wanted["reindex"] == "needed" and due):
        result["changed"] = True
        if not module.check_mode:
            result["reindexed"] = _rebuild(portal.root, wanted["domain"])
            result["report"] = search.index_state(portal, wanted["engine"], wanted["sphinx"])
    return result


ARGUMENTS: dict[str, dict[str, Any]] = {
    "engine": {"type": "str", "choices": list(search.ENGINES), "default": "bitrix"},
    "sphinx": {"type": "str", "default": "127.0.0.1:9306"},
    "reindex": {"type": "str", "choices": ["needed", "always", "never"], "default": "needed"},
    "domain": {"type": "str", "required": True},
    **PORTAL_ARGUMENTS,
}


if __name__ == "__main__":
    run(ARGUMENTS, converge)
