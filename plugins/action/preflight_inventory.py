"""Action ``preflight_inventory``: everything wrong with the play's inventory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.role_values import parents
from encaja.preflight import inventory


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller and changes nothing; ``faults`` in the result is a list of what, where, hint.

    ``advice`` is a list of warnings in the same form. With ``refuse`` it fails on faults.
    """

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate the variables of all hosts, or of ``hosts``, as they are written."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        hostvars, groups = variables["hostvars"], variables["groups"]
        wanted = self._task.args.get("hosts") or [host for host in groups["all"] if host != "localhost"]
        hosts = {host: dict(hostvars.raw_get(host)) for host in wanted}
        found = inventory.faults(hosts, groups, next(parents()))
        warnings = self._licences(hosts, groups, hostvars)
        requires = [self._required(item, hosts, variables) for item in self._task.args.get("requires") or []]
        lacking, later = inventory.requirement_faults(hosts, requires)
        found += lacking
        warnings += later
        result: dict[str, Any] = {
            "changed": False,
            "faults": [vars(fault) for fault in found],
            "advice": [vars(warning) for warning in warnings],
        }
        if found and self._task.args.get("refuse"):
            return {**result, "failed": True, "msg": "nothing was changed: " + "; ".join(map(str, found))}
        return result

    def _required(self, item: Mapping[str, Any], hosts: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """A step's requirement, with the hosts that match its patterns and its limit, or the groups without hosts."""
        if "groups" in item:
            return {**item, "absent": [name for name in item["groups"] if not self._matching(name, variables)]}
        concerned = self._matching(":".join(item["hosts"]), variables)
        if item.get("limit"):
            within = self._matching(item["limit"], variables)
            concerned = [host for host in concerned if host in within]
        return {**item, "hosts": [host for host in concerned if host in hosts]}

    def _matching(self, pattern: str, variables: dict[str, Any]) -> list[str]:
        lookup = lookup_loader.get("inventory_hostnames", loader=self._loader, templar=self._templar)
        found: list[str] = lookup.run([pattern], variables=variables) if pattern else []
        return found

    def _licences(
        self, hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Any], hostvars: Any
    ) -> list[inventory.Fault]:
        """Licence keys in too many places; values that cannot be templated are reported elsewhere."""
        keys: dict[str, str] = {}
        covers: dict[str, int] = {}
        for host in hosts:
            try:
                key = str(hostvars[host].get("encaja_licence_key") or "")
                covers[host] = int(hostvars[host].get("encaja_licence_installations") or 1)
            except (AnsibleError, ValueError):
                continue
            if key.strip().lower() not in inventory.PLACEHOLDERS:
                keys[host] = key
        return inventory.licence_warnings(keys, covers, groups)
