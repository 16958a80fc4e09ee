"""Mitogen as an accelerator of Ansible, for those who install it (``pip install encaja[fast]``); never required.

ansible-core has deprecated strategies of third parties, so everything runs with stock Ansible as well, and is tested
with both. All that the kit does for Mitogen is here, but for one rule: Mitogen sends a module only what it imports by
an absolute name, so the kit's modules name every part that they use (``module_utils/portal_library.py``, which a test
keeps complete).

`python -m encaja.ansible.accelerator` prints the environment as KEY=VALUE lines for shells and Makefiles;
`ENCAJA_ACCELERATOR=off` switches it off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SWITCH = "ENCAJA_ACCELERATOR"
STRATEGY = "mitogen_linear"
FEW = 4  # cores; with fewer, Mitogen reserves one of them for its connections
OWN_DEPRECATION = "Use of strategy plugins not included in ansible.builtin"


def accelerator_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that switch on Mitogen's linear strategy; empty where it is absent, switched off, or a strategy is set.

    Args:
        environment: what the caller's Ansible would run with; the process's own by default.
    """
    current = os.environ if environment is None else environment
    if current.get(SWITCH, "").lower() in ("off", "0", "no", "false") or current.get("ANSIBLE_STRATEGY"):
        return {}
    spec = find_spec("ansible_mitogen")
    if spec is None or not spec.submodule_search_locations:
        return {}
    plugins = Path(next(iter(spec.submodule_search_locations))) / "plugins" / "strategy"
    if not (plugins / f"{STRATEGY}.py").is_file():
        return {}
    paths = [str(plugins), *filter(None, [current.get("ANSIBLE_STRATEGY_PLUGINS")])]
    return {"ANSIBLE_STRATEGY": STRATEGY, "ANSIBLE_STRATEGY_PLUGINS": ":".join(paths)}


def prepare(strategy: str, display: Any) -> None:
    """Prepare Ansible's own process if the strategy is Mitogen's; called by the callback ``preload``.

    Args:
        strategy: the strategy that Ansible is configured with.
        display: Ansible's own, which is silenced about this one deprecation and no other.
    """
    if not strategy.startswith("mitogen"):
        return
    unpin()
    warn = display.deprecated

    def deprecated(msg: str, *arguments: Any, **named: Any) -> None:
        _skip_stackwalk = True  # Ansible skips this function in its search for the deprecated caller
        if not msg.startswith(OWN_DEPRECATION):
            warn(msg, *arguments, **named)

    display.deprecated = deprecated


def unpin() -> None:
    """Disable Mitogen's pinning of processes to cores on a machine with few.

    With two or three cores it keeps one for its connections and pins Ansible with all its workers to what is left, so
    that hosts wait for each other.
    """
    if len(os.sched_getaffinity(0)) < FEW:
        affinity: Any = import_module("ansible_mitogen.affinity")
        affinity.policy = affinity.Policy()


def main() -> None:
    """Prints the variables."""
    for key, value in accelerator_environment().items():
        print(f"{key}={value}")


if __name__ == "__main__":
    main()
