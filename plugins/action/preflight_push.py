"""Controller side of ``preflight_push``: whether role ``push`` could install its release on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.module_utils.push_tarball import Tarball
from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.role_values import scope
from encaja.preflight import push


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads the role's values, has the host inspect, and evaluates the result."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``faults``; none where the role's values cannot be templated, which is reported elsewhere."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        seen = scope("push", task_vars or {})
        templar = self._templar.copy_with_new_env(available_variables=seen)
        names = ("push_tarball", "push_tarball_sha256", "push_release", "push_packages", "push_from_url")
        try:
            tarball, sha256, release, packages, from_url = (templar.template(seen[name]) for name in names)
        except AnsibleError:
            tarball = ""
        if not tarball:
            return {**result, "changed": False, "faults": []}
        arguments = {
            "release": release,
            "url": tarball if from_url else "",
            "hosts": self._task.args.get("hosts") or [],
        }
        found = self._execute_module(
            module_name="encaja.portal.preflight_push", module_args=arguments, task_vars=task_vars
        )
        if found.get("failed") or found.get("unreachable"):
            return {**result, **found}
        faults: push.Faults = []
        if not found["present"] and not from_url:
            faults = push.judge_file(Path(self._path(tarball)), sha256, packages, found["libraries"])
        elif not found["present"] and found["error"]:
            faults = [(f"the push server's tarball {tarball} {found['error']}", "correct encaja_push_tarball")]
        elif not found["present"]:
            held = Tarball(found["sha256"], tuple(found["needed"]), tuple(found["held"]))
            faults = push.judge(tarball, held, sha256, packages, found["libraries"])
        return {**result, "changed": False, "faults": [{"what": what, "hint": hint} for what, hint in faults]}

    def _path(self, tarball: str) -> str:
        """Where the role's task would find the file."""
        try:
            return str(self._find_needle("files", tarball))
        except AnsibleError:
            return tarball
