#!/usr/bin/python
"""Run a host tool under systemd and wait for it; documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_tool
short_description: Run a host tool under systemd and wait for it
description:
  - Starts the unit of a host tool and shows the tool's progress until the tool says that it is done, in its status and
    under the name of this very start. The unit reads that name with C(EnvironmentFile=-/var/lib/encaja/starts/%n).
  - >-
    A start that ends without the tool's word, because the host lost power, was restarted, or the tool was killed, is
    followed by another one, and the tool goes on. A tool that says why it failed, or exits with a code, has failed.
  - One that runs already is waited for, and then started with the job as it is now.
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
  start:
    description: Whether it is started; V(false) only shows a unit that somebody else runs, until it is stopped.
    type: bool
    default: true
  starts:
    description: How many times it is started at most.
    type: int
    default: 6
  interval:
    description: Seconds between two looks.
    type: float
    default: 5
  patience:
    description: Seconds that the host may be out of reach at a time.
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
