"""Callback ``preload``: makes the parent ready for its workers, which are many and short-lived."""

from __future__ import annotations

import gc
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible import converged
from encaja.ansible.role_values import read_all

DOCUMENTATION = r"""
name: preload
type: aggregate
short_description: Loads what every worker needs before the first one is started, and lets workers use every core
description:
  - Ansible starts a process per task and host. Each of them would load every plugin with filters and tests again, as
    soon as it compiles a template, and read what the roles specify. Loaded before, all of it is there for all.
  - What is loaded is taken out of the garbage collector's sight, so that workers share its memory and copy less.
  - Keeps for them what the module M(encaja.portal.converged) has found on a host, until anything changes there.
  - With two or three cores, Mitogen keeps one for its connections and pins Ansible with all its workers to what is
    left, so that hosts wait for each other. There nobody is pinned.
options: {}
author: encaja
"""

FEW = 4  # cores; with fewer, Mitogen reserves one of them for its connections


def unpin() -> None:
    """Let Mitogen, where it is there, pin nobody to a core on a machine that has few."""
    if len(os.sched_getaffinity(0)) < FEW and find_spec("ansible_mitogen"):
        affinity: Any = import_module("ansible_mitogen.affinity")
        affinity.policy = affinity.Policy()


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Prints nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preload"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:  # noqa: ARG002 - Ansible's signature
        """Load, then freeze."""
        unpin()
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
