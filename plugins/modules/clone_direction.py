#!/usr/bin/python
"""Documentation of the action ``clone_direction``, which runs on the controller."""

DOCUMENTATION = r"""
module: clone_direction
short_description: Refuses a copy that goes the wrong way
description: Production is never a target, nothing is copied onto itself, and the target has to be confirmed by name.
options:
  source:
    description: The environment to copy.
    type: str
    required: true
  target:
    description: The environment that is overwritten.
    type: str
    required: true
  confirm:
    description: The target's name once more.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Validate the direction of the copy
  encaja.portal.clone_direction: {source: production, target: preproduction, confirm: preproduction}
"""

RETURN = r"""
msg:
  description: The reasons, or that it may.
  returned: always
  type: str
"""
