#!/usr/bin/python
"""Proves what the kit assumes of a portal."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_prove
short_description: Prove on a portal what the kit assumes of the product
description:
  - Tries every assumption of the contract (docs/contract.md) with a probe of its own.
  - Probes that write use tagged rows, which are removed at once; those of a run that was killed are removed first. In
    check mode they are not tried.
  - Where there is no portal yet, nothing is proven, which is a warning.
options:
  connect_to:
    description: Address to connect to while the name does not resolve to this host yet.
    type: str
    default: ""
  only:
    description: Beginnings of the ids of the assumptions to try; empty for all.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [encaja.portal.portal, encaja.portal.portal.address]
author: encaja
"""

EXAMPLES = r"""
- name: Prove what the kit assumes of the portal
  encaja.portal.portal_prove:
    domain: crm.example.com
  register: proof
"""

RETURN = r"""
proof:
  description: What every probe found, their counts, warnings, and the number of assumptions that do not hold.
  returned: always
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal_library import (
    ADDRESS_ARGUMENTS,
    PORTAL_ARGUMENTS,
    address,
    contract,
    contract_probe,
    open_portal,
    run,
    verify,
)


def look(module: AnsibleModule) -> dict[str, Any]:
    """Try the assumptions; returns the module's result."""
    wanted = module.params
    contract.chosen(wanted["only"])
    try:
        portal = open_portal(module)
        portal.database.count("SELECT COUNT(*) FROM b_option")
    except EncajaError as fault:
        proof = contract.nothing_to_prove(wanted["domain"], fault, wanted["only"])
        return {"changed": False, "proof": proof}
    scene = verify.Scene(portal, address(module), Path(wanted["fpm_socket"]), wanted["connect_to"])
    proof = contract.prove(contract_probe.Subject(scene), wanted["only"], write=not module.check_mode)
    return {"changed": False, "proof": proof}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "connect_to": {"type": "str", "default": ""},
    "only": {"type": "list", "elements": "str", "default": []},
    **ADDRESS_ARGUMENTS,
    **PORTAL_ARGUMENTS,
}

if __name__ == "__main__":
    run(ARGUMENTS, look)
