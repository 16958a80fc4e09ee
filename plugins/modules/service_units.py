#!/usr/bin/python
"""Converges several systemd units in one call, and waits until they answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_units
short_description: Enable, start, mask, restart or reload several systemd units at once
description:
  - Reads the state of all units with one C(systemctl show), and changes only what differs.
  - Reloads systemd only if a unit that it has loaded changed on disk. Other units are read when they are used.
  - Waits until every address in O(listening) accepts a connection, so that the service is ready for the next task.
  - Fails with the last lines of the journal if a unit cannot be started.
options:
  units:
    description:
      - The units, with their suffix. A plain name is short for C({name, enabled, state=started}).
      - A dictionary has C(name), C(state) (started, stopped, restarted, reloaded, refreshed), C(enabled) and
        C(masked). What is omitted is not changed; a dictionary with C(name) only is enabled and started.
      - With C(restart_if_newer), a list of files, a unit started before one of them changed is restarted. So the next
        run completes one that was interrupted between file and restart.
      - With C(resolves), a list of host names that the unit resolves at its start and reload, a running unit is
        reloaded when the address of one of them has changed since this module last started or reloaded it.
      - C(reloaded) starts a unit that does not run, and restarts one that cannot reload. C(refreshed) reloads or
        restarts a running unit, and skips one that does not run or does not exist.
    type: list
    elements: raw
    required: true
  listening:
    description: Addresses to wait for, as C(unix:/path) or C(tcp:host:port). Ignored in check mode.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for all addresses together.
    type: int
    default: 60
  fingerprint:
    description:
      - Name under which the host records that these units have converged, for M(encaja.portal.converged).
      - Set by the action.
    type: str
author: encaja
"""

EXAMPLES = r"""
- name: Start the cache
  encaja.portal.service_units:
    units: [redis-server.service]
    listening: ["unix:/run/redis/redis.sock"]

- name: Disable the timer
  encaja.portal.service_units:
    units: [{name: encaja-backup.timer, enabled: false, state: stopped}]
"""

RETURN = r"""
actions:
  description: What was (or, in check mode, would be) done, as C(verb unit).
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import records
from ansible_collections.encaja.portal.plugins.module_utils.unit_states import Units, normalise, parse_address, settled


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "raw", "required": True},
            "listening": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
            "fingerprint": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        wanted = [normalise(unit) for unit in module.params["units"]]
        for address in module.params["listening"]:
            parse_address(address)
    except ValueError as fault:
        module.fail_json(msg=str(fault))
    units = Units(module, wanted)
    if wanted:
        units.converge()
    if not module.check_mode:
        units.wait(module.params["listening"], module.params["timeout"])
        if module.params["fingerprint"]:
            record = {"units": settled(wanted), "listening": module.params["listening"]}
            records.remember(module.params["fingerprint"], record)
    module.exit_json(changed=bool(units.actions), actions=units.actions)


if __name__ == "__main__":
    main()
