"""Callback ``preload``: loads in the parent what its many short-lived workers need."""

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
short_description: Load what every worker needs before the first one starts
description:
  - Ansible starts a process per task and host. Each would load all plugins with filters and tests when it
    compiles a template, and read the roles' specifications. Loaded in the parent, they are shared.
  - The loaded objects are hidden from the garbage collector, so that workers share the memory instead of copying it.
  - Keeps the results of M(encaja.portal.converged) for the workers, until anything changes on the host.
  - Prepares the accelerator if Ansible is configured with it.
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
        """Keep what a host reported, until it changes; a delegated change invalidates all hosts."""
        task, host = result.task, result.host.get_name()
        if task.action == "encaja.portal.converged":
            converged.learn(host, result.result.get("held") or {})
        elif result.is_changed():
            converged.forget(None if task.delegate_to else host)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 - Ansible's signature
        """Forget the host: a failed task may have changed something before."""
        converged.forget(None if result.task.delegate_to else result.host.get_name())
