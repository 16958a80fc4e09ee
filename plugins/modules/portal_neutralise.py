#!/usr/bin/python
"""Makes a copied portal inert by a list of rules, and verifies that nothing live is left."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_neutralise
short_description: Make a copied portal inert
description:
  - Applies every rule to the portal's database, purges the option cache after changes, and counts what is still live;
    anything left is an error.
  - Fails on a host whose marker says production.
  - Fails on columns and options with values that look like credentials or endpoints and that no rule covers, unless
    they are in O(acknowledged). Serialised, JSON and packed values are read; one that cannot be read is a warning.
  - Writes O(proof), without which M(encaja.portal.isolation) does not release the copy.
  - With O(state=check) it inspects the portal that will be copied, which may be production, and changes nothing.
    Rules that cannot be applied to it, and what no rule covers, are reported together.
options:
  state:
    description: Whether to make the portal inert, or inspect it before it is copied.
    type: str
    choices: [inert, check]
    default: inert
  rules:
    description:
      - The rules, each with C(id) and C(why), and C(table), C(live), and C(make) or C(delete); C(table), and C(empty)
        or C(scrub); C(sweep); C(walk); C(options); or C(fresh).
    type: list
    elements: dict
    required: true
  acknowledged:
    description: Tables, columns as C(table.column), or options as C(module.name), that have been reviewed.
    type: list
    elements: str
    default: []
  proof:
    description: File that proves that the host's copy is inert.
    type: path
    default: /etc/encaja/neutralised
extends_documentation_fragment: [encaja.portal.portal.copy]
author: encaja
"""

EXAMPLES = r"""
- name: Make the copy inert
  encaja.portal.portal_neutralise:
    rules:
      - {id: mail-queue, why: queued mail would be sent, table: b_event, live: "SUCCESS_EXEC = 'N'", delete: true}
"""

RETURN = r"""
rules:
  description:
    - For each rule the number of changed rows, its state (changed, neutral or absent), and what it could not read.
  returned: always
  type: list
  elements: dict
unknown:
  description: Columns and options that look like credentials or endpoints and that no rule covers.
  returned: always
  type: list
  elements: str
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically
from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    COPY_ARGUMENTS,
    cache,
    neutralise,
    open_copy,
    open_database,
    run,
)

COVER = "add a rule to neutralise_rules_extra, or name them in neutralise_acknowledged"


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Apply the rules, or check them on the portal that will be copied; returns the module's result."""
    return look(module) if module.params["state"] == "check" else run_rules(module)


def look(module: AnsibleModule) -> dict[str, Any]:
    """Check that the rules fit a portal that will be copied, and that they cover all of it.

    Raises:
        EncajaError: with every rule that does not, and everything that no rule covers.
    """
    given = module.params
    neutralise.check_rules(given["rules"])
    database, _ = open_database(module)
    unknown = neutralise.unknown_secrets(database, given["rules"], given["acknowledged"])
    faults = neutralise.unfit_rules(database, given["rules"])
    if unknown:
        faults.append(
            f"these look like credentials or endpoints, and no rule covers them: {', '.join(unknown)} ({COVER})"
        )
    if faults:
        raise EncajaError(
            "; ".join(faults), f"database {database.name}, before anything is copied", "see docs/clone.md"
        )
    return {"changed": False, "rules": [], "unknown": []}


def run_rules(module: AnsibleModule) -> dict[str, Any]:
    """Apply the rules and verify their effect; returns the module's result."""
    given = module.params
    database, settings = open_copy(module, "production is never neutralised")
    applied = neutralise.apply(database, given["rules"], module.check_mode)
    unknown = neutralise.unknown_secrets(database, given["rules"], given["acknowledged"])
    changed = any(one.rows for one in applied)
    if changed and not module.check_mode:
        cache.purge(Path(given["root"]), settings)
    result: dict[str, Any] = {"rules": [one.as_dict() for one in applied], "unknown": unknown, "changed": changed}
    for value in dict.fromkeys(value for one in applied for value in one.unread):
        module.warn(f"{value}: not looked into; the portal cannot read it either")
    if unknown and not module.check_mode:
        module.fail_json(
            msg=f"these look like credentials or endpoints, and no rule covers them: {', '.join(unknown)} ({COVER})",
            **result,
        )
    if not module.check_mode:
        result["changed"] |= vouch(Path(given["proof"]), database.name, given["rules"])
    return result


def vouch(proof: Path, database: str, rules: list[dict[str, Any]]) -> bool:
    """Write the proof that the copy is inert, with the rules; returns whether it changed."""
    digest = hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
    text = f"database {database} was proven inert by {len(rules)} rules, sha256 {digest}\n"
    if proof.exists() and proof.read_text() == text:
        return False
    write_atomically(proof, text.encode(), 0o644)
    return True


ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["inert", "check"], "default": "inert"},
    "rules": {"type": "list", "elements": "dict", "required": True},
    "acknowledged": {"type": "list", "elements": "str", "default": []},
    "proof": {"type": "path", "default": "/etc/encaja/neutralised"},
    **COPY_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, converge)
