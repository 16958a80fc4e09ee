"""Action ``certificate_list``: a host's certificates, validated as a client would."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.certificate_inputs import known_roots
from encaja.certificates import examine
from encaja.errors import EncajaError


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads the files with Ansible's own modules; keys are not read."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a row per certificate: names, issuer, dates, and what a client would refuse."""
        super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(
            argument_spec={
                "names": {"type": "dict", "default": {}},
                "trusted": {"type": "list", "elements": "str", "default": []},
                "renew_days": {"type": "int", "default": 30},
                "folder": {"type": "path", "default": "/etc/encaja/tls"},
            }
        )
        variables = task_vars or {}
        listed = self._call("find", {"paths": [asked["folder"]], "patterns": ["*.crt"], "file_type": "any"}, variables)
        try:
            roots = known_roots(self, asked["trusted"])
        except (EncajaError, ValueError) as fault:
            raise AnsibleActionFail(f"certificates: {fault}") from fault
        rows = []
        for path in sorted(item["path"] for item in listed["files"]):
            name = PurePosixPath(path).stem
            pem = base64.b64decode(self._call("slurp", {"src": path}, variables)["content"])
            wanted = [str(one) for one in asked["names"].get(name, [])]
            found = examine(pem, None, b"", names=wanted, roots=roots, renew_days=asked["renew_days"])
            rows.append({"host": variables["inventory_hostname"], **found.as_row(name)})
        return {"changed": False, "certificates": rows}

    def _call(self, module: str, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=f"ansible.builtin.{module}", module_args=arguments, task_vars=variables
        )
        if result.get("failed"):
            raise AnsibleActionFail(str(result.get("msg", f"{module} failed")))
        return result
