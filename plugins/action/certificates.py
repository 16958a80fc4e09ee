"""Controller side of ``certificates``: validates provided certificates, signs the others, and installs both."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.certificate_inputs import given_authority, judge, source_of
from encaja.certificates import Authority, Found, examine
from encaja.errors import EncajaError


def _item(item: dict[str, Any]) -> dict[str, Any]:
    """A certificate as the host has to know it: by a name that a client asks for, not by a pattern."""
    names = [str(name) for name in item["names"] if not str(name).startswith("*")]
    return {"name": item["name"], "server_name": names[0] if names else item["name"]}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Validates, signs and installs certificates."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate all, fail with all problems together, then install."""
        super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(
            argument_spec={
                "certificates": {"type": "list", "elements": "dict", "required": True},
                "authority": {"type": "dict", "default": {}},
                "trusted": {"type": "list", "elements": "str", "default": []},
                "days": {"type": "int", "default": 365},
                "renew_days": {"type": "int", "default": 30},
                "requests": {"type": "path", "default": ""},
                "may_wait": {"type": "bool", "default": True},
                "services": {"type": "dict", "default": {}},
                "folder": {"type": "path", "default": "/etc/encaja/tls"},
                "group": {"type": "str", "default": "ssl-cert"},
            }
        )
        self._asked = asked
        self._variables = task_vars or {}
        try:
            judged = judge(
                self,
                asked["certificates"],
                asked["authority"],
                asked["trusted"],
                int(asked["renew_days"]),
                requests=asked["requests"] or "",
                may_wait=asked["may_wait"],
            )
            if judged.faults:
                faults = "; ".join(judged.faults)
                raise AnsibleActionFail(f"nothing was installed, the certificates have faults: {faults}")
            authority = given_authority(self, asked["authority"]) if judged.signed else None
        except EncajaError as fault:
            raise AnsibleActionFail(f"certificates: {fault}") from fault
        for warning in judged.warnings:
            self._display.warning(warning)
        given, signed, found = judged.given, judged.signed, judged.found
        items = [
            {
                **_item(item),
                "certificate": found[item["name"]].full_chain,
                "key": found[item["name"]].key,
                "requested": source_of(item) == "bought",
            }
            for item in given
        ]
        result = self._place(items + [_item(item) for item in signed])
        if result.get("failed"):
            return result
        if authority is not None:
            result = self._sign(authority, signed, result)
        return self._report(result, found)

    def _place(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        arguments = {"items": items, **{key: self._asked[key] for key in ("folder", "group", "services")}}
        placed: dict[str, Any] = self._execute_module(
            module_name="encaja.portal.certificates",
            module_args=arguments,
            task_vars=self._variables,
        )
        return placed

    def _sign(self, authority: Authority, items: list[dict[str, Any]], before: dict[str, Any]) -> dict[str, Any]:
        """Sign certificates for the host's keys, install them, and return the sum of both calls."""
        seen = {item["name"]: item for item in before["seen"]}
        fresh = []
        for item in items:
            now = seen[item["name"]]
            names = [str(name) for name in item["names"]]
            reason = authority.reason_to_renew(
                now["certificate"], now["public_key"], names, self._asked["renew_days"], self._asked["days"]
            )
            if not reason:
                continue
            self._display.vv(f"{item['name']} is signed: {reason}")
            if now["public_key"]:
                pem = authority.issue(now["public_key"].encode(), names, self._asked["days"])
                fresh.append({**_item(item), "certificate": pem})
            else:  # check mode, in which the host generates no key
                before["changed"] = True
        if not fresh:
            return before
        after = self._place(fresh)
        if after.get("failed"):
            return after
        renewed = {item["name"]: item for item in after["seen"]}
        after["seen"] = [renewed.get(item["name"], item) for item in before["seen"]]
        after["files_changed"] = before["files_changed"] + after["files_changed"]
        after["served"] = before["served"] + after["served"]
        after["changed"] = True
        return after

    def _report(self, result: dict[str, Any], found: dict[str, Found]) -> dict[str, Any]:
        """Add facts about each certificate to the result."""
        facts = []
        for item in result.pop("seen", []):
            looked = found.get(item["name"])
            if looked is None and item["certificate"]:
                looked = examine(item["certificate"].encode(), None, b"", names=[], roots=[])
            if looked is None or looked.expires is None:
                continue
            facts.append(looked.facts(item["name"]))
        result["certificates"] = facts
        return result
