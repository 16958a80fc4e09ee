"""What is known of each host in this run, so that a task without changes costs no round trip.

The callback ``preload`` keeps it in Ansible's own process, from which every worker is forked. It learns what the module
``converged`` has found, and forgets it with the first change on the host. Where nobody keeps it, every task asks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

_held: dict[str, dict[str, dict[str, Any]]] = {}


class Action(Protocol):
    """What is used of an action plugin."""

    _task: Any

    def _execute_module(self, *, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any: ...


def learn(host: str, held: Mapping[str, dict[str, Any]]) -> None:
    """Keep what the host reported."""
    _held[host] = dict(held)


def forget(host: str | None = None) -> None:
    """Make all tasks query this host, or all hosts, from now on."""
    for name in [host] if host else list(_held):
        if name in _held:
            _held[name] = {}


def ask(
    action: Action,
    module: str,
    arguments: Mapping[str, Any],
    variables: dict[str, Any],
    *code: ModuleType,
    lasting: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The result of a module, from the host or from what is known.

    Args:
        action: who asks.
        module: the module's name in the collection.
        arguments: what it is given.
        variables: the task's.
        code: what does the work: a host does not remember what another version of it did.
        lasting: what will hold afterwards, where it is not what is asked for: a restart does not last.
    """
    host, name = variables.get("inventory_hostname", ""), f"encaja.portal.{module}"
    asked = dict(arguments)
    if host in _held and not action._task.delegate_to:
        asked["fingerprint"] = fingerprint([module, lasting or asked], *code)
        known = _held[host].get(asked["fingerprint"])
        if known is not None and lasting in (None, arguments):
            return {"changed": False, **known}
    result: dict[str, Any] = action._execute_module(module_name=name, module_args=asked, task_vars=variables)
    return result


def fingerprint(demand: Any, *code: ModuleType) -> str:
    """A name for the arguments of a task and the code that runs it."""
    sources = [hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest() for module in code]
    text = json.dumps([demand, sources], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
