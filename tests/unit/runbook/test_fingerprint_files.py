"""Which files are inputs of a step."""

from __future__ import annotations

from pathlib import Path

import pytest

from encaja.runbook.book.fingerprint import Fingerprinter, changes, digest
from encaja.runbook.book.model import Action


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "playbooks/p.yml": "- hosts: all\n  vars_files: [vars/w.yml]\n  roles: [web, {role: base}]\n"
        "- import_playbook: q.yml\n",
        "playbooks/q.yml": "- hosts: all\n  tasks:\n    - include_role: {name: late}\n    - debug: {msg: !unsafe x}\n",
        "playbooks/vars/w.yml": "a: 1\n",
        "roles/web/tasks/main.yml": "- import_role: {name: inner}\n",
        "roles/web/meta/main.yml": "dependencies: [{role: dep}]\n",
        "roles/web/templates/x.j2": "x\n",
        "roles/base/tasks/main.yml": "[]\n",
        "roles/late/tasks/main.yml": "[]\n",
        "roles/inner/tasks/main.yml": "[]\n",
        "roles/dep/tasks/main.yml": "[]\n",
        "roles/other/tasks/main.yml": "[]\n",
        "inv/hosts.yml": "all: {}\n",
        "inv/group_vars/all/vault.yml": "secret\n",
        "inv/.cache": "x\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def manifest(project: Path, action: Action | None = None) -> dict[str, str]:
    return Fingerprinter(project, [project / "inv"]).manifest(action or Action(playbook="p.yml"))


def test_fingerprint_covers_what_a_playbook_draws_in_and_nothing_else(project: Path) -> None:
    names = set(manifest(project))
    for part in ("web", "base", "late", "inner", "dep"):
        assert f"roles/{part}/tasks/main.yml" in names
    assert {"playbooks/p.yml", "playbooks/q.yml", "playbooks/vars/w.yml", "hosts and groups (inv/hosts.yml)"} <= names
    assert "roles/other/tasks/main.yml" not in names
    assert "inv/.cache" not in names


@pytest.mark.parametrize("name", ["roles/web/templates/x.j2", "inv/group_vars/all/vault.yml", "playbooks/vars/w.yml"])
def test_a_change_is_seen_and_named(project: Path, name: str) -> None:
    before = manifest(project)
    (project / name).write_text("changed\n")
    after = manifest(project)
    assert digest(before) != digest(after)
    assert changes(before, after) == [name]


def test_what_was_parsed_once_is_parsed_again_only_if_it_changed(project: Path, monkeypatch) -> None:
    before = manifest(project)
    with monkeypatch.context() as patched:
        patched.setattr("encaja.runbook.book.ansible_files.yaml.load", lambda *_, **__: pytest.fail("parsed again"))
        assert manifest(project) == before
    (project / "playbooks/p.yml").write_text("- {hosts: all, roles: [other]}\n")
    assert "roles/other/tasks/main.yml" in manifest(project)


def test_variables_are_inputs_and_unrelated_files_are_not(project: Path) -> None:
    before = manifest(project)
    (project / "roles/other/tasks/main.yml").write_text("- debug:\n")
    assert digest(manifest(project)) == digest(before)
    assert digest(manifest(project, Action(playbook="p.yml", variables={"x": 1}))) != digest(before)


def test_role_named_by_a_variable_makes_every_role_an_input(project: Path) -> None:
    (project / "playbooks/q.yml").write_text("- hosts: all\n  tasks:\n    - include_role: {name: '{{ role }}'}\n")
    assert "roles/other/tasks/main.yml" in manifest(project)
