"""Controller side of ``trust_store``: validates the authorities and passes them to the host by name."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.module_utils import trusted_roots
from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible import converged
from encaja.ansible.certificate_inputs import given_pem
from encaja.certificates import authorities
from encaja.errors import EncajaError


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads, validates and installs authorities."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with all problems together, or have the host trust the authorities."""
        super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(
            argument_spec={
                "trusted": {"type": "list", "elements": "str", "default": []},
                "authority": {"type": "str", "default": ""},
                "authority_name": {"type": "str", "default": "encaja-lab"},
                "folder": {"type": "path", "default": "/usr/local/share/ca-certificates"},
            }
        )
        wanted: dict[str, str] = {}
        faults = []
        for number, given in enumerate(asked["trusted"]):
            try:
                found = authorities(given_pem(self, given), given if "-----" not in given else f"trusted[{number}]")
                wanted |= {f"encaja/{name}.crt": pem for name, pem in found.items()}
            except EncajaError as fault:
                faults.append(str(fault))
        if asked["authority"]:
            try:
                pem = given_pem(self, asked["authority"]).decode("ascii", errors="replace").strip() + "\n"
                wanted[f"{asked['authority_name']}.crt"] = pem
            except EncajaError as fault:
                faults.append(str(fault))
        if faults:
            raise AnsibleActionFail("trust_store: " + "; ".join(faults))
        arguments = {"files": wanted, "folder": asked["folder"], "owned": "encaja"}
        return converged.ask(self, "trust_store", arguments, task_vars or {}, trusted_roots)
