"""Action ``clone_direction``: validates the direction of a copy before any host is changed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.clone import direction


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller and changes nothing."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with every reason against this copy."""
        super().run(tmp, task_vars)
        source, target = str(self._task.args.get("source", "")), str(self._task.args.get("target", ""))
        confirmed = str(self._task.args.get("confirm") or "")
        known = task_vars or {}
        addresses = {
            host: str(known["hostvars"][host]["ansible_host"])
            for host in known["groups"]["all"]
            if "ansible_host" in known["hostvars"][host]
        }
        found = direction.faults(source, target, known["groups"], addresses)
        if not found and confirmed != target:
            found.append(f"confirm that {target!r} may be overwritten: -e clone_confirm={target}")
        if found:
            return {"failed": True, "changed": False, "msg": f"{source} -> {target}: " + "; ".join(found)}
        return {"changed": False, "msg": f"{source} may be copied to {target}"}
