"""Controller side of ``config_files``: render every template here, then converge all files in one round trip."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

KINDS = ("template", "content", "copy", "directory", "link", "absent")
KEYS = {*KINDS, "dest", "to", "owner", "group", "mode", "secret", "force", "state"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turn ``template``, ``content`` and ``copy`` items into bytes and hand the whole list to the module."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, send, and return the module's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        files = self._task.args.get("files")
        if not isinstance(files, list):
            raise AnsibleActionFail("config_files: 'files' must be a list of files; see the module's documentation")
        unknown = set(self._task.args) - {"files", "validate"}
        faults = [f"unknown option {name!r}" for name in sorted(unknown)]
        prepared = []
        for number, item in enumerate(files):
            if item:
                try:
                    prepared.append(self._prepare(item, variables))
                except AnsibleActionFail as fault:
                    faults.append(f"files[{number}]: {fault.message}")
        if faults:
            raise AnsibleActionFail("config_files: " + "; ".join(faults))
        result: dict[str, Any] = self._execute_module(
            module_name="encaja.portal.config_files",
            module_args={
                "files": prepared,
                "validate": self._task.args.get("validate"),
                "diff": bool(self._task.diff),
            },
            task_vars=variables,
        )
        return result

    def _prepare(self, item: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        kinds = [kind for kind in KINDS if kind in item]
        if len(kinds) != 1:
            raise AnsibleActionFail(f"give exactly one of {', '.join(KINDS)}, found {kinds or 'none'}")
        if extra := set(item) - KEYS:
            raise AnsibleActionFail(f"unknown key {', '.join(sorted(extra))}")
        kind = kinds[0]
        sent: dict[str, Any] = {key: item[key] for key in ("owner", "group", "mode", "secret", "force") if key in item}
        if kind in ("template", "content", "copy"):
            if "dest" not in item:
                raise AnsibleActionFail("'dest' is missing")
            return {**sent, "kind": "file", "path": item["dest"], "content": self._content(kind, item, variables)}
        if kind == "link" and "to" not in item:
            raise AnsibleActionFail("'to' is missing: where the link points")
        return {**sent, "kind": kind, "path": item[kind], "to": item.get("to")}

    def _content(self, kind: str, item: dict[str, Any], variables: dict[str, Any]) -> str:
        if kind == "content":
            data = str(item["content"]).encode()
        elif kind == "copy":
            data = Path(self._find_needle("files", item["copy"])).read_bytes()
        else:
            data = self._render(item["template"], variables).encode()
        return base64.b64encode(data).decode()

    def _render(self, name: str, variables: dict[str, Any]) -> str:
        """What the lookup ``template`` does, without its deep copy of all of the host's variables for every file."""
        path = self._find_needle("templates", name)
        scope = {"ansible_managed": "Ansible managed", **variables}
        folders = [str(Path(folder) / "templates") for folder in variables.get("ansible_search_path", [])]
        templar = self._templar.copy_with_new_env(
            searchpath=[str(Path(path).parent), *folders], available_variables=scope
        )
        text = trust_as_template(self._loader.get_text_file_contents(path))
        return str(templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True}))
