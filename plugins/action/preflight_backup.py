"""Controller side of ``preflight_backup``: what the host saw of a backup, in words and numbers."""

from __future__ import annotations

import base64
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.preflight.backup import Look, check_link, first_of, judge_folder, judge_link, judge_volumes, sampled
from encaja.restore.fetch.links import Link, read_index


class ActionModule(ActionBase):  # type: ignore[misc]
    """Has the host inspect the backup, and evaluates the result with the restore's code."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``faults``, ``bytes`` and ``volumes``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        source, volumes = str(given.get("source") or ""), int(given.get("volumes") or 0)
        self._vars, self._timeout = task_vars, int(given.get("timeout") or 20)
        self._hosts = given.get("hosts") or []
        if not source:
            return {**result, "faults": [], "bytes": 0, "volumes": 0, "skipped": True, "msg": "no backup is configured"}
        look = self._folder(source) if source.startswith("/") else self._link(source, volumes)
        faults = [{"what": what, "hint": hint} for what, hint in look.faults]
        return {
            **result,
            "changed": False,
            "faults": faults,
            "bytes": look.size,
            "volumes": look.volumes,
            "msg": look.said,
        }

    def _ask(self, **arguments: object) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="encaja.portal.preflight_backup",
            module_args={**arguments, "hosts": self._hosts, "timeout": self._timeout},
            task_vars=self._vars,
        )
        return found

    def _link(self, url: str, volumes: int) -> Look:
        refused = check_link(url)
        if refused:
            return refused
        link = Link(url)
        found = self._ask(url=url, page="" if link.name.compressed or volumes else link.folder)
        if found.get("failed"):
            return Look(faults=((str(found.get("msg")), "see the task's output"),))
        head = base64.b64decode(found["head"])
        look = judge_link(
            url,
            status=found["status"],
            error=found["error"],
            head=head,
            first_size=found["size"],
            index=found["page"],
            volumes=volumes,
        )
        numbers = sampled(look.volumes)
        if look.faults or not numbers:
            return look
        entries = read_index(found["page"], link.folder, link.name)
        targets = [entries[number].url if number in entries else link.target(number).url for number in numbers]
        asked = self._ask(urls=targets)
        if asked.get("failed"):
            return Look(faults=((str(asked.get("msg")), "see the task's output"),))
        return judge_volumes(url, look, dict(zip(numbers, asked["answers"], strict=True)))

    def _folder(self, folder: str) -> Look:
        found = self._ask(folder=folder)
        if not found.get("failed") and (first := first_of(list(found["files"]))):
            found = self._ask(folder=folder, first=first)
        if found.get("failed") or found["error"]:
            reason = str(found.get("msg") or found["error"])
            return Look(faults=((f"{folder} cannot be read: {reason}", "copy the backup's volumes there"),))
        return judge_folder(folder, found["files"], base64.b64decode(found["head"]))
