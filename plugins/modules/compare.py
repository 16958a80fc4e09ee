#!/usr/bin/python
"""Documentation of the action ``compare``, which runs on the controller."""

DOCUMENTATION = r"""
module: compare
short_description: Compares the snapshots of two environments
description:
  - Lays the snapshots of each environment's hosts together and compares the two. What has to differ is folded away.
options:
  a:
    description: The one environment, usually production.
    type: str
    required: true
  b:
    description: The other.
    type: str
    required: true
  hosts:
    description: Hosts whose variable C(compare_snapshot) holds what module C(snapshot) returned.
    type: list
    elements: str
    required: true
  expected:
    description: Further rules of what has to differ, with C(id), C(why), C(sections), C(names), perhaps C(when).
    type: list
    elements: dict
    default: []
  drift:
    description: Per cent by which the number of a table's rows may differ.
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
