#!/usr/bin/python
"""Run a host tool under systemd and wait for it; documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_tool
short_description: Run a host tool under systemd and wait for it
description:
  - Starts the unit of a host tool and shows its progress until its status file reports the end, with the id of this
    start. The unit reads the id with C(EnvironmentFile=-/var/lib/encaja/starts/%n).
  - >-
    A start that ends without such a report, because the host lost power or was restarted, or the tool was killed, is
    repeated, and the tool continues. A tool that reports an error or exits with a code has failed.
  - A tool that is already running is waited for, and then started with the current job.
  - A lost connection does not stop the tool; the task reconnects.
  - Reports a change unless the tool's status has C(changed=false), as when there was nothing to do.
  - Does nothing in check mode.
options:
  unit:
    description: The tool's unit.
    type: str
    required: true
  status:
    description: The tool's status file.
    type: path
    required: true
  start:
    description: Whether to start it; V(false) only shows a unit started otherwise, until it stops.
    type: bool
    default: true
  starts:
    description: Maximum number of starts.
    type: int
    default: 6
  interval:
    description: Seconds between two status queries.
    type: float
    default: 5
  patience:
    description: Seconds for which the host may be unreachable at a time.
    type: int
    default: 3600
author: encaja
"""

EXAMPLES = r"""
- name: Restore the backup
  encaja.portal.host_tool:
    unit: encaja-restore.service
    status: /var/lib/encaja/restore/status.json
"""

RETURN = r"""
status:
  description: The tool's last status.
  returned: when it was started
  type: dict
"""
