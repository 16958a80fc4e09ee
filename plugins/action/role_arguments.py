"""Action ``role_arguments``: validates the arguments of all roles of a host before one of them changes anything."""

from __future__ import annotations

import re
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.ansible.role_values import folder, read, scope
from encaja.errors import EncajaError
from encaja.preflight.inventory import WORKED_OUT

CURE = re.compile(r"; |: (?=set |give |name |take |add |write |use )")
NO_FACT = "has no attribute"
UNDEFINED = re.compile(r"'(\w+)' is undefined")


def with_hint(line: str, hint: str | None) -> str:
    """A line of what is wrong, with how to fix it where it does not say so itself."""
    return f"{line}; {hint}" if hint and not CURE.search(line) else line


def split_cure(line: str) -> tuple[str, str]:
    """Split a line of a rule or a specification into what is wrong and how to fix it."""
    found = CURE.search(line)
    if " is not set (" in line:
        return line, "set it in the environment's group_vars or vault.yml"
    if not found:
        return line, "see docs/variables.md"
    return line[: found.start()], line[found.start() :].lstrip(";: ")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller and changes nothing."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with all faults of all roles, or return them where ``refuse`` is false."""
        super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(
            argument_spec={
                "roles": {"type": "list", "elements": "str", "required": True},
                "refuse": {"type": "bool", "default": True},
            }
        )
        roles = asked["roles"]
        variables = task_vars or {}
        self._undefined: dict[str, list[str]] = {}
        self._advice: list[str] = []
        self._has_facts = "distribution" in (variables.get("ansible_facts") or {})
        try:
            of_roles = [fault for role in roles for fault in self._faults(str(role), variables)]
        except EncajaError as fault:
            raise AnsibleActionFail(f"role_arguments: {fault}") from fault
        missing = [f"{name} is not set ({', '.join(users)})" for name, users in sorted(self._undefined.items())]
        faults = list(dict.fromkeys(missing + of_roles))
        advice = list(dict.fromkeys(self._advice))
        result: dict[str, Any] = {"changed": False, "faults": faults, "advice": advice}
        if not asked["refuse"]:
            return result
        where = variables.get("inventory_hostname", "")
        for line in advice:
            self._display.warning(f"{where}: {line}")
        if faults:
            return {**result, "failed": True, "msg": f"{where}: " + "; ".join(faults)}
        return {**result, "msg": f"the arguments of {len(roles)} roles are valid"}

    def _faults(self, role: str, variables: dict[str, Any]) -> list[str]:
        meta = folder(role) / "meta"
        specs = read(meta / "argument_specs.yml").get("argument_specs", {})
        options = (specs.get("main") or specs.get(WORKED_OUT) or {}).get("options") or {}
        seen = scope(role, variables)
        templar = self._templar.copy_with_new_env(available_variables=seen)
        found: list[str] = []
        given: dict[str, Any] = {}
        broken = set()
        for name in options:
            if name in seen:
                try:
                    # Values that refer to this one use the result.
                    given[name] = seen[name] = templar.template(seen[name])
                except AnsibleError as fault:
                    broken.add(name)
                    found += self._sort(name, fault)
        sound = {name: spec for name, spec in options.items() if name not in broken}
        found += ArgumentSpecValidator(sound).validate(given, validate_role_argument_spec=True).error_messages
        for rule in read(meta / "rules.yml") or []:
            wanted = rule["that"] if isinstance(rule["that"], list) else [rule["that"]]
            try:
                if not all(templar.evaluate_conditional(one) for one in wanted):
                    said = templar.template(rule["fail_msg"])
                    lines = said if isinstance(said, list) else [said]
                    (self._advice if rule.get("warns") else found).extend(
                        with_hint(str(line).strip(), rule.get("hint")) for line in lines
                    )
            except AnsibleError as fault:
                found += self._sort(role, fault)
        return found

    def _sort(self, name: str, fault: AnsibleError) -> list[str]:
        """Collect undefined variables under their names, and return other errors."""
        found = UNDEFINED.search(str(fault))
        if not self._has_facts and NO_FACT in str(
            fault
        ):  # a host that does not answer: only values without facts count
            return []
        if not found:
            return [f"{name}: {fault.message}"]
        users = self._undefined.setdefault(found.group(1), [])
        if name not in users:
            users.append(name)
        return []
