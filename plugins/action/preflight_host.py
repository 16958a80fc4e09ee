"""Controller side of ``preflight_host``: inspects the host, and compares its clock with the controller's."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


def clock_faults(asked: float, answered: float, clock: float, skew: float) -> list[dict[str, str]]:
    """What is wrong with a host whose ``clock`` was read between ``asked`` and ``answered`` (seconds since 1970)."""
    off = min(clock - asked, 0.0) or max(clock - answered, 0.0)
    if abs(off) <= skew:
        return []
    what = f"its clock is {off:+.0f} s off the controller's"
    return [{"what": what, "hint": "let chrony set the clock, then run again"}]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module of the same name; how long that takes does not count as a difference of the clocks."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result with the clock's faults added."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        skew = float(arguments.pop("skew_seconds", 5))
        asked = time.time()
        result: dict[str, Any] = self._execute_module(
            module_name="encaja.portal.preflight_host",
            module_args=arguments,
            task_vars=task_vars,
        )
        if "clock" in result:
            result["faults"] += clock_faults(asked, time.time(), float(result["clock"]), skew)
        return result
