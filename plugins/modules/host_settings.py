#!/usr/bin/python
"""Converges a host's marker, time zone, kernel parameters and names in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_settings
short_description: Converge environment marker, time zone, kernel parameters and host names in one round trip
description:
  - No stock module fails on a host of another environment before anything is changed. The other settings would be one
    task each, with M(ansible.posix.sysctl), C(timezone) and M(ansible.builtin.blockinfile); in a container, the first
    of these would change its host.
  - Compares the environment marker first, and fails before any change if the host belongs to another environment.
  - Kernel parameters are set immediately and stored in O(sysctl_file).
  - In a container only C(net.*) is set; other parameters are compared and reported, because they would change the
    container's host.
options:
  environment:
    description: >-
      The environment for O(marker). It is written where there is no marker; the module fails on a different one.
    type: str
    required: true
  marker:
    description: Path of the marker.
    type: path
    default: /etc/encaja/environment
  time_zone:
    description: Time zone, such as C(Europe/Madrid); by default it is not changed.
    type: str
  sysctl:
    description: >-
      Kernel parameters, name to value; by default they are not changed. A C(*) stands for every interface, as in
      C(net.ipv4.conf.*.accept_redirects).
    type: dict
  sysctl_file:
    description: File with the kernel parameters for the next boot.
    type: path
    default: /etc/sysctl.d/60-encaja.conf
  hosts:
    description: >-
      Entries for C(/etc/hosts), each with C(address) and C(names). Other lines are kept; by default
      the file is not changed.
    type: list
    elements: dict
  fingerprint:
    description:
      - Name under which the host records that it has converged, for M(encaja.portal.converged).
      - Set by the action.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Configure the host
  encaja.portal.host_settings:
    environment: test
    time_zone: Europe/Madrid
    sysctl: {net.core.somaxconn: 4096}
    hosts:
      - {address: 192.0.2.10, names: [db.example.org]}
"""

RETURN = r"""
not_settable:
  description: Kernel parameters that differ and belong to the container's host.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import records
from ansible_collections.encaja.portal.plugins.module_utils.host_state import Host, unsupported_warning


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "environment": {"type": "str", "required": True},
            "marker": {"type": "path", "default": "/etc/encaja/environment"},
            "time_zone": {"type": "str"},
            "sysctl": {"type": "dict"},
            "sysctl_file": {"type": "path", "default": "/etc/sysctl.d/60-encaja.conf"},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "names": {"type": "list", "elements": "str", "required": True},
                },
            },
            "fingerprint": {"type": "str"},
        },
        supports_check_mode=True,
    )
    asked = {key: value for key, value in module.params.items() if key != "fingerprint"}
    host = Host(module.check_mode)
    try:
        host.converge(asked)
    except (OSError, ValueError) as fault:
        module.fail_json(msg=str(fault))
    if module.params["fingerprint"] and not module.check_mode:
        records.remember(module.params["fingerprint"], {"settings": asked})
    if host.not_settable:
        module.warn(unsupported_warning(host.not_settable))
    module.exit_json(changed=bool(host.diffs), diff=host.diffs, not_settable=host.not_settable)


if __name__ == "__main__":
    main()
