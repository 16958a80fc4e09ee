#!/usr/bin/python
"""Documentation of the action ``role_arguments``, which runs on the controller."""

DOCUMENTATION = r"""
module: role_arguments
short_description: Validate the arguments of all roles of a host before one of them changes anything
description:
  - Reads the argument specification of every role, and rules that a specification cannot express from its
    C(meta/rules.yml).
  - A rule has C(that), an expression or a list of them, and C(fail_msg), a line of what is wrong and how to fix it, or
    a
    list of such lines. C(hint) is appended to lines without a fix. A rule with C(warns) only causes a warning.
  - Reports all problems of all roles together.
options:
  roles:
    description: The roles of this host.
    type: list
    elements: str
    required: true
  refuse:
    description: Whether to fail on problems instead of returning them.
    type: bool
    default: true
author: encaja
"""

EXAMPLES = r"""
- name: Validate role arguments
  encaja.portal.role_arguments: {roles: [base, web]}
"""

RETURN = r"""
faults:
  description: What is wrong, one line each.
  returned: always
  type: list
  elements: str
advice:
  description: Warnings, one line each.
  returned: always
  type: list
  elements: str
"""
