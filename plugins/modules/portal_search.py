#!/usr/bin/python
"""Sets a portal's search engine and rebuilds its index."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_search
short_description: Set a portal's search engine and rebuild its index
description:
  - The index is rebuilt through the portal's own kernel, in steps, with progress in
    C(/var/lib/encaja/reindex/status.json), and checked with known words afterwards. An interrupted rebuild is
    continued.
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
    description: >-
      When to rebuild the index. C(needed) if it is empty, belongs to another engine, or does not find known words.
    type: str
    choices: [needed, always, never]
    default: needed
  domain:
    description: The portal's host name, for addresses in the index.
    type: str
    required: true
extends_documentation_fragment: [encaja.portal.portal]
author: encaja
"""

EXAMPLES = r"""
- name: Rebuild the search index where needed
  encaja.portal.portal_search:
    domain: crm.example.com
"""

RETURN = r"""
report:
  description: The findings.
  returned: always
  type: dict
portal_warnings:
  description: Problems that an administrator must solve.
  returned: always
  type: list
  elements: str
kept:
  description: Copies of the original files.
  returned: when files were changed
  type: list
  elements: str
purged:
  description: Caches that were purged.
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

from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    PORTAL_ARGUMENTS,
    files,
    kernel,
    open_portal,
    run,
    search,
    settle,
    site,
)

STATUS = Path("/var/lib/encaja/reindex/status.json")


def _rebuild(portal: site.Portal, engine: str, domain: str) -> int:
    """Rebuild the index, or continue an interrupted run with the same engine; returns the number of records."""
    STATUS.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    broken_off = portal.state().get("reindex") or {}
    what = {"engine": engine, "of": search.identity(portal)}
    state = broken_off.get("state", {}) if {**broken_off, **what} == broken_off else {}
    total, before, begun = search.expected_records(portal), int(state.get("CNT") or 0), time.time()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def show(done: int, phase: str = "reindex", error: str | None = None) -> None:
        rate = (done - before) / max(time.time() - begun, 0.001)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        status = {
            "phase": phase, "message": f"search index ({engine})", "done": done, "total": max(total, done),
            "unit": "records", "rate": round(rate, 1), "started": started, "updated": now, "error": error,
            "eta_seconds": round(max(total - done, 0) / rate) if rate > 0 else None,
        }  # fmt: skip
        files.write(STATUS, json.dumps(status).encode(), files.Attributes(mode=0o644))

    def step(done: int, reached: dict[str, Any]) -> None:
        portal.note(reindex={**what, "state": reached})
        show(done)

    step(before, state)
    try:
        done = kernel.reindex(portal.root, domain, step, state)
    except Exception as fault:
        show(before, "failed", str(fault))
        raise
    portal.note(reindex=None, indexed=done)
    show(done, "done")
    return done


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Set the engine and rebuild the index (in check mode, only plan); returns the module's result."""
    wanted = module.params
    portal = open_portal(module)
    before = portal.option("search", "full_text_engine")
    planned = search.plan_search(portal, wanted["engine"], wanted["sphinx"])
    result = settle(module, portal, planned)
    unfinished = portal.state().get("reindex") is not None
    due = search.needs_reindex(planned.report) or unfinished or (bool(before) and before != wanted["engine"])
    if wanted["reindex"] == "always" or (wanted["reindex"] == "needed" and due):
        result["changed"] = True
        if not module.check_mode:
            result["reindexed"] = _rebuild(portal, wanted["engine"], wanted["domain"])
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
