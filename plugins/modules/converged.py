#!/usr/bin/python
"""Finds which earlier tasks on a host have nothing to do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: converged
short_description: Find in one round trip which tasks have nothing to do
description:
  - A host records the state that M(encaja.portal.config_files), M(encaja.portal.service_units),
    M(encaja.portal.packages),
    M(encaja.portal.host_settings) and M(encaja.portal.trust_store) have converged it to, with hashes of files.
    This module compares the records with the current state, with the code of those modules.
  - A task whose record still holds then ends on the controller, as unchanged. After the first change on the host by any
    task, or the first failure, all tasks query the host again.
  - Requires the callback P(encaja.portal.preload#callback), which keeps the answer. Without it, or without this module,
    every task queries the host.
author: encaja
"""

EXAMPLES = r"""
- name: Find tasks that have nothing to do
  encaja.portal.converged:
"""

RETURN = r"""
held:
  description: Records that still hold, by fingerprint, with the task's result.
  returned: always
  type: dict
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import dpkg, host_state, records, trusted_roots, unit_states
from ansible_collections.encaja.portal.plugins.module_utils.file_items import Converger


class NotHeldError(Exception):
    """Something must be changed."""


def files(module: AnsibleModule, record: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``config_files`` if nothing must be changed."""
    converger = Converger(module, check=True)
    try:
        for item in record["files"]:
            converger.converge(item)
            if converger.changed:
                raise NotHeldError
    finally:
        converger.close()
    return {"files_changed": [], "diff": []}


def packages(record: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``packages`` if all are installed, and no installation was interrupted."""
    if dpkg.missing_of(record["packages"]) or os.path.exists(dpkg.UNITS):
        raise NotHeldError
    return {"missing": [], "started": []}


def settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``host_settings`` if nothing must be changed."""
    host = host_state.Host(check=True)
    host.converge(record["settings"])
    if host.diffs:
        raise NotHeldError
    warnings = [host_state.unsupported_warning(host.not_settable)] if host.not_settable else []
    return {"not_settable": host.not_settable, "diff": [], "warnings": warnings}


def roots(record: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``trust_store`` if nothing must be changed."""
    asked = record["roots"]
    result = trusted_roots.converge(Path(asked["folder"]), asked["owned"], asked["files"], check=True)
    if result.pop("changed"):
        raise NotHeldError
    return result


def units(now: Mapping[str, dict[str, str]], record: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``service_units`` if all are in their state and their addresses answer."""
    if not all(unit_states.holds(unit, now[unit["name"]]) for unit in record["units"]):
        raise NotHeldError
    if not all(unit_states.answers(unit_states.parse_address(address)) for address in record["listening"] or []):
        raise NotHeldError
    return {"actions": []}


def shown(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The state of all units, from one query of systemd; empty if it does not answer."""
    names = sorted({unit.get("name", "") for record in records for unit in record.get("units", [])} - {""})
    if not names:
        return {}
    command = ["systemctl", "--no-pager", *unit_states.show(names)]
    blocks = unit_states.parse_show(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return dict(zip(names, blocks, strict=True)) if len(blocks) == len(names) else {}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    known = records.read()
    now = shown(known.values())
    kinds: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "files": lambda record: files(module, record),
        "packages": packages,
        "settings": settings,
        "roots": roots,
        "units": lambda record: units(now, record),
    }
    held = {}
    for fingerprint, record in known.items():
        try:
            [kind] = [kind for kind in kinds if kind in record]
            held[fingerprint] = kinds[kind](record)
        except (NotHeldError, OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
            continue  # its task queries the host and reports the error
    module.exit_json(changed=False, held=held)


if __name__ == "__main__":
    main()
