"""Controller side of ``certificates``: check what is given, sign what is not, and have the host place both."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from encaja.ansible.given import given_path, given_pem, known_roots
from encaja.certificates import Authority, Found, examine
from encaja.errors import EncajaError

KEYS = {"name", "names", "certificate", "key", "chain"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Check, sign and place certificates."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check all, fail with all faults at once, then place."""
        super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(
            argument_spec={
                "certificates": {"type": "list", "elements": "dict", "required": True},
                "authority": {"type": "dict", "default": {}},
                "trusted": {"type": "list", "elements": "str", "default": []},
                "days": {"type": "int", "default": 397},
                "renew_days": {"type": "int", "default": 30},
                "folder": {"type": "path", "default": "/etc/encaja/tls"},
                "group": {"type": "str", "default": "ssl-cert"},
            }
        )
        self._asked = asked
        self._variables = task_vars or {}
        try:
            given, signed = self._sort(asked["certificates"])
            found = self._examine(given)
            authority = self._authority(signed)
        except EncajaError as fault:
            raise AnsibleActionFail(f"certificates: {fault}") from fault
        items = [
            {"name": item["name"], "certificate": found[item["name"]].full_chain, "key": self._key(item)}
            for item in given
        ]
        result = self._place(items + [{"name": item["name"]} for item in signed])
        if result.get("failed"):
            return result
        if authority is not None:
            result = self._sign(authority, signed, result)
        return self._report(result, found)

    def _sort(self, items: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        faults = []
        for number, item in enumerate(items):
            where = item.get("name") or f"certificates[{number}]"
            if missing := {"name", "names"} - {key for key in item if item[key]}:
                faults.append(f"{where}: {' and '.join(sorted(missing))} missing")
            if unknown := set(item) - KEYS:
                faults.append(f"{where}: unknown key {', '.join(sorted(unknown))}")
            if bool(item.get("certificate")) != bool(item.get("key")):
                faults.append(f"{where}: give both the certificate and its key, or neither")
        if faults:
            raise AnsibleActionFail("certificates: " + "; ".join(faults))
        return [item for item in items if item.get("key")], [item for item in items if not item.get("key")]

    def _key(self, item: dict[str, Any]) -> str:
        return given_pem(self, item["key"]).decode("ascii", errors="replace").strip() + "\n"

    def _examine(self, given: list[dict[str, Any]]) -> dict[str, Found]:
        if not given:
            return {}
        roots = known_roots(self, self._asked["trusted"])
        found: dict[str, Found] = {}
        faults = []
        for item in given:
            chain = given_pem(self, item["chain"]) if item.get("chain") else b""
            looked = examine(
                given_pem(self, item["certificate"]),
                given_pem(self, item["key"]),
                chain,
                names=item["names"],
                roots=roots,
                renew_days=self._asked["renew_days"],
            )
            found[item["name"]] = looked
            faults += [f"{item['name']}: {fault}" for fault in looked.faults]
            for warning in looked.warnings:
                self._display.warning(f"the certificate {item['name']} {warning}")
        if faults:
            raise AnsibleActionFail("nothing was installed, the certificates have faults: " + "; ".join(faults))
        return found

    def _authority(self, signed: list[dict[str, Any]]) -> Authority | None:
        if not signed:
            return None
        authority = self._asked["authority"]
        if not authority.get("certificate") or not authority.get("key"):
            names = ", ".join(item["name"] for item in signed)
            raise AnsibleActionFail(
                f"there is no certificate for {names}: set tls_certificate and tls_key to its files, or "
                "tls_ca_certificate and tls_ca_key to those of a private authority that signs it"
            )
        return Authority.load(given_path(self, authority["certificate"]), given_path(self, authority["key"]))

    def _place(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        arguments = {"items": items, "folder": self._asked["folder"], "group": self._asked["group"]}
        placed: dict[str, Any] = self._execute_module(
            module_name="certificates", module_args=arguments, task_vars=self._variables
        )
        return placed

    def _sign(self, authority: Authority, items: list[dict[str, Any]], before: dict[str, Any]) -> dict[str, Any]:
        """Sign for the hosts' keys what has to be signed, place it, and return the sum of both calls."""
        seen = {item["name"]: item for item in before["seen"]}
        fresh = []
        for item in items:
            now = seen[item["name"]]
            days = self._asked["renew_days"]
            names = [str(name) for name in item["names"]]
            reason = authority.reason_to_renew(now["certificate"], now["public_key"], names, days)
            if not reason:
                continue
            self._display.vv(f"{item['name']} is signed: {reason}")
            if now["public_key"]:
                pem = authority.issue(now["public_key"].encode(), names, self._asked["days"])
                fresh.append({"name": item["name"], "certificate": pem})
            else:  # check mode, where the host made no key
                before["changed"] = True
        if not fresh:
            return before
        after = self._place(fresh)
        if after.get("failed"):
            return after
        renewed = {item["name"]: item for item in after["seen"]}
        after["seen"] = [renewed.get(item["name"], item) for item in before["seen"]]
        after["files_changed"] = before["files_changed"] + after["files_changed"]
        after["changed"] = True
        return after

    def _report(self, result: dict[str, Any], found: dict[str, Found]) -> dict[str, Any]:
        """Say what each certificate is and how long it lasts."""
        told = []
        for item in result.pop("seen", []):
            looked = found.get(item["name"])
            if looked is None and item["certificate"]:
                looked = examine(item["certificate"].encode(), None, b"", names=[], roots=[])
            if looked is None or looked.expires is None:
                continue
            told.append(looked.facts(item["name"]))
        result["certificates"] = told
        return result
