"""Controller side of ``config_files``: renders templates, then converges all files in one round trip."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.encaja.portal.plugins.module_utils import file_items
from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible import converged


class ActionModule(ActionBase):  # type: ignore[misc]
    """Renders ``template`` and reads ``copy`` into ``content``, and passes the list to the module."""

    _validator = ArgumentSpecValidator(file_items.OPTIONS, **file_items.RULES)

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
        if unknown := sorted(set(self._task.args) - {"files", "validate"}):
            raise AnsibleActionFail(f"config_files: unknown option {', '.join(map(repr, unknown))}")
        faults, prepared = [], []
        for number, item in enumerate(files):
            if item:
                errors = (
                    self._validator.validate(item).error_messages if isinstance(item, dict) else ["is not a dictionary"]
                )
                faults += [f"files[{number}]: {fault}" for fault in errors]
                if not errors:
                    prepared.append(self._prepared(item, variables))
        if faults:
            raise AnsibleActionFail("config_files: " + "; ".join(faults))
        asked = {"files": prepared, "validate": self._task.args.get("validate")}
        return converged.ask(self, "config_files", asked, variables, file_items)

    def _prepared(self, item: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The item with its template or file as ``content``."""
        kept = {key: value for key, value in item.items() if key not in ("template", "content", "copy")}
        if "template" in item:
            data = self._render(item["template"], variables).encode()
        elif "copy" in item:
            data = Path(self._find_needle("files", item["copy"])).read_bytes()
        elif "content" in item:
            data = file_items.content_of({"encoding": "text", **item, "content": str(item["content"])})
        else:
            return kept
        return {**kept, "content": base64.b64encode(data).decode(), "encoding": "base64"}

    def _render(self, name: str, variables: dict[str, Any]) -> str:
        """Render like the lookup ``template``, but without its deep copy of all host variables for every file."""
        path = self._find_needle("templates", name)
        scope = {"ansible_managed": "Ansible managed", **variables}
        folders = [str(Path(folder) / "templates") for folder in variables.get("ansible_search_path", [])]
        templar = self._templar.copy_with_new_env(
            searchpath=[str(Path(path).parent), *folders], available_variables=scope
        )
        text = trust_as_template(self._loader.get_text_file_contents(path))
        return str(templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True}))
