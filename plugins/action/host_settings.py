"""Controller side of ``host_settings``: queries the host unless it is known to have converged."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.module_utils import host_state
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
        return converged.ask(self, "host_settings", self._task.args, task_vars or {}, host_state)
