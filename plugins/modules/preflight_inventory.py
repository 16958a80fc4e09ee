#!/usr/bin/python
"""Documentation of the action ``preflight_inventory``, which runs on the controller."""

DOCUMENTATION = r"""
module: preflight_inventory
short_description: Report everything wrong with the inventory
description:
  - Finds contradictory groups, unknown and renamed variables, missing secrets and values of the wrong type.
  - Runs on the controller and changes nothing.
options:
  hosts:
    description: The hosts whose variables are validated; all by default.
    type: list
    elements: str
  requires:
    description:
      - Requirements of the run-book's steps, each with C(step), the C(names) of variables of which one must have a
        value,
        C(hosts) (patterns), C(limit), and C(brought_by), the step that provides the value; or with C(groups) that must
        have hosts.
    type: list
    elements: dict
    default: []
  refuse:
    description: Whether to fail on problems instead of returning them.
    type: bool
    default: false
author: encaja
"""

EXAMPLES = r"""
- name: Inspect the inventory
  encaja.portal.preflight_inventory:
  register: inspected
"""

RETURN = r"""
faults:
  description: What is wrong, where, and how to fix it.
  returned: always
  type: list
  elements: dict
advice:
  description: Warnings, likewise.
  returned: always
  type: list
  elements: dict
"""
