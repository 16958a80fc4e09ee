#!/usr/bin/python
"""Documentation of the action ``role_arguments``, which runs on the controller."""

DOCUMENTATION = r"""
module: role_arguments
short_description: Looks at everything that is given to a host's roles before one of them changes a thing
description:
  - Reads the argument specification of every role, and the rules in its C(meta/rules.yml) for what a specification
    cannot say.
  - A rule has C(that), an expression or a list of them, and C(fail_msg), what is wrong and how to fix it, or a list
    of such lines. C(hint) is how to fix those that do not say it. With C(warns) a rule warns and stops nothing.
  - Names all faults of all roles at once.
options:
  roles:
    description: The roles of this host.
    type: list
    elements: str
    required: true
  refuse:
    description: Whether to fail when something is wrong, rather than hand over what.
    type: bool
    default: true
author: encaja
"""

EXAMPLES = r"""
- name: See that every role has what it needs
  encaja.portal.role_arguments: {roles: [base, web]}
"""

RETURN = r"""
faults:
  description: What is wrong, one line each.
  returned: always
  type: list
  elements: str
advice:
  description: What is worth a warning, one line each.
  returned: always
  type: list
  elements: str
"""
