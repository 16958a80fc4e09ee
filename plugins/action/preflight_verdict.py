"""Action ``preflight_verdict``: one list of all faults, and one of all warnings; fails if there are faults."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.action.role_arguments import split_cure
from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.preflight.inventory import Fault

_VARIABLE = re.compile(r"\b[a-z]\w*_\w+")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Merges the faults of the inventory with those of the hosts."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``faults`` and ``advice``; fail with all faults, one line each, when there are any."""
        super().run(tmp, task_vars)
        hostvars = (task_vars or {})["hostvars"]
        inspected: list[str] = []
        backups: list[dict[str, Any]] = []
        of_inventory = [Fault(**fault) for fault in self._task.args["inventory"]]
        found = list(of_inventory)
        advice = [Fault(**warning) for warning in self._task.args.get("advice") or []]
        for host in self._task.args["hosts"]:
            result = hostvars[host].get("preflight_host_result")
            if result is None:
                continue
            inspected.append(host)
            if result.get("unreachable"):
                what = ": ".join(filter(None, ["no answer by SSH", reason(str(result.get("msg") or ""))]))
                found.append(Fault(what, host, "check its address, its SSH port, its host key and your key"))
            found += self._seen(host, result)
            advice += [Fault(item["what"], host, item["hint"]) for item in result.get("advice", [])]
            found += self._seen(host, hostvars[host].get("preflight_push_result") or {})
            found += self._backup(host, hostvars[host].get("preflight_backup_result") or {}, backups)
            roles = hostvars[host].get("preflight_roles_result") or {}
            found += self._seen(host, {key: roles[key] for key in ("failed", "msg") if key in roles})
            found += of_roles(host, roles.get("faults", []), of_inventory)
            advice += of_roles(host, roles.get("advice", []), [])
        found, advice = joined(found), joined(advice)
        document: dict[str, Any] = {
            "kind": "preflight",
            "hosts": inspected,
            "faults": [vars(fault) for fault in found],
            "warnings": [vars(warning) for warning in advice],
            "backups": backups,
        }
        result = {
            "changed": False,
            "faults": document["faults"],
            "advice": document["warnings"],
            "encaja_result": document,
        }
        if found:
            said = f"{len(found)} thing{'s' if len(found) > 1 else ''} to fix before the move:\n"
            return {**result, "failed": True, "msg": said + "\n".join(str(fault) for fault in found)}
        return {**result, "msg": "\n".join(["nothing stands in the way", *map(str, advice)])}

    @staticmethod
    def _seen(host: str, result: dict[str, Any]) -> list[Fault]:
        """The findings of an inspection of a host, or that it failed."""
        if result.get("failed"):
            return [Fault(str(result.get("msg", "could not be inspected")), host, "see the task's output")]
        return [Fault(fault["what"], host, fault["hint"]) for fault in result.get("faults", [])]

    @staticmethod
    def _backup(host: str, result: dict[str, Any], backups: list[dict[str, Any]]) -> list[Fault]:
        """What is wrong with the backup as seen by a host; adds its view to ``backups``."""
        if result.get("unreachable") or "bytes" not in result:
            return []
        if result["volumes"]:
            backups.append({"host": host, "volumes": result["volumes"], "bytes": result["bytes"]})
        return [Fault(fault["what"], host, fault["hint"]) for fault in result["faults"]]


def reason(message: str) -> str:
    """Why a host cannot be reached, from the connection's message: its last line is SSH's own."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("Task failed: ").rstrip(".") if lines else ""


def of_roles(host: str, lines: Iterable[str], reported: Iterable[Fault]) -> list[Fault]:
    """Faults of a host's roles, without variables that the inventory's own faults already name."""
    known = {
        name for fault in reported if host in fault.where.split(", ") for name in _VARIABLE.findall(fault.what)[:1]
    }
    fresh = [line for line in lines if not known & set(_VARIABLE.findall(line))]
    return [Fault(what, host, hint) for what, hint in map(split_cure, fresh)]


def joined(faults: Iterable[Fault]) -> list[Fault]:
    """Faults with the same fault of several hosts merged into one."""
    where: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        hosts = where.setdefault((fault.what, fault.hint), [])
        hosts += [host for host in fault.where.split(", ") if host not in hosts]
    return [Fault(what, ", ".join(hosts), hint) for (what, hint), hosts in where.items()]
