"""Callback ``preload``: loads once, in the parent, what every worker of Ansible would load for itself."""

from __future__ import annotations

import gc
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

DOCUMENTATION = r"""
name: preload
type: aggregate
short_description: Loads filters and tests before the first worker is started
description:
  - Ansible starts a process per task and host. Each of them would load every plugin with filters and tests again, as
    soon as it compiles a template. Loaded before, they are there for all.
  - What is loaded is taken out of the garbage collector's sight, so that workers share its memory and copy less.
options: {}
author: encaja
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Prints nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preload"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:  # noqa: ARG002 - Ansible's signature
        """Load, then freeze."""
        for loader in (filter_loader, test_loader):
            list(loader.all())
        gc.collect()
        gc.freeze()
