"""What actions make on the controller of what their hosts answer."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.encaja.portal.plugins.action import (
    certificate_list,
    clone_direction,
    compare,
    host_settings,
    packages,
    preflight_host,
    preflight_verdict,
    service_units,
    trust_store,
)
from ansible_collections.encaja.portal.plugins.module_utils import unit_states
from encaja.ansible import converged
from support.actions import made
from support.host_snapshots import snapshot
from unit.test_certificates import Signed

ROOT = Signed("Acme Root", last_day=4000)
NAME = "portal.example.org"


def run(module: Any, arguments: dict[str, Any], **variables: Any) -> dict[str, Any]:
    action = made(module.ActionModule, arguments)
    action._find_needle = lambda _, name: name
    result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "one", **variables})
    return result


class TestVerdict:
    """What the preflight says of an estate: every fault once, with all hosts that have it."""

    INVENTORY: ClassVar[list[dict[str, str]]] = [{"what": "portal_host is missing", "where": "one", "hint": "set it"}]

    def verdict(self, inventory: list[dict[str, str]] | None = None, **hosts: Any) -> dict[str, Any]:
        arguments = {"inventory": inventory or [], "hosts": [*hosts, "unseen"], "advice": []}
        return run(preflight_verdict, arguments, hostvars={**hosts, "unseen": {}})

    def test_nothing_stands_in_the_way(self) -> None:
        warned = {"preflight_host_result": {"advice": [{"what": "little memory", "hint": "add some"}]}}
        result = self.verdict(one=warned, two=warned)
        assert not result.get("failed")
        assert result["msg"] == "nothing stands in the way\none, two: little memory (add some)"
        assert result["encaja_result"]["hosts"] == ["one", "two"], "a host without a result was not inspected"

    def test_the_same_fault_of_several_hosts_is_one(self) -> None:
        full = {"preflight_host_result": {"faults": [{"what": "the disk is full", "hint": "free some"}]}}
        broken = {"preflight_host_result": {"failed": True, "msg": "no Python"}}
        result = self.verdict(self.INVENTORY, one=full, two=full, three=broken)
        assert result["failed"]
        assert [(fault["what"], fault["where"]) for fault in result["faults"]] == [
            ("portal_host is missing", "one"), ("the disk is full", "one, two"), ("no Python", "three"),
        ]  # fmt: skip
        assert result["msg"].startswith("3 things to fix before the move:\n")

    def test_a_host_out_of_reach_says_why_in_ssh_s_own_words(self) -> None:
        message = "Task failed: Failed to connect\n\nssh: Permission denied (publickey).\n"
        result = self.verdict(one={"preflight_host_result": {"unreachable": True, "msg": message}})
        [fault] = result["faults"]
        assert fault["what"] == "no answer by SSH: ssh: Permission denied (publickey)"
        assert result["msg"].startswith("1 thing to fix")

    def test_a_variable_that_the_inventory_names_is_not_named_by_the_roles_again(self) -> None:
        inventory = [{"what": "portal_host is missing", "where": "one, two", "hint": ""}]
        roles = {"faults": ["portal_host has to be a name", "web_port is no number"], "advice": []}
        seen = {"preflight_host_result": {}, "preflight_roles_result": roles}
        result = self.verdict(inventory, two=seen)
        assert [fault["what"] for fault in result["faults"]] == ["portal_host is missing", "web_port is no number"]

    def test_what_push_backup_and_roles_say_counts_too(self) -> None:
        seen = {
            "preflight_host_result": {},
            "preflight_push_result": {"faults": [{"what": "no tarball", "hint": ""}]},
            "preflight_backup_result": {"bytes": 7, "volumes": 2, "faults": [{"what": "link expired", "hint": ""}]},
            "preflight_roles_result": {"failed": True, "msg": "no such role"},
        }
        gone = {"preflight_host_result": {}, "preflight_backup_result": {"unreachable": True}}
        result = self.verdict(one=seen, two=gone)
        assert [fault["what"] for fault in result["faults"]] == ["no tarball", "link expired", "no such role"]
        assert result["encaja_result"]["backups"] == [{"host": "one", "volumes": 2, "bytes": 7}]


class TestCloneDirection:
    """A copy goes from production to something else, and only where a person has named the target."""

    GROUPS: ClassVar[dict[str, list[str]]] = {
        **{key: ["p", "t"] for key in ("all", "portal", "database")}, "production": ["p"], "test": ["t"],
    }  # fmt: skip

    def asked(self, target: str, confirm: str = "", address: str = "192.0.2.2") -> dict[str, Any]:
        hosts = {"p": {"ansible_host": "192.0.2.1"}, "t": {"ansible_host": address}}
        arguments = {"source": "production", "target": target, "confirm": confirm}
        return run(clone_direction, arguments, groups=self.GROUPS, hostvars=hosts)

    def test_it_may_where_the_target_is_confirmed(self) -> None:
        assert self.asked("test", "test") == {"changed": False, "msg": "production may be copied to test"}
        assert "-e clone_confirm=test" in self.asked("test")["msg"]
        assert self.asked("test", "production")["failed"]

    def test_it_may_never_be_production_or_a_host_with_its_address(self) -> None:
        assert self.asked("production", "production")["failed"]
        assert self.asked("test", "test", address="192.0.2.1")["failed"]


class TestCompare:
    """Two environments by the snapshots of their hosts."""

    GROUPS: ClassVar[dict[str, list[str]]] = {"production": ["p"], "test": ["t"], "portal": ["p", "t"]}
    ARGUMENTS: ClassVar[dict[str, Any]] = {"a": "production", "b": "test", "hosts": ["p", "t"]}

    def compared(self, other: dict[str, Any], groups: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        first = {"snapshot": snapshot("crm.acme.es", {"options": {"acme.note": "1"}})}
        hosts = {"p": {"compare_snapshot": first}, "t": {"compare_snapshot": other}}
        return run(compare, {**self.ARGUMENTS, **more}, groups=groups or self.GROUPS, hostvars=hosts)

    def test_a_difference_is_in_the_result(self) -> None:
        result = self.compared({"snapshot": snapshot("pre.acme.es", {"options": {"acme.note": "2"}})})
        assert "acme.note" in str(result["comparison"]) and not result["changed"]

    def test_a_host_without_a_snapshot_is_no_comparison(self) -> None:
        with pytest.raises(AnsibleActionFail, match="t: the database is away"):
            self.compared({"msg": "the database is away"})
        with pytest.raises(AnsibleActionFail, match="t: no answer"):
            self.compared({})
        with pytest.raises(AnsibleActionFail, match="no host of group 'portal'"):
            self.compared({"snapshot": {}}, {**self.GROUPS, "portal": ["p"]})
        with pytest.raises(AnsibleActionFail):
            self.compared({"snapshot": {}}, expected=[{"colour": "red"}])


class TestCertificates:
    """What hosts have, and what they are to trust."""

    def test_each_certificate_is_a_row_with_what_a_client_would_refuse(self) -> None:
        files = {
            "/tls/b.crt": Signed(NAME, ROOT, (NAME,)).pem, "/tls/a.crt": Signed("a", ROOT, ("a",), last_day=-1).pem,
        }  # fmt: skip

        def answer(*, module_name: str, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:
            if module_name.endswith("find"):
                return {"files": [{"path": path} for path in files]}
            return {"content": base64.b64encode(files[module_args["src"]]).decode()}

        action = made(certificate_list.ActionModule, {"names": {"b": [NAME]}, "trusted": [ROOT.pem.decode()]})
        action._execute_module = answer
        rows = action.run(task_vars={"inventory_hostname": "one"})["certificates"]
        assert [row["host"] for row in rows] == ["one", "one"]
        assert "expired" in str(rows[0]) and "expired" not in str(rows[1])
        action._execute_module = lambda **_: {"failed": True, "msg": "no such folder"}
        with pytest.raises(AnsibleActionFail, match="no such folder"):
            action.run(task_vars={"inventory_hostname": "one"})

    def test_authorities_that_are_none_are_told_together_and_no_host_is_asked(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        asked: list[Any] = []
        monkeypatch.setattr(converged, "ask", lambda *given: asked.append(given[1:3]) or {"changed": True})
        leaf = Signed(NAME, ROOT, (NAME,)).pem.decode()
        with pytest.raises(AnsibleActionFail, match=r"trust_store: trusted\[0\].*; .*none"):
            run(trust_store, {"trusted": [leaf, str(tmp_path / "none")]})
        assert asked == []
        assert run(trust_store, {"trusted": [ROOT.pem.decode()], "authority": ROOT.pem.decode()})["changed"]
        [(module, arguments)] = asked
        assert (module, arguments["owned"]) == ("trust_store", "encaja")
        assert sorted(arguments["files"])[0] == "encaja-lab.crt"
        assert sorted(arguments["files"])[1].startswith("encaja/")


def test_the_clock_of_a_host_counts_from_when_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    action = made(preflight_host.ActionModule, {"skew_seconds": 5})
    for off, faults in ((0, 0), (-60, 1), (60, 1)):
        action._execute_module = lambda off=off, **_: {"clock": time.time() + off, "faults": []}
        assert len(action.run(task_vars={})["faults"]) == faults, off
    action._execute_module = lambda **_: {"failed": True, "msg": "no Python"}
    assert action.run(task_vars={})["msg"] == "no Python"


@pytest.mark.parametrize(("module", "name"), [(packages, "packages"), (host_settings, "host_settings")])
def test_what_is_known_to_hold_is_not_asked_of_a_host(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(converged, "ask", lambda _, *given: asked.append(given) or {"changed": False})
    assert run(module, {"present": ["a"]}) == {"changed": False}
    assert asked[0][:2] == (name, {"present": ["a"]})


def test_units_are_written_out_and_what_does_not_last_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(converged, "ask", lambda *known, lasting=None: asked.append((known[2], lasting)) or {})
    run(service_units, {"units": [{"name": "nginx.service", "state": "started", "enabled": True}]})
    given, lasting = asked[0]
    assert given["units"] == [unit_states.normalise({"name": "nginx.service", "state": "started", "enabled": True})]
    assert lasting["units"] == unit_states.settled(given["units"])
    with pytest.raises(AnsibleActionFail, match="service_units: "):
        run(service_units, {"units": [{"name": "nginx.service", "colour": "red"}]})
    run(service_units, {"units": "{{ later }}"})
    assert asked[-1] == ({"units": "{{ later }}"}, None)
