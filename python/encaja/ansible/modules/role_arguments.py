#!/usr/bin/python
"""Documentation of the action ``role_arguments``, which runs on the controller."""

DOCUMENTATION = r"""
module: role_arguments
short_description: Looks at everything that is given to a host's roles before one of them changes a thing
description:
  - Reads the argument specification of every role, and the rules in its C(meta/rules.yml) for what a specification
    cannot say.
  - A rule has C(that), an expression or a list of them, and C(otherwise), what is wrong and how to mend it.
  - Names all faults of all roles at once.
options:
  roles:
    description: The roles of this host.
    type: list
    elements: str
    required: true
author: encaja
"""

EXAMPLES = r"""
- name: See that every role has what it needs
  role_arguments: {roles: [base, web]}
"""

RETURN = r"""
faults:
  description: What is wrong, one line each.
  returned: failed
  type: list
  elements: str
"""
