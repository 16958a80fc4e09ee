#!/usr/bin/python
"""Documentation of the action ``preflight_verdict``, which runs on the controller."""

DOCUMENTATION = r"""
module: preflight_verdict
short_description: Fail with everything that the preflight found
description:
  - Merges the problems of the inventory with those of the hosts, one line each. Runs on the controller.
  - M(ansible.builtin.assert) fails with the conditions of one host. This action reports a problem of several hosts
    once, leaves out what follows from a problem that is already reported, and includes hosts that could not be
    reached.
options:
  inventory:
    description: Problems found by M(encaja.portal.preflight_inventory).
    type: list
    elements: dict
    required: true
  advice:
    description: Warnings of M(encaja.portal.preflight_inventory).
    type: list
    elements: dict
    default: []
  hosts:
    description: Hosts whose registered results of playbook C(preflight) are evaluated.
    type: list
    elements: str
    required: true
author: encaja
"""

EXAMPLES = r"""
- name: Report all problems
  encaja.portal.preflight_verdict:
    inventory: "{{ inspected.faults }}"
    advice: "{{ inspected.advice }}"
    hosts: "{{ groups['all'] }}"
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
