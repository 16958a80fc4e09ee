"""What a host remembers, what still holds of it, and when the controller forgets it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.encaja.portal.plugins.callback.preload import CallbackModule
from ansible_collections.encaja.portal.plugins.module_utils import records, unit_states
from ansible_collections.encaja.portal.plugins.modules import config_files
from ansible_collections.encaja.portal.plugins.modules import converged as survey
from encaja.ansible import converged

OWNER = {"owner": str(os.getuid()), "group": str(os.getgid())}
RUNNING = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's memory in a folder of the test's, and none on the controller."""
    monkeypatch.setattr(records, "PATH", str(tmp_path / "state" / "converged.json"))
    monkeypatch.setattr(converged, "_held", {})


def run(module: Any, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """Run a module's main and return what it said."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


class Action:
    """An action whose host answers what it is asked."""

    def __init__(self, delegate: str | None = None) -> None:
        self._task = SimpleNamespace(delegate_to=delegate)
        self.asked: list[dict[str, Any]] = []

    def _execute_module(self, *, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        assert task_vars == {"inventory_hostname": "one"}
        self.asked.append(module_args)
        return {"changed": True, "by": module_name}


def ask(action: Action, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return converged.ask(action, "service_units", arguments, {"inventory_hostname": "one"}, unit_states, **more)


class TestHost:
    def files(self, folder: Path, content: str = "a\n") -> list[dict[str, Any]]:
        return [
            {"directory": str(folder / "d"), **OWNER},
            {"content": content, "dest": str(folder / "d" / "f"), **OWNER},
        ]

    def test_what_was_placed_holds(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(config_files, capsys, files=self.files(tmp_path), fingerprint="x")["changed"]
        assert run(survey, capsys)["held"] == {"x": {"files_changed": [], "diff": []}}

    @pytest.mark.parametrize("damage", ["content", "mode", "gone"])
    def test_what_has_changed_since_holds_no_longer(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
    ) -> None:
        run(config_files, capsys, files=self.files(tmp_path), fingerprint="x")
        path = tmp_path / "d" / "f"
        {"content": lambda: path.write_text("b\n"), "mode": lambda: path.chmod(0o600), "gone": path.unlink}[damage]()
        assert run(survey, capsys)["held"] == {}
        assert run(config_files, capsys, files=self.files(tmp_path), fingerprint="x")["files_changed"] == [str(path)]
        assert set(run(survey, capsys)["held"]) == {"x"}

    def test_content_is_remembered_as_a_hash_that_only_root_can_read(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(config_files, capsys, files=self.files(tmp_path, "a secret word\n"), fingerprint="x")
        path = Path(records.PATH)
        assert "a secret word" not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("arguments", [{}, {"fingerprint": "x", "_ansible_check_mode": True}])
    def test_nothing_is_remembered_unasked_or_in_check_mode(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]
    ) -> None:
        run(config_files, capsys, files=self.files(tmp_path), **arguments)
        assert not Path(records.PATH).exists()

    @pytest.mark.parametrize(
        "content", ["", "[]", '{"x": {"other": 1}}', '{"x": {"files": [{}]}}', '{"x": []}', '{"x": {"units": [{}]}}']
    )
    def test_a_memory_that_cannot_be_used_holds_nothing(self, content: str, capsys: pytest.CaptureFixture[str]) -> None:
        Path(records.PATH).parent.mkdir()
        Path(records.PATH).write_text(content)
        assert run(survey, capsys)["held"] == {}

    def test_it_keeps_so_many_records_and_each_once(self) -> None:
        for number in range(records.MOST + 5):
            records.remember(f"old {number}", {"packages": [str(number)]})
        records.remember("new", {"packages": [str(records.MOST)]})
        known = records.read()
        assert len(known) == records.MOST
        assert "old 0" not in known
        assert f"old {records.MOST}" not in known

    def test_a_unit_holds_while_it_runs_and_answers(self, tmp_path: Path) -> None:
        wanted = [unit_states.normalise("a.service")]
        record = {"units": wanted, "listening": []}
        assert survey.units({"a.service": RUNNING}, record) == {"actions": []}
        for now, listening in (
            ({"a.service": {**RUNNING, "ActiveState": "failed"}}, []),
            ({"a.service": {**RUNNING, "NeedDaemonReload": "yes"}}, []),
            ({"a.service": RUNNING}, [f"unix:{tmp_path}/nobody"]),
        ):
            with pytest.raises(survey.NotHeldError):
                survey.units(now, {"units": wanted, "listening": listening})


class TestController:
    def test_a_host_that_was_not_asked_gets_every_task_and_remembers_nothing(self) -> None:
        action = Action()
        assert ask(action, {"units": []}) == {"changed": True, "by": "encaja.portal.service_units"}
        assert action.asked == [{"units": []}]

    def test_what_holds_is_not_asked_for_again(self) -> None:
        converged.learn("one", {})
        first = Action()
        ask(first, {"units": ["a"]})
        converged.learn("one", {first.asked[0]["fingerprint"]: {"actions": []}})
        second = Action()
        assert ask(second, {"units": ["a"]}) == {"changed": False, "actions": []}
        assert second.asked == []
        ask(second, {"units": ["b"]})
        assert len(second.asked) == 1

    def test_a_restart_is_remembered_as_running_and_done_whenever_it_is_asked_for(self) -> None:
        converged.learn("one", {})
        action = Action()
        for _ in range(2):
            ask(action, {"units": ["restart"]}, lasting={"units": ["run"]})
            converged.learn("one", {action.asked[0]["fingerprint"]: {}})
        assert len(action.asked) == 2
        assert ask(action, {"units": ["run"]}, lasting={"units": ["run"]}) == {"changed": False}

    def test_another_host_by_delegation_is_always_asked(self) -> None:
        converged.learn("one", {})
        action = Action("other")
        ask(action, {"units": []})
        assert action.asked == [{"units": []}]

    @pytest.mark.parametrize(
        ("event", "delegate", "changed", "left"),
        [
            ("ok", None, False, {"one", "other"}),
            ("ok", None, True, {"other"}),
            ("ok", "third", True, set()),
            ("failed", None, False, {"other"}),
        ],
    )
    def test_a_change_or_a_failure_makes_a_host_unknown(
        self, event: str, delegate: str | None, changed: bool, left: set[str]
    ) -> None:
        for host in ("one", "other"):
            converged.learn(host, {"x": {}})
        result = SimpleNamespace(
            host=SimpleNamespace(get_name=lambda: "one"),
            task=SimpleNamespace(action="ansible.builtin.command", delegate_to=delegate),
            is_changed=lambda: changed,
        )
        getattr(CallbackModule(), f"v2_runner_on_{event}")(result)
        assert {host for host in ("one", "other") if converged._held[host]} == left

    def test_the_callback_keeps_what_a_host_says(self) -> None:
        result = SimpleNamespace(
            host=SimpleNamespace(get_name=lambda: "one"),
            task=SimpleNamespace(action="encaja.portal.converged", delegate_to=None),
            result={"held": {"x": {"actions": []}}},
        )
        CallbackModule().v2_runner_on_ok(result)
        assert converged._held == {"one": {"x": {"actions": []}}}
