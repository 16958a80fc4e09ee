"""Action ``preflight_verdict``: one list of all faults; fails when there is any."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from encaja.preflight.inventory import Fault


class ActionModule(ActionBase):  # type: ignore[misc]
    """Joins what was found in the inventory with what was found on the hosts."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``faults``; fail with all of them, one line each, when there are any."""
        super().run(tmp, task_vars)
        hostvars = (task_vars or {})["hostvars"]
        looked_at: list[str] = []
        backups: list[dict[str, Any]] = []
        found = [Fault(**fault) for fault in self._task.args["inventory"]]
        for host in self._task.args["hosts"]:
            result = hostvars[host].get("preflight_host_result")
            if result is None:
                continue
            looked_at.append(host)
            if result.get("unreachable"):
                found.append(Fault("no answer by SSH", host, "check its address, its SSH port and your key"))
            elif result.get("failed"):
                found.append(Fault(str(result.get("msg", "could not be looked at")), host, "see the task's output"))
            else:
                found += [Fault(fault["what"], host, fault["mend"]) for fault in result.get("faults", [])]
            found += self._backup(host, hostvars[host].get("preflight_backup_result") or {}, backups)
        lines = [str(fault) for fault in found]
        handed: dict[str, Any] = {
            "kind": "preflight",
            "hosts": looked_at,
            "faults": [vars(fault) for fault in found],
            "backups": backups,
        }
        result = {"changed": False, "faults": handed["faults"], "encaja_result": handed}
        if found:
            said = f"{len(found)} thing{'s' if len(found) > 1 else ''} to mend before the move:\n"
            return {**result, "failed": True, "msg": said + "\n".join(lines)}
        return {**result, "msg": "nothing stands in the way"}

    @staticmethod
    def _backup(host: str, result: dict[str, Any], backups: list[dict[str, Any]]) -> list[Fault]:
        """What is wrong with the backup as a host saw it; what it saw goes into ``backups``."""
        if result.get("unreachable") or "bytes" not in result:
            return []
        if result["volumes"]:
            backups.append({"host": host, "volumes": result["volumes"], "bytes": result["bytes"]})
        return [Fault(fault["what"], host, fault["mend"]) for fault in result["faults"]]
