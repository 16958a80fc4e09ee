#!/usr/bin/python
"""Run a host tool under systemd and wait for it; documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_tool
short_description: Run a host tool under systemd and wait for it
description:
  - Starts the unit of a host tool, or joins one that runs already, and shows the tool's progress until it ends.
  - A connection that breaks meanwhile does no harm, the tool goes on, and the task connects again.
  - Changed unless the tool's status says C(changed=false), as it does when there was nothing to do.
  - Does nothing in check mode.
options:
  unit:
    description: The tool's unit.
    type: str
    required: true
  status:
    description: The tool's progress file.
    type: path
    required: true
  interval:
    description: Seconds between two looks.
    type: float
    default: 5
  patience:
    description: Seconds that the host may be out of reach.
    type: int
    default: 3600
author: encaja
"""

EXAMPLES = r"""
- name: Restore
  host_tool:
    unit: encaja-restore.service
    status: /var/lib/encaja/restore/status.json
"""

RETURN = r"""
status:
  description: The tool's last status.
  returned: when it ran
  type: dict
"""
