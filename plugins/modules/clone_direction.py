#!/usr/bin/python
"""Documentation of the action ``clone_direction``, which runs on the controller."""

DOCUMENTATION = r"""
module: clone_direction
short_description: Validate the direction of a copy
description: Fails if the target is production or the source itself, or was not confirmed by name.
options:
  source:
    description: The environment to copy.
    type: str
    required: true
  target:
    description: The environment to overwrite.
    type: str
    required: true
  confirm:
    description: The target's name again.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Validate the direction of the copy
  encaja.portal.clone_direction: {source: production, target: preproduction, confirm: preproduction}
"""

RETURN = r"""
msg:
  description: The problems, or that the copy is permitted.
  returned: always
  type: str
"""
