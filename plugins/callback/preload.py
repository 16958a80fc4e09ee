"""Callback ``preload``: makes the parent ready for its workers, which are many and short-lived."""

from __future__ import annotations

import gc
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible import accelerator, converged
from encaja.ansible.role_values import read_all

DOCUMENTATION = r"""
name: preload
type: aggregate
short_description: Loads what every worker needs before the first one is started
description:
  - Ansible starts a process per task and host. Each of them would load every plugin with filters and tests again, as
    soon as it compiles a template, and read what the roles specify. Loaded before, all of it is there for all.
  - What is loaded is taken out of the garbage collector's sight, so that workers share its memory and copy less.
  - Keeps for them what the module M(encaja.portal.converged) has found on a host, until anything changes there.
  - Makes the accelerator ready where Ansible is configured with it.
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
        accelerator.prepare(constants.DEFAULT_STRATEGY, self._display)
        read_all()
        for loader in (filter_loader, test_loader):
            list(loader.all())
        gc.collect()
        gc.freeze()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep what a host said of itself, until it changes; a delegated change makes all hosts unknown."""
        task, host = result.task, result.host.get_name()
        if task.action == "encaja.portal.converged":
            converged.learn(host, result.result.get("held") or {})
        elif result.is_changed():
            converged.forget(None if task.delegate_to else host)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 - Ansible's signature
        """A task that fails may have changed something before."""
        converged.forget(None if result.task.delegate_to else result.host.get_name())
