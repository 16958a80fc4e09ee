"""Action ``compare``: the snapshots of two environments, compared on the controller."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.compare.differences import compare, rules
from encaja.compare.environments import Environment
from encaja.errors import EncajaError


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller and changes nothing."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the comparison; fail if a host has no snapshot."""
        super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(
            argument_spec={
                "a": {"type": "str", "required": True},
                "b": {"type": "str", "required": True},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "expected": {"type": "list", "elements": "dict", "default": []},
                "drift": {"type": "float", "default": 0.0},
            }
        )
        variables = task_vars or {}
        try:
            expected = rules(asked["expected"])
            one, other = (self._environment(asked[side], asked["hosts"], variables) for side in ("a", "b"))
        except EncajaError as fault:
            raise AnsibleActionFail(str(fault)) from fault
        return {"changed": False, "comparison": compare(one, other, expected, asked["drift"]).as_dict()}

    def _environment(self, name: str, hosts: list[str], variables: dict[str, Any]) -> Environment:
        members = [host for host in hosts if host in variables["groups"].get(name, ())]
        taken = {host: variables["hostvars"][host].get("compare_snapshot") or {} for host in members}
        faults = [
            f"{host}: {result.get('msg', 'no answer')}" for host, result in taken.items() if "snapshot" not in result
        ]
        if faults:
            raise EncajaError("; ".join(faults), name, "fix it and compare again")
        if not any(host in variables["groups"].get("portal", ()) for host in members):
            raise EncajaError("no host of group 'portal'", f"environment {name}", "give the inventories of both")
        return Environment.of(name, {host: result["snapshot"] for host, result in taken.items()})
