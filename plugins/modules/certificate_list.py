#!/usr/bin/python
"""Documentation of the action ``certificate_list``, which runs on the controller."""

DOCUMENTATION = r"""
module: certificate_list
short_description: List the certificates of a host
description:
  - Reads the certificates installed by role C(tls) and validates each as a client would. Keys are not read.
options:
  names:
    description: Host names that a certificate must cover, by the base name of its file.
    type: dict
    default: {}
  renew_days:
    description: Remaining days below which a certificate causes a warning.
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
