"""Bad input of every kind is one clear line, before anything is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.encaja.portal.plugins.modules import preflight_host
from ansible_collections.encaja.portal.plugins.modules.packages import apt_error
from encaja.lab import engine

ROOT = Path(__file__).parents[3]
# The hosts are this machine, and no task would change it.
INVENTORY = """
all:
  children:
    production: {hosts: {good: , bad: }}
    push: {hosts: {good: , bad: }}
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    encaja_environment: production
    encaja_push_tarball: /tmp/push.tgz
    encaja_push_tarball_sha256: SHA
    encaja_push_key: KEY
    MORE: 5
""".replace("SHA", "f" * 64).replace("KEY", "a" * 64)
LOOK = """
- hosts: all
  gather_facts: false
  roles: [topology]
  tasks:
    - encaja.portal.preflight_inventory: {hosts: "{{ ansible_play_hosts_all }}", refuse: REFUSE}
      run_once: true
      any_errors_fatal: true
    - encaja.portal.role_arguments: {roles: [push]}
    - ansible.builtin.debug: {msg: "{{ inventory_hostname }} went on"}
"""


def play(tmp_path: Path, more: str, refuse: bool) -> str:
    """What the two looks of provision.yml say about an inventory."""
    (tmp_path / "hosts.yml").write_text(INVENTORY.replace("MORE", more))
    (tmp_path / "look.yml").write_text(LOOK.replace("REFUSE", str(refuse)))
    (tmp_path / "host_vars").mkdir()
    spoilt = {
        "encaja_push_key": "short",
        "push_pub_processes": "many",
        "push_sub_processes": 11,
        "push_tarball": str(tmp_path / "hosts.yml"),
        "push_redis_port": "{{ encaja_cache_prot }}",
    }
    (tmp_path / "host_vars" / "bad.yml").write_text(json.dumps(spoilt))
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "look.yml")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip


def test_a_typo_is_refused_with_the_name_that_was_meant(tmp_path: Path) -> None:
    said = play(tmp_path, "push_sub_procesess", refuse=True)
    assert "unknown variable 'push_sub_procesess' (did you mean 'push_sub_processes'?)" in said
    assert "went on" not in said


def test_all_that_is_wrong_with_a_roles_values_is_told_at_once_and_good_values_pass(tmp_path: Path) -> None:
    said = play(tmp_path, "push_sub_processes", refuse=False)
    lines = [line for line in said.splitlines() if line.startswith("fatal: [bad]")]
    assert len(lines) == 1
    for fault in (
        "encaja_cache_prot is not set (push_redis_port)",
        "hosts.yml: its SHA-256 is ",
        "push_key must be 32 or more letters and digits",
        "'push_pub_processes' is of type str and we were unable to convert to int",
    ):
        assert fault in lines[0]
    assert "bad went on" not in said
    assert "good went on" in said


def test_a_host_of_another_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "environment").write_text("production\n")
    monkeypatch.setattr(preflight_host, "MARKER", str(tmp_path / "environment"))
    ((what, hint),) = preflight_host.marker_faults("test")
    assert what == "its marker says 'production', the inventory says 'test'"
    assert "group 'test'" in hint
    assert preflight_host.marker_faults("production") == []


def test_a_disk_that_is_too_small_for_the_sum_of_what_goes_there_is_named(tmp_path: Path) -> None:
    half = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize * 0.6
    one = {"path": str(tmp_path), "bytes": half, "why": "archive"}
    assert preflight_host.disk_faults([one]) == []
    ((what, _),) = preflight_host.disk_faults([one, {"path": str(tmp_path / "new"), "bytes": half, "why": "database"}])
    assert "needed for archive, database" in what


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("E: You don't have enough free space in /var/cache/apt/archives/.\n", "enough free space"),
        ("Err:1 http://mirror.invalid trixie InRelease\n  Could not resolve\n", "Err:1 http://mirror.invalid"),
    ],
)
def test_a_full_disk_and_a_silent_mirror_are_apts_one_line(output: str, line: str) -> None:
    said = apt_error(f"Reading package lists...\n{output}Building dependency tree...\n")
    assert line in said
    assert "\n" not in said


def test_the_lab_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(engine.LabError, match=r"the lab needs root.*run the command as root"):
        engine.require_root()


def test_a_registry_that_does_not_answer_is_the_last_line_of_setup(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup", tmp_path / "tools")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    done = subprocess.run(
        [str(tmp_path / "tools" / "setup")],
        env={**os.environ, **nowhere, "PIP_NO_CACHE_DIR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("setup: the package registry does not answer")
    assert not (tmp_path / ".venv" / ".ready").exists()
