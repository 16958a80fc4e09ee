#!/usr/bin/python
"""Documentation of the action ``compare``, which runs on the controller."""

DOCUMENTATION = r"""
module: compare
short_description: Compare the snapshots of two environments
description:
  - Merges the snapshots of each environment's hosts and compares the two. Expected differences are listed separately.
options:
  a:
    description: The first environment, usually production.
    type: str
    required: true
  b:
    description: The second environment.
    type: str
    required: true
  hosts:
    description: Hosts whose variable C(compare_snapshot) holds the result of M(encaja.portal.snapshot).
    type: list
    elements: str
    required: true
  expected:
    description: >-
      Further rules for expected differences, with C(id), C(why), C(sections), C(names) and optionally C(when).
    type: list
    elements: dict
    default: []
  drift:
    description: Percentage by which a table's number of rows may differ.
    type: float
    default: 0
author: encaja
"""

EXAMPLES = r"""
- name: Compare the environments
  encaja.portal.compare:
    a: production
    b: preproduction
    hosts: "{{ groups['portal'] }}"
"""

RETURN = r"""
comparison:
  description: What was compared, found and expected, and the number of differences.
  returned: always
  type: dict
"""
