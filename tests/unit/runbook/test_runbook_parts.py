"""Command lines, fingerprints, inventories, redaction, locks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encaja.ansible.accelerator import accelerator_environment
from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.book.fingerprint import Fingerprinter, changes, digest
from encaja.runbook.book.model import Action, Kind, Owner, Step, Text, Urgency
from encaja.runbook.durations import parse_span
from encaja.runbook.redact import MASK, Redactor, secrets_of_inventory
from encaja.runbook.run import lock, supervisor
from encaja.runbook.run.ansible_command import (
    GROUPS,
    ansible_environment,
    command_line,
    parse_host_list,
    playbook_command,
    write_variables,
)
from encaja.runbook.run.execution import leashed, recorded_code
from encaja.runbook.run.inventory import check_targets, parse_inventory
from encaja.runbook.run.lock import end_survivors, hold, is_held


def test_playbook_command_is_complete_and_holds_no_values(tmp_path: Path) -> None:
    action = Action(
        playbook="p.yml", limit="production", tags=("web", "php"), skip_tags=("verify",), variables={"x": "y"}
    )
    variables = write_variables(tmp_path, action.variables)
    command = playbook_command(tmp_path / "p.yml", action, [tmp_path / "inv"], variables_file=variables, check=True)
    assert command[1:] == [
        "-i", str(tmp_path / "inv"), "-i", str(GROUPS), "--limit", "production", "--tags", "web,php",
        "--skip-tags", "verify", "--extra-vars", f"@{variables}", "--check", "--diff", str(tmp_path / "p.yml"),
    ]  # fmt: skip
    assert variables is not None
    assert json.loads(variables.read_text()) == {"x": "y"}
    assert variables.stat().st_mode & 0o077 == 0


def test_encaja_means_this_program() -> None:
    assert command_line(Action(command=("encaja", "verify", "test")))[1:] == ["-m", "encaja.cli", "verify", "test"]
    assert command_line(Action(command=("true",))) == ["true"]


def test_environment_keeps_what_the_project_says_against_ansible_runner(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nhost_key_checking = True\ncallback_plugins = plugins/callback\n")
    added = ansible_environment(tmp_path, {})
    assert added["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert added["ANSIBLE_CALLBACK_PLUGINS"] == str(tmp_path / "plugins/callback")
    assert added["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    kept = ansible_environment(tmp_path, {"ANSIBLE_HOST_KEY_CHECKING": "False"})
    assert "ANSIBLE_HOST_KEY_CHECKING" not in kept


def test_host_keys_are_checked_without_a_configuration_too(tmp_path: Path) -> None:
    assert ansible_environment(tmp_path, {})["ANSIBLE_HOST_KEY_CHECKING"] == "True"


def test_accelerator_can_be_switched_off_and_respects_a_set_strategy() -> None:
    assert accelerator_environment({"ENCAJA_ACCELERATOR": "off"}) == {}
    assert accelerator_environment({"ANSIBLE_STRATEGY": "free"}) == {}
    on = accelerator_environment({"ANSIBLE_STRATEGY_PLUGINS": "/mine"})
    assert not on or on["ANSIBLE_STRATEGY_PLUGINS"].endswith(":/mine")


def test_host_list_is_read_once_each() -> None:
    output = """
playbook: p.yml

  play #1 (portal): Portal\tTAGS: []
    pattern: ['portal']
    hosts (2):
      a.test
      b.test

  play #2 (all): All\tTAGS: []
    pattern: ['all']
    hosts (1):
      a.test
"""
    assert parse_host_list(output) == ["a.test", "b.test"]


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
        patched.setattr("encaja.runbook.book.fingerprint.yaml.load", lambda *_, **__: pytest.fail("parsed again"))
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


INVENTORY = {
    "_meta": {
        "hostvars": {
            "prod": {"encaja_domain": "portal.example.com", "encaja_database_password": "sesame-open"},
            "pre": {"nested": {"api_token": "tok-12345"}, "templated_password": "{{ other }}"},
        }
    },
    "all": {"children": ["production", "preproduction", "portal"]},
    "production": {"hosts": ["prod"]},
    "preproduction": {"hosts": ["pre"]},
    "portal": {"hosts": ["prod", "pre"]},
}


def step(**keys: object) -> Step:
    given = {
        "id": "wipe", "phase": 1, "title": Text("x", "x"), "owner": Owner.CONTRACTOR, "kind": Kind.PLAYBOOK,
        "action": Action(playbook="p.yml"), "needs": (), "estimate": parse_span("1m"), "urgency": Urgency.LOW, **keys,
    }  # fmt: skip
    return Step(**given)


def test_inventory_tells_environments_addresses_and_secrets() -> None:
    view = parse_inventory(INVENTORY)
    assert view.environments("prod") == ("production",)
    assert view.members("all") == {"prod", "pre"}
    assert view.addresses() == [("production", "https://portal.example.com/"), ("preproduction", "https://pre/")]
    assert secrets_of_inventory(INVENTORY) == {"sesame-open", "tok-12345"}


def test_what_opens_a_link_is_a_secret() -> None:
    link = "https://backups.example.com/NAME.enc.gz?sign=a1b2c3d4e5"
    secrets = secrets_of_inventory({"_meta": {"hostvars": {"box": {"encaja_backup_source": link}}}})
    assert (
        Redactor(secrets).clean(f"volume 3 of {link}") == f"volume 3 of https://backups.example.com/NAME.enc.gz?{MASK}"
    )


def test_destructive_step_is_held_to_its_environments() -> None:
    view = parse_inventory(INVENTORY)
    allowed = step(targets=("preproduction",), never_on=("production",))
    assert check_targets(view, ["prod", "pre"], allowed) == ["pre"]
    with pytest.raises(ConfigurationError, match="prod is production, which is never a target"):
        check_targets(view, ["prod", "pre"], step(never_on=("production",)))
    with pytest.raises(ConfigurationError, match="pre is preproduction, not production"):
        check_targets(view, ["pre"], step(only_on=("production",)))
    with pytest.raises(ConfigurationError, match="no host to work on"):
        check_targets(view, ["prod"], step(targets=("preproduction",)))
    with pytest.raises(ConfigurationError, match="stranger is in no environment"):
        check_targets(view, ["stranger"], step())


def test_secrets_are_masked_by_value_and_by_shape() -> None:
    redactor = Redactor({"sesame-open", "abc", "sesame-open-longer"})
    assert redactor.clean("x sesame-open-longer y sesame-open z abc") == f"x {MASK} y {MASK} z abc"
    assert "s3cr3t" not in redactor.clean("https://user:s3cr3t@host/ password=s3cr3t&x=1 token=s3cr3t")
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
    assert "MIIE" not in redactor.clean(f"before {key} after")
    assert redactor.clean_value({"db_password": "x1", "list": ["sesame-open"], "n": 1}) == {
        "db_password": MASK, "list": [MASK], "n": 1,
    }  # fmt: skip


def test_lock_refuses_a_second_holder_and_says_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with hold(path) as earlier:
        assert earlier is None
        assert is_held(path)
        with pytest.raises(EncajaError, match=f"already at work: pid {os.getpid()}"), hold(path):
            pass
    assert not is_held(path)
    with hold(path) as earlier:
        assert earlier is None


def test_stale_lock_is_taken_over_and_its_holder_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os;from pathlib import Path;from encaja.runbook.run.lock import hold\n"
        f"with hold(Path({str(path)!r})): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    with hold(path) as earlier:
        assert earlier is not None
        assert earlier.pid != os.getpid()
        assert not earlier.alive()


def test_damaged_lock_file_does_not_stop_anyone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("{half a note")
    with hold(path) as earlier:
        assert earlier is None


def run_leashed(directory: Path, script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(leashed(directory, ["sh", "-c", script]), start_new_session=True)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)
    return path.read_text()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while supervisor.start_ticks(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_leash_passes_on_the_exit_code_and_records_it(tmp_path: Path) -> None:
    assert run_leashed(tmp_path, "exit 7").wait() == 7
    assert recorded_code(tmp_path) == 7


def test_leash_names_a_missing_program(tmp_path: Path) -> None:
    process = subprocess.run(leashed(tmp_path, ["/no/such/program"]), capture_output=True, text=True, check=False)
    assert process.returncode == supervisor.NOT_FOUND
    assert "/no/such/program" in process.stderr


def test_leash_ends_even_what_left_its_session(tmp_path: Path) -> None:
    process = run_leashed(
        tmp_path, f"setsid sh -c 'trap \"\" INT TERM HUP; echo $$ > {tmp_path}/child; exec sleep 300' & exec sleep 300"
    )
    child = int(wait_for(tmp_path / "child"))
    process.terminate()
    assert process.wait() == supervisor.INTERRUPTED
    assert gone(child)
    assert recorded_code(tmp_path) is None


def test_leash_ends_its_command_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess,sys;from pathlib import Path;from encaja.runbook.run.execution import leashed\n"
        f"d=Path({str(tmp_path)!r})\n"
        "subprocess.Popen(leashed(d,['sh','-c',f'echo $$ > {d}/child; exec sleep 300']),start_new_session=True).wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    child = int(wait_for(tmp_path / "child"))
    parent.kill()
    parent.wait()
    assert gone(child)
    assert recorded_code(tmp_path) is None


def test_survivors_of_a_killed_leash_are_found_by_their_mark(tmp_path: Path) -> None:
    environment = {**os.environ, "ENCAJA_ATTEMPT": str(tmp_path)}
    orphan = subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True)
    assert end_survivors(tmp_path, patience=0.1) == 1
    assert orphan.wait() == -9
    assert end_survivors(tmp_path, patience=0.1) == 0


def test_survivor_in_the_middle_of_its_exec_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "ENCAJA_ATTEMPT": str(tmp_path)}
    orphan = subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True)
    looks = []
    read = lock._environment

    def empty_at_first(pid: int) -> bytes | None:
        if pid == orphan.pid:
            looks.append(pid)
        return b"" if pid == orphan.pid and len(looks) == 1 else read(pid)

    monkeypatch.setattr(lock, "_environment", empty_at_first)
    assert end_survivors(tmp_path, patience=0.1) == 1
    assert orphan.wait() == -9
    assert len(looks) >= 2
