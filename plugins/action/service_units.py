"""Controller side of ``service_units``: queries the host unless it is known to have converged."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.module_utils import unit_states
from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible import converged


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, unless the host is known to have converged."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, or the known one."""
        super().run(tmp, task_vars)
        asked = dict(self._task.args)
        if not isinstance(asked.get("units"), list):
            return converged.ask(self, "service_units", asked, task_vars or {}, unit_states)
        try:
            asked["units"] = [unit_states.normalise(unit) for unit in asked["units"]]
        except ValueError as fault:
            raise AnsibleActionFail(f"service_units: {fault}") from fault
        lasting = {**asked, "units": unit_states.settled(asked["units"])}
        return converged.ask(self, "service_units", asked, task_vars or {}, unit_states, lasting=lasting)
