"""A step is stale by the variables that it reads, and by no others; where that cannot be told, by all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from encaja.runbook.book.fingerprint import Fingerprinter, changes
from encaja.runbook.book.mentions import mentions
from encaja.runbook.book.model import Action
from encaja.runbook.record.step_states import Inputs
from encaja.runbook.record.workspace import open_move

ROOT = Path(__file__).parents[3]
PLAY = "- {hosts: portal, roles: [web]}\n"
FILES = {
    "playbooks/p.yml": PLAY,
    "roles/web/defaults/main.yml": 'web_workers: "{{ cpu_share }}"\nweb_unused: "{{ of_nobody }}"\n',
    "roles/web/tasks/main.yml": "- ansible.builtin.import_role: {name: files, tasks_from: only}\n",
    "roles/web/templates/web.conf.j2": "# {{ ansible_managed }}\nworkers {{ web_workers }}; {{ web_name }}\n",
    "roles/web/files/prose.txt": "not_read",
    "roles/files/tasks/only.yml": "- ansible.builtin.debug: {msg: '{{ files_only }}'}\n",
    "roles/files/tasks/main.yml": "- ansible.builtin.debug: {msg: '{{ files_main }}'}\n",
    "roles/mail/defaults/main.yml": 'mail_ports: ["{{ mail_port }}"]\n',
    "inv/hosts.yml": "all:\n  children:\n    production: {hosts: {a: {web_name: A}}, vars: {group_wide: 1}}\n"
    "    portal: {hosts: {a: {}}}\n    other: {hosts: {b: {}}}\n",
    "inv/runbook.yml": "version: 1\n",
    "inv/group_vars/all.yml": "cpu_share: '{{ cores }}'\ncores: 2\nweb_unused: 1\nof_nobody: 1\nnot_read: 1\n"
    "files_only: 1\nfiles_main: 1\nmail_port: 25\nweb_password: hunter2\nansible_user: root\nfar: 1\n",
    "inv/group_vars/other/main.yml": "cores: 4\nfar: 2\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def manifest(project: Path, action: Action | None = None) -> dict[str, str]:
    return Fingerprinter(project, [project / "inv"]).manifest(action or Action(playbook="p.yml"))


def changed(project: Path, name: str, before: str, after: str, action: Action | None = None) -> list[str]:
    first = manifest(project, action)
    path = project / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return changes(first, manifest(project, action))


def add(project: Path, line: str, play: str = PLAY) -> list[str]:
    """What differs once a variable is added to those of all hosts."""
    (project / "playbooks/p.yml").write_text(play)
    return changed(project, "inv/group_vars/all.yml", "far: 1\n", f"far: 1\n{line}\n")


@pytest.mark.parametrize("name", ["cores", "cpu_share", "files_only", "ansible_user"])
def test_variable_that_is_read_counts_through_templates_defaults_and_other_variables(project: Path, name: str) -> None:
    found = changed(project, "inv/group_vars/all.yml", f"{name}: ", f"{name}: 1")
    assert found == [f"{name} (inv/group_vars/all.yml)"]


@pytest.mark.parametrize("name", ["not_read", "of_nobody", "files_main", "mail_port", "far"])
def test_variable_that_is_not_read_does_not_count(project: Path, name: str) -> None:
    (project / "roles/web/defaults/main.yml").write_text('web_workers: "{{ cpu_share }}"\n')
    assert changed(project, "inv/group_vars/all.yml", f"{name}: ", f"{name}: 1") == []


def test_variable_of_a_host_and_of_a_group_inside_the_hosts_file_is_named(project: Path) -> None:
    assert changed(project, "inv/hosts.yml", "web_name: A", "web_name: B") == ["web_name (inv/hosts.yml, a)"]
    assert changed(project, "inv/hosts.yml", "group_wide: 1", "group_wide: 2") == []
    assert changed(project, "inv/hosts.yml", "{b: {}}", "{b: {}, c: {}}") == ["hosts and groups (inv/hosts.yml)"]


def test_variables_of_hosts_that_the_step_does_not_work_on_do_not_count(project: Path) -> None:
    assert changed(project, "inv/group_vars/other/main.yml", "cores: 4", "cores: 5") == []
    everywhere = Action(playbook="q.yml")
    (project / "playbooks/q.yml").write_text("- {hosts: all, roles: [web]}\n")
    assert changed(project, "inv/group_vars/other/main.yml", "cores: 5", "cores: 6", everywhere)
    limited = Action(playbook="q.yml", limit="production")
    assert changed(project, "inv/group_vars/other/main.yml", "cores: 6", "cores: 7", limited) == []


def test_variable_of_another_host_that_is_read_counts(project: Path) -> None:
    (project / "playbooks/p.yml").write_text(PLAY + "- {hosts: portal, vars: {x: \"{{ hostvars['b'].far }}\"}}\n")
    assert changed(project, "inv/group_vars/other/main.yml", "far: 2", "far: 3") == [
        "far (inv/group_vars/other/main.yml)"
    ]


def test_comments_layout_and_the_run_book_beside_an_inventory_are_no_inputs(project: Path) -> None:
    first = manifest(project)
    for name in ("inv/hosts.yml", "inv/group_vars/all.yml"):
        path = project / name
        path.write_text("# said otherwise\n\n" + path.read_text().replace("cores: 2", "cores:   2   # two"))
    (project / "inv/runbook.yml").write_text("version: 1\nmove: {name: Other}\n")
    assert changes(first, manifest(project)) == []


@pytest.mark.parametrize(
    "play",
    [
        PLAY + "- {hosts: portal, vars: {x: \"{{ lookup('vars', name) }}\"}}\n",
        PLAY + '- {hosts: portal, vars: {x: "{{ hostvars[h][name] }}"}}\n',
        PLAY + '- {hosts: portal, vars: {x: "{{ hostvars | dict2items }}"}}\n',
        PLAY + "- {hosts: portal, vars: {x: \"{{ query('varnames', '^y_') }}\"}}\n",
        PLAY + '- {hosts: portal, vars: {x: "{{ vars[name] }}"}}\n',
        PLAY + "- {hosts: portal, roles: [some.collection.role]}\n",
        PLAY + '- {hosts: portal, tasks: [{ansible.builtin.include_tasks: "{{ name }}.yml"}]}\n',
        PLAY + "- {hosts: localhost, tasks: [{preflight_verdict: }]}\n",
    ],
)
def test_where_names_are_made_up_everything_counts(project: Path, play: str) -> None:
    assert add(project, "nobody_knows: 1", play) == ["nobody_knows (inv/group_vars/all.yml)"]


def test_names_given_in_words_are_not_made_up(project: Path) -> None:
    play = (
        PLAY
        + "- {hosts: portal, vars: {x: \"{{ lookup('vars', 'x_y') }}{{ hostvars[g['a'][0]]['z'] }}{{ vars['q'] }}\"}}\n"
    )
    assert add(project, "nobody_knows: 1", play) == []


def test_value_of_a_host_that_may_not_be_there_is_read_by_its_name(project: Path) -> None:
    play = PLAY + '- {hosts: portal, vars: {x: "{{ (hostvars[h] | default({})).far | default(1) }}"}}\n'
    assert add(project, "nobody_knows: 1", play) == []
    assert changed(project, "inv/group_vars/other/main.yml", "far: 2", "far: 3")


def test_defaults_of_a_role_that_is_not_drawn_in_are_not_evaluated(project: Path) -> None:
    (project / "playbooks/p.yml").write_text(PLAY + '- {hosts: portal, vars: {x: "{{ mail_ports }}"}}\n')
    assert changed(project, "inv/group_vars/all.yml", "mail_port: 25", "mail_port: 26") == []


def test_lists_of_several_roles_are_read_by_their_suffix(project: Path) -> None:
    play = PLAY + "- {hosts: portal, vars: {x: \"{{ query('encaja.portal.role_values', 'ports', names) }}\"}}\n"
    assert add(project, "mail_ports: [1]", play) == ["mail_ports (inv/group_vars/all.yml)"]
    assert changed(project, "inv/group_vars/all.yml", "mail_port: 25", "mail_port: 26") == [
        "mail_port (inv/group_vars/all.yml)"
    ]


def test_encrypted_values_count_one_by_one_and_an_encrypted_file_as_a_whole(project: Path) -> None:
    inline = "web_name: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6161"
    assert add(project, inline) == ["web_name (inv/group_vars/all.yml)"]
    assert changed(project, "inv/group_vars/all.yml", "6161", "6262") == ["web_name (inv/group_vars/all.yml)"]
    assert add(project, inline.replace("web_name", "unread_secret")) == []
    vault = project / "inv/group_vars/portal/vault.yml"
    vault.parent.mkdir()
    vault.write_text("$ANSIBLE_VAULT;1.1;AES256\n6161\n")
    assert changed(project, "inv/group_vars/portal/vault.yml", "6161", "6262") == [
        "inv/group_vars/portal/vault.yml (encrypted)"
    ]


def test_inventory_that_is_not_plain_yaml_counts_as_a_whole(project: Path) -> None:
    (project / "inv/hosts.ini").write_text("[portal]\na\n")
    assert changed(project, "inv/hosts.ini", "a", "b") == ["inv/hosts.ini"]
    (project / "inv/plugin.yml").write_text("plugin: constructed\n")
    assert changed(project, "inv/plugin.yml", "constructed", "other") == ["inv/plugin.yml"]


def test_a_command_may_read_everything(project: Path) -> None:
    command = Action(command=("encaja", "telephony", "test"))
    assert changed(project, "inv/group_vars/all.yml", "not_read: 1", "not_read: 2", command) == [
        "not_read (inv/group_vars/all.yml)"
    ]


def test_no_secret_can_be_tried_out_from_what_the_journal_keeps(project: Path) -> None:
    (project / "roles/web/templates/web.conf.j2").write_text("{{ web_password }}")
    kept = manifest(project)["web_password (inv/group_vars/all.yml)"]
    assert kept not in {
        hashlib.sha256(text).hexdigest() for text in (b"hunter2", b'"hunter2"', b"web_password: hunter2")
    }
    assert "hunter2" not in str(manifest(project))


def test_file_of_a_role_that_is_entered_at_one_task_file_counts_only_if_that_uses_it(project: Path) -> None:
    assert changed(project, "roles/files/tasks/main.yml", "files_main", "files_more") == []
    assert changed(project, "roles/files/tasks/only.yml", "files_only", "files_more") == [
        "files_only (inv/group_vars/all.yml)",
        "roles/files/tasks/only.yml",
    ]


def test_words_are_names() -> None:
    assert {"a_b", "c"} <= mentions("{{ a_b | default(c) }}").names


# The kit's own run-book over its own roles.


def stale(tmp_path: Path, line: str) -> set[str]:
    """The steps of a rehearsal that a line in the inventory makes stale."""
    inventory = tmp_path / "test"
    shutil.copytree(ROOT / "inventories/test", inventory, dirs_exist_ok=True)
    move = open_move(project=ROOT, state=tmp_path / "state", inventories=[inventory])

    def manifests() -> Mapping[str, dict[str, str]]:
        inputs = Inputs(move)
        return {step.id: inputs.of(step.action)[0] for step in move.runbook if step.action}

    before = manifests()
    with (inventory / "group_vars/test/main.yml").open("a") as file:
        file.write(line + "\n")
    after = manifests()
    return {name for name in before if before[name] != after[name]} - {"preflight", "test-environment"}


CARRYING = {"prepare-carry-over", "follow-cloud", "remove-test-data", "carry-over", "reconcile"}


@pytest.mark.parametrize(
    ("line", "steps"),
    [
        ("php_memory_mb: 77", {"provision"}),
        ("encaja_backup_source: http://elsewhere/backup", {"restore"}),
        ("encaja_firewall_open: [{port: 1, proto: tcp}]", {"provision"}),
        ("settle_bots: keep", {"settle"}),
        ("carry_over_deletions: ask", CARRYING),
        ("of_nobody: 1", set()),
        ("# a comment", set()),
    ],
)
def test_one_variable_makes_the_steps_stale_that_read_it(tmp_path: Path, line: str, steps: set[str]) -> None:
    assert stale(tmp_path, line) == steps
