"""Action ``preflight_inventory``: everything wrong with the inventory that this play was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from encaja.preflight import inventory


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller and changes nothing; ``faults`` in the result is a list of what, where, mend.

    With ``refuse`` it fails when there are any.
    """

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the variables of all hosts, or of ``hosts``, as they are written."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        hostvars, groups = variables["hostvars"], variables["groups"]
        wanted = self._task.args.get("hosts") or [host for host in groups["all"] if host != "localhost"]
        hosts = {host: dict(hostvars.raw_get(host)) for host in wanted}
        found = inventory.faults(hosts, groups, Path(constants.DEFAULT_ROLES_PATH[0]))
        result: dict[str, Any] = {"changed": False, "faults": [vars(fault) for fault in found]}
        if found and self._task.args.get("refuse"):
            return {**result, "failed": True, "msg": "nothing was changed: " + "; ".join(map(str, found))}
        return result
