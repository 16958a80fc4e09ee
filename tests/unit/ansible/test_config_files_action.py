"""Action ``config_files``: what it renders and reads on the controller, and what it refuses before a host is asked."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.encaja.portal.plugins.action import config_files
from ansible_collections.encaja.portal.plugins.action.config_files import ActionModule
from support.actions import made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a host is asked."""
    sent: list[dict[str, Any]] = []

    def ask(_: Any, module: str, arguments: dict[str, Any], variables: dict[str, Any], *code: Any) -> dict[str, Any]:
        assert (module, variables["inventory_hostname"], code) == ("config_files", "one", (config_files.file_items,))
        sent.append(arguments)
        return {"changed": True}

    monkeypatch.setattr(config_files.converged, "ask", ask)
    return sent


def run(role: Path, variables: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    loader = DataLoader()
    action = made(ActionModule, given, loader=loader, templar=Templar(loader))
    action._find_needle = lambda kind, name: str(role / kind / name)
    known = {"inventory_hostname": "one", "ansible_search_path": [str(role)], **(variables or {})}
    result: dict[str, Any] = action.run(task_vars=known)
    return result


def contents(asked: list[dict[str, Any]]) -> list[bytes]:
    [arguments] = asked
    assert all(item["encoding"] == "base64" for item in arguments["files"])
    return [base64.b64decode(item["content"]) for item in arguments["files"]]


@pytest.fixture
def role(tmp_path: Path) -> Path:
    for folder in ("templates", "files"):
        (tmp_path / folder).mkdir()
    (tmp_path / "templates/own.j2").write_text("# {{ ansible_managed }}\n{% if port %}\nport {{ port }}\n{% endif %}\n")
    (tmp_path / "templates/outer.j2").write_text("{% include 'own.j2' %}\nend\n")
    (tmp_path / "files/raw").write_bytes(b"\x00{{ not a template }}\xff")
    return tmp_path


def test_templates_files_and_text_go_to_the_host_as_what_they_say(role: Path, asked: list[dict[str, Any]]) -> None:
    files = [
        {"template": "own.j2", "dest": "/etc/a", "mode": "0600"}, {"copy": "raw", "dest": "/etc/b"},
        {"content": "{{ kept }}\n", "dest": "/etc/c"}, {"content": 5, "dest": "/etc/d"},
        {"content": base64.b64encode(b"\xff").decode(), "encoding": "base64", "dest": "/etc/e"},
    ]  # fmt: skip
    assert run(role, {"port": 3306}, files=files)["changed"]
    assert contents(asked) == [
        b"# Ansible managed\nport 3306\n", b"\x00{{ not a template }}\xff", b"{{ kept }}\n", b"5", b"\xff",
    ]  # fmt: skip
    first = asked[0]["files"][0]
    assert {key: first[key] for key in first if key != "content"} == {
        "dest": "/etc/a", "mode": "0600", "encoding": "base64",
    }  # fmt: skip


def test_a_template_finds_others_of_its_role_and_a_variable_that_is_missing_fails(
    role: Path, asked: list[dict[str, Any]]
) -> None:
    run(role, {"port": 1}, files=[{"template": "outer.j2", "dest": "/etc/a"}])
    assert contents(asked) == [b"# Ansible managed\nport 1\nend\n"]
    with pytest.raises(Exception, match="port"):
        run(role, files=[{"template": "own.j2", "dest": "/etc/a"}])


def test_what_is_no_content_is_sent_as_it_is_and_an_empty_item_is_left_out(
    role: Path, asked: list[dict[str, Any]]
) -> None:
    files = [{"directory": "/etc/d"}, {}, None, {"link": "/a", "to": "b"}, {"absent": "/c"}]
    run(role, files=files, validate="nginx -t")
    assert asked == [
        {"files": [{"directory": "/etc/d"}, {"link": "/a", "to": "b"}, {"absent": "/c"}], "validate": "nginx -t"}
    ]


def test_all_that_is_wrong_is_told_together_and_no_host_is_asked(role: Path, asked: list[dict[str, Any]]) -> None:
    files = [
        {"template": "own.j2"}, {"content": "a", "copy": "raw", "dest": "/a"}, "text", {"dest": "/b"},
        {"directory": "/c", "colour": "red"}, {"content": "a", "dest": "/d", "encoding": "utf"},
    ]  # fmt: skip
    with pytest.raises(AnsibleActionFail) as caught:
        run(role, files=files)
    for number, part in enumerate(
        ["dest", "mutually exclusive", "is not a dictionary", "one of", "colour", "encoding"]
    ):
        assert f"files[{number}]: " in str(caught.value) and part in str(caught.value)
    for wrong in (None, {"content": "a"}, "text"):
        with pytest.raises(AnsibleActionFail, match="must be a list of files"):
            run(role, files=wrong)
    with pytest.raises(AnsibleActionFail, match="unknown option 'colour'"):
        run(role, files=[], colour="red")
    assert asked == []
