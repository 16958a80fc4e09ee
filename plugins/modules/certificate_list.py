#!/usr/bin/python
"""Documentation of the action ``certificate_list``, which runs on the controller."""

DOCUMENTATION = r"""
module: certificate_list
short_description: Lists the certificates of a host
description:
  - Reads the certificates that role C(tls) has placed, and looks at each as a client would. Keys are not read.
options:
  names:
    description: The host names that a certificate has to cover, by the name of its file.
    type: dict
    default: {}
  renew_days:
    description: A certificate with fewer days left is warned about.
    type: int
    default: 30
extends_documentation_fragment: [encaja.portal.certificates]
author: encaja
"""

EXAMPLES = r"""
- name: List the certificates
  encaja.portal.certificate_list:
    names: {crm.example.com: [crm.example.com]}
"""

RETURN = r"""
certificates:
  description: For each certificate host, name, names, issuer, last day, days left, faults and warnings.
  returned: always
  type: list
  elements: dict
"""
