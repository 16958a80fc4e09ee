#!/usr/bin/python
"""Documentation of the action ``preflight_verdict``, which runs on the controller."""

DOCUMENTATION = r"""
module: preflight_verdict
short_description: Fails with everything that the preflight found
description: Joins the faults of the inventory with those of the hosts, one line each. Runs on the controller.
options:
  inventory:
    description: Faults that M(preflight_inventory) found.
    type: list
    elements: dict
    required: true
  advice:
    description: Warnings that M(preflight_inventory) found.
    type: list
    elements: dict
    default: []
  hosts:
    description: Hosts of which it looks at what the tasks of playbook C(preflight) registered.
    type: list
    elements: str
    required: true
author: encaja
"""

EXAMPLES = r"""
- name: Report all problems
  encaja.portal.preflight_verdict:
    inventory: "{{ looked.faults }}"
    advice: "{{ looked.advice }}"
    hosts: "{{ groups['all'] }}"
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
