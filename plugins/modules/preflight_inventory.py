#!/usr/bin/python
"""Documentation of the action ``preflight_inventory``, which runs on the controller."""

DOCUMENTATION = r"""
module: preflight_inventory
short_description: Names everything wrong with the inventory
description:
  - Groups that contradict each other, unknown and renamed variables, missing secrets, values of the wrong type.
  - Runs on the controller and changes nothing.
options:
  hosts:
    description: The hosts whose variables are looked at; all by default.
    type: list
    elements: str
  requires:
    description:
      - What the run-book's steps require, each with C(step), C(names) of the variables of which one needs a value, the
        patterns in C(hosts), C(limit), and in C(brought_by) the step that brings the value; or with C(groups) that have
        to have hosts.
    type: list
    elements: dict
    default: []
  refuse:
    description: Whether to fail when something is wrong, rather than hand over what.
    type: bool
    default: false
author: encaja
"""

EXAMPLES = r"""
- name: Look at the inventory
  encaja.portal.preflight_inventory:
  register: looked
"""

RETURN = r"""
faults:
  description: What is wrong, where, and how to fix it.
  returned: always
  type: list
  elements: dict
advice:
  description: What is worth a warning, likewise.
  returned: always
  type: list
  elements: dict
"""
