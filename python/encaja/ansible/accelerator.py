"""Mitogen as an optional accelerator of Ansible: used where it is installed, never required.

`python -m encaja.ansible.accelerator` prints the environment as KEY=VALUE lines for shells and Makefiles;
`ENCAJA_ACCELERATOR=off` switches it off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

SWITCH = "ENCAJA_ACCELERATOR"
STRATEGY = "mitogen_linear"


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
    return {
        "ANSIBLE_STRATEGY": STRATEGY,
        "ANSIBLE_STRATEGY_PLUGINS": ":".join(paths),
        # ansible-core says at every start that it will drop third-party strategies one day.
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
    }


def main() -> None:
    """Prints the variables."""
    for key, value in accelerator_environment().items():
        print(f"{key}={value}")


if __name__ == "__main__":
    main()
