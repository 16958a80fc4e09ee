"""The conductor over real playbooks on this machine: results, gates, retries, inputs, secrets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encaja.runbook.record.journal import Journal, Result
from support.conductor_project import HEAD, SECRET, Project, all_gone, wait_for

REPLACES = ", destructive: true, verify: by its playbook, undo: not at all"


def step(name: str, run: str, extra: str = "") -> str:
    return f"  - {{id: {name}, phase: 1, title: {name}, owner: contractor, estimate: 1s, run: {{{run}}}{extra}}}\n"


@pytest.fixture
def make(tmp_path: Path):
    return lambda steps: Project(tmp_path / "project", steps)


def test_playbook_and_command_run_are_journalled_and_not_done_twice(make) -> None:
    project = make(
        step("a", "playbook: ok.yml") + step("b", "command: [sh, -c, 'echo out; echo err >&2']", ", needs: [a]")
    )
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report" in done.stdout
    assert (project.path / ".encaja/reports/cutover.html").is_file()
    again = project.encaja("run")
    assert again.returncode == 0
    assert "all of its steps are done" in again.stdout
    assert project.results("a") == project.results("b") == [Result.DONE]
    attempt = project.attempts("b")[0]
    assert sorted((Path(attempt.directory) / "log").read_text().split()) == ["err", "out"]
    status = json.loads(project.encaja("status", "--json").stdout)
    assert [item["state"] for item in status["steps"]] == ["done", "done"]


def test_rescued_and_ignored_failures_are_no_failures(make) -> None:
    project = make(step("a", "playbook: rescue.yml"))
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout
    with project.journal() as journal:
        assert journal.faults() == []
        kinds = [event.kind for event in journal.events(1)]
    assert "failed" in kinds
    assert "ignored" in kinds


def test_failure_says_what_where_last_lines_and_what_to_do_without_the_secret(make) -> None:
    project = make(step("a", "playbook: broken.yml") + step("b", "playbook: ok.yml", ", needs: [a]"))
    done = project.encaja("run")
    assert done.returncode == 1
    for part in ("No space left on device", "prod.test", "Breaks for good", "free space on the host", "log"):
        assert part in done.stdout, part
    assert "rescued breakage" not in done.stdout
    with project.journal() as journal:
        (fault,) = journal.faults()
    assert fault.task == "Breaks for good"
    assert project.results("b") == []
    assert_no_secret(project, done.stdout)


def assert_no_secret(project: Project, *texts: str) -> None:
    for text in texts:
        assert SECRET not in text
    for path in (project.path / ".encaja").rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_secrets_are_nowhere_in_the_state(make) -> None:
    project = make(step("a", "playbook: secret.yml"))
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout
    assert_no_secret(project, done.stdout, project.encaja("journal", "--json").stdout)
    with project.journal() as journal:
        (document,) = journal.documents()
    assert document.body["kind"] == "verify"
    for path in (project.path / ".encaja").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".html" or path.is_dir(), path


def test_broken_playbook_is_explained(make) -> None:
    project = make(step("a", "playbook: syntax.yml"))
    done = project.encaja("run")
    assert done.returncode == 1
    assert "no_such_module_anywhere" in done.stdout


def test_gate_waits_then_goes_on_after_approval(make) -> None:
    project = make(
        step("talk", "human: do", ", expires: 1d")
        + step("after", "command: ['true']", ", needs: [talk]")
        + step("aside", "command: ['true']")
    )
    first = project.encaja("run")
    assert first.returncode == 3
    assert "encaja approve talk" in first.stdout
    assert project.results("aside") == [Result.DONE]
    assert project.results("after") == []
    assert project.encaja("status").returncode == 3
    assert project.encaja("approve", "talk", "--by", "Ana", "--note", "agreed").returncode == 0
    twice = project.encaja("approve", "talk", "--by", "Eva")
    assert twice.returncode == 2
    assert "approved by Ana" in twice.stderr
    assert project.encaja("run").returncode == 0
    assert project.results("after") == [Result.DONE]


def test_rejected_gate_stops_the_run_and_names_the_reason(make) -> None:
    project = make(step("talk", "human: do"))
    project.encaja("run")
    assert project.encaja("reject", "talk", "--by", "Ana", "--note", "budget").returncode == 0
    done = project.encaja("run")
    assert done.returncode == 1
    assert "budget" in done.stdout


def test_replacing_data_needs_permission_and_the_right_environment(make) -> None:
    destructive = f"{REPLACES}, targets: [preproduction], never_on: [production]"
    project = make(step("copy", "playbook: both.yml", destructive))
    first = project.encaja("run")
    assert first.returncode == 3
    assert project.attempts() == []
    assert project.encaja("approve", "copy", "--by", "Ana").returncode == 0
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout
    assert "pre.test" in done.stdout
    assert project.attempts("copy")[0].hosts == ("pre.test",)
    project.write(step("wipe", "playbook: both.yml", f"{REPLACES}, never_on: [production]"))
    refused = project.encaja("run", "--yes")
    assert refused.returncode == 2
    assert "prod.test is production, which is never a target" in refused.stderr
    assert project.attempts("wipe") == []


def test_finished_step_is_repeated_when_its_inputs_changed(make) -> None:
    project = make(step("a", "playbook: ok.yml") + step("b", "command: ['true']"))
    project.encaja("run")
    (project.path / "playbooks/ok.yml").write_text((project.path / "playbooks/ok.yml").read_text() + "# changed\n")
    status = project.encaja("status", "-i", str(project.inventory)).stdout
    assert "playbooks/ok.yml" in status
    assert project.encaja("run").returncode == 0
    assert project.results("a") == [Result.DONE, Result.DONE]
    assert project.results("b") == [Result.DONE]


def test_only_the_step_that_reads_a_changed_variable_is_repeated_and_everybody_says_why(make) -> None:
    project = make(step("a", "playbook: ok.yml") + step("b", "playbook: reads.yml"))
    (project.path / "playbooks/reads.yml").write_text(
        "- {hosts: production, gather_facts: false, tasks: [{ansible.builtin.debug: {msg: '{{ colour }}'}}]}\n"
    )
    values = project.path / "group_vars/all.yml"
    values.parent.mkdir()
    values.write_text("colour: red\nshape: round\n")
    assert project.encaja("run").returncode == 0
    values.write_text("# said otherwise\ncolour: blue\nshape: square\n")
    reason = "changed since: colour (group_vars/all.yml)"
    for command in ("plan", "status"):
        assert reason in " ".join(
            project.encaja(command, "-i", str(project.inventory)).stdout.replace("│", " ").split()
        )
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout
    assert f"'b' is repeated: {reason}" in done.stdout
    assert (project.results("a"), project.results("b")) == ([Result.DONE], [Result.DONE] * 2)
    lines = json.loads(project.encaja("journal", "--json").stdout)
    assert [(line["step"], line["text"]) for line in lines if line["kind"] == "repeated"] == [("b", reason)]


def test_inventory_changed_halfway_repeats_what_was_harmless_and_asks_before_replacing_data(make) -> None:
    destructive = f"{REPLACES}, targets: [preproduction]"
    project = make(step("a", "playbook: ok.yml") + step("copy", "playbook: both.yml", destructive))
    assert project.encaja("run", "--yes").returncode == 0
    project.inventory.write_text(project.inventory.read_text() + "    test: {hosts: {test.test: {}}}\n")
    stopped = project.encaja("run", "--yes")
    assert stopped.returncode == 3, stopped.stderr
    assert "inventory.yml" in stopped.stdout
    assert "--keep copy" in stopped.stdout
    assert "report" not in stopped.stdout
    assert project.results("a") == [Result.DONE, Result.DONE]
    assert project.results("copy") == [Result.DONE]
    waiting = project.encaja("status", "-i", str(project.inventory))
    assert waiting.returncode == 3
    assert "replaces the data of pre.test again; changed since: " in waiting.stdout.replace("\n", " ")
    assert project.encaja("run", "--yes", "--keep", "copy").returncode == 0
    assert project.encaja("run").returncode == 0
    assert project.results("copy") == [Result.DONE]
    refused = project.encaja("approve", "copy", "--by", "Eva")
    assert (refused.returncode, "is not waiting" in refused.stderr) == (2, True)
    assert project.encaja("run", "--yes", "--from", "copy").returncode == 0
    assert project.results("copy") == [Result.DONE, Result.DONE]


def test_what_is_behind_a_step_that_is_done_again_waits_for_it_and_approval_goes_on_with_what_was_asked(make) -> None:
    project = make(
        step("restore", "command: [sh, -c, 'echo restore >> effects']", REPLACES)
        + step("settle", "command: [sh, -c, 'echo settle >> effects']", ", needs: [restore]")
        + step("test", "human: approve", ", needs: [settle]")
        + step("release", "command: [sh, -c, 'echo release >> effects']", ", needs: [test]")
    )
    inventory = ("-i", str(project.inventory))
    assert project.encaja("run", "--yes", *inventory).returncode == 0
    (project.path / "effects").unlink()
    asked = project.encaja("run", "--from", "restore", "--until", "settle", *inventory)
    assert asked.returncode == 3, asked.stdout + asked.stderr
    assert not (project.path / "effects").exists()
    status = json.loads(project.encaja("status", "--json", *inventory).stdout)
    assert [item["state"] for item in status["steps"]] == ["waiting", "stale", "pending", "stale"]
    assert project.encaja("approve", "restore", "--by", "Ana").returncode == 0
    assert project.encaja("run", *inventory).returncode == 0
    assert (project.path / "effects").read_text().split() == ["restore", "settle"]
    rest = project.encaja("run", *inventory)
    assert rest.returncode == 3
    assert "encaja approve test" in rest.stdout
    assert project.encaja("approve", "test", "--by", "Ana").returncode == 0
    assert project.encaja("run", *inventory).returncode == 0
    assert (project.path / "effects").read_text().split() == ["restore", "settle", "release"]
    assert "'restore' to 'settle' to be repeated" in project.encaja("journal").stdout


def test_retries_follow_their_rule(make) -> None:
    once = "command: [sh, -c, 'test -e mark || { touch mark; echo first time; exit 1; }']"
    project = make(step("a", once, ", retry: {times: 2, delay: 0.1s, when: [failed]}"))
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout
    assert project.results("a") == [Result.FAILED, Result.DONE]
    project.write(step("b", "command: ['false']", ", retry: {times: 2, delay: 0.1s, when: [unreachable]}"))
    assert project.encaja("run").returncode == 1
    assert project.results("b") == [Result.FAILED]


def test_check_finds_differences_and_verify_is_part_of_the_step(make) -> None:
    project = make(
        step("a", "command: ['true']", ", verify: {check: [sh, -c, 'exit 1']}") + step("b", "check: [sh, -c, 'exit 4']")
    )
    assert project.encaja("run").returncode == 1
    assert [(item.part, item.result) for item in project.attempts("a")] == [
        ("run", Result.DONE),
        ("verify", Result.FAILED),
    ]
    differences = project.encaja("run", "--from", "b")
    assert differences.returncode == 4
    assert project.results("b") == [Result.DIFFERENCES]


def test_selection_is_checked_before_anything_starts(make) -> None:
    project = make(
        step("a", "command: ['true']") + step("b", "command: ['true']", ", needs: [a]") + step("c", "command: ['true']")
    )
    for words, part in (
        (("--from", "ghost"), "there is no step 'ghost'"),
        (("--phase", "9"), "there is no phase 9"),
        (("--from", "b", "--until", "a"), "no step is selected"),
        (("--from", "b"), "need 'a' first"),
    ):
        done = project.encaja("run", *words)
        assert done.returncode == 2
        assert part in done.stderr
    assert project.encaja("run", "--until", "a").returncode == 0
    assert project.encaja("run", "--from", "c").returncode == 0
    assert project.results("b") == []


def test_check_mode_changes_neither_hosts_nor_states(make) -> None:
    project = make(step("a", "playbook: ok.yml") + step("b", "command: [touch, made]") + step("g", "human: do"))
    assert project.encaja("run", "--check").returncode == 0
    assert not (project.path / "made").exists()
    status = json.loads(project.encaja("status", "--json").stdout)
    assert {item["state"] for item in status["steps"]} == {"pending"}


def test_passes_stand_side_by_side(make) -> None:
    project = make(step("a", "command: ['true']"))
    assert project.encaja("run", "--pass", "rehearsal-1").returncode == 0
    assert project.encaja("run", "--pass", "cutover").returncode == 0
    difference = json.loads(project.encaja("journal", "diff", "rehearsal-1", "cutover", "--json").stdout)
    assert [item["step"] for item in difference] == ["a"]
    assert project.encaja("journal", "add", "the cable fell out", "--kind", "fault", "--by", "Eva").returncode == 0
    assert "the cable fell out" in project.encaja("journal", "--pass", "cutover").stdout
    assert "the cable fell out" not in project.encaja("journal", "--pass", "rehearsal-1").stdout


def test_rehearsal_and_cutover_are_the_same_steps_and_the_first_forecasts_the_second(make) -> None:
    """What differs is inventory; the rehearsal's fault does not come again, and the backtest knows both passes."""
    once = "command: [sh, -c, 'test -e fixed || { touch fixed; echo the push server is not connected; exit 1; }']"
    project = make(
        step("restore", "playbook: target.yml", f"{REPLACES}, only_on: [$target]")
        + step("settle", once, ", needs: [restore], retry: {times: 1, delay: 0.1s, when: [failed]}")
        + step("say-yes", "human: approve", ", needs: [settle]")
    )
    steps = (project.path / "runbook.yml").read_text().removeprefix(HEAD)
    project.write(steps, "move: {variables: {target: production}}\n" + HEAD)
    (project.path / "playbooks/target.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.command: 'touch {{ playbook_dir }}/../restored-{{ inventory_hostname }}'\n"
    )
    for name, group in (("rehearsal", "test"), ("production", "production")):
        (project.path / f"{name}.yml").write_text(
            f"all: {{vars: {{ansible_connection: local, ansible_python_interpreter: '{sys.executable}'}},\n"
            f"  children: {{{group}: {{hosts: {{{name}.test: {{}}}}}}}}}}\n"
        )
    wrong = project.plain("run", "--pass", "rehearsal-1", "-i", "production.yml", "--set", "target=test", "--yes")
    assert wrong.returncode == 2
    assert "production.test is production, not test" in wrong.stderr
    first = project.plain("run", "--pass", "rehearsal-1", "-i", "rehearsal.yml", "--set", "target=test", "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    assert [path.name for path in project.path.glob("restored-*")] == ["restored-rehearsal.test"]
    ahead = json.loads(project.plain("forecast", "--json", "--pass", "cutover").stdout)
    assert {item["step"]: item["basis"] for item in ahead["steps"]} == {
        "restore": "rehearsal-1",
        "settle": "rehearsal-1",
        "say-yes": "run-book",
    }
    second = project.plain("run", "--pass", "cutover", "-i", "production.yml", "--yes")
    assert second.returncode == 0, second.stdout + second.stderr
    assert (project.path / "restored-production.test").exists()
    back = json.loads(project.plain("forecast", "--backtest", "--json").stdout)
    assert [item["step"] for item in back] == ["restore", "settle", ""]
    assert all(item["pass_name"] == "cutover" and item["actual"] > 0 for item in back)
    difference = json.loads(project.plain("journal", "diff", "cutover", "rehearsal-1", "--json").stdout)
    faults = {item["step"]: item["new_faults"] for item in difference}
    assert any("push server" in fault for fault in faults["settle"])
    report = json.loads(project.plain("report", "--json").stdout)
    assert (report["pass"], report["verdict"]) == ("cutover", "complete")
    assert [band["label"] for band in report["forecast"]] == ["restore", "settle", ""]


def test_pass_remembers_its_inventory_and_variables(make) -> None:
    project = make(step("x", "human: do"))
    there = project.path / "there"
    there.mkdir()
    (there / "hosts.yml").write_text("all: {}\n")
    (there / "runbook.yml").write_text(
        "version: 1\nbase: none\nphases: {1: {title: One, urgency: low}}\nsteps:\n"
        + step("a", "command: [sh, -c, 'echo $word > out']")
    )
    first = project.encaja("run", "-i", "there", "--set", "word=hello", "--until", "a")
    assert first.returncode == 0, first.stdout + first.stderr
    assert (project.path / "out").read_text().strip() == "hello"
    (project.path / "out").unlink()
    assert project.encaja("run", "--from", "a").returncode == 0
    assert (project.path / "out").read_text().strip() == "hello"


def test_progress_of_a_command_is_journalled_while_it_runs(make) -> None:
    write = (
        'import time; from encaja.status import conducted; status = conducted(); status.begin("fetch", 1000)\n'
        "for done in range(0, 1001, 250): status.done = done; status.write(); time.sleep(0.3)"
    )
    project = make(step("a", f"command: [{sys.executable}, -c, '{write}']".replace("\n", "\n\n"), ", scale: link"))
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout + done.stderr
    with project.journal() as journal:
        found = journal.measures()
    assert [item.done for item in found] == sorted(item.done for item in found)
    assert (found[-1].name, found[-1].done, found[-1].total, found[-1].unit) == ("fetch", 1000, 1000, "bytes")
    assert len(found) >= 3
    assert "fetch 1 kB" in project.encaja("journal").stdout


def test_progress_of_a_host_tool_is_journalled_while_its_task_runs(make) -> None:
    """A stand-in for the action `host_tool`: it tells the conductor in the same way."""
    project = make(step("a", "playbook: tool.yml"))
    actions = project.path / "playbooks/action_plugins"
    actions.mkdir()
    (actions / "tool.py").write_text(TOOL)
    (project.path / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {COLLECTIONS}\n")
    (project.path / "playbooks/tool.yml").write_text(
        "- {hosts: production, gather_facts: false, tasks: [{name: Work, tool: {}}]}\n"
    )
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout + done.stderr
    with project.journal() as journal:
        assert [(item.host, item.done, item.rate) for item in journal.measures()] == [
            ("prod.test", 5, 2.0),
            ("prod.test", 10, 2.0),
        ]
    log = (Path(project.attempts("a")[0].directory) / "log").read_text()
    assert "prod.test: stream, 50 %" in log
    assert "encaja_progress" not in log


COLLECTIONS = Path(__file__).parents[3] / "collections"
TOOL = """\
from ansible.plugins.action import ActionBase
from ansible_collections.encaja.portal.plugins.action import host_tool


class ActionModule(host_tool.ActionModule):
    looks = [
        'ActiveState=inactive\\n---\\n',
        'ActiveState=active\\n---\\n{"phase": "stream", "done": 5, "total": 10, "unit": "bytes", "rate": 2.0',
        'ActiveState=active\\n---\\n{"phase": "stream", "done": 10, "total": 10, "unit": "bytes", "rate": 2.0',
        'ActiveState=inactive\\nResult=success\\n---\\n{"phase": "done"',
    ]
    start = ""

    def run(self, tmp=None, task_vars=None):
        self._task.args = {"unit": "x.service", "status": "/x"}
        return super().run(tmp, task_vars)

    def _low_level_execute_command(self, command):
        if "systemctl show" not in command:
            self.start = command.partition("ENCAJA_START=")[2][:32]
            return {"rc": 0, "stdout": "", "stderr": ""}
        look = self.looks.pop(0).replace("---", "System=running\\n---")
        return {"rc": 0, "stdout": look + (f', "start": "{self.start}"}}' if "{" in look else ""), "stderr": ""}
"""


def test_preflight_is_told_as_one_list_without_ansibles_own_words(make) -> None:
    project = make(step("a", "playbook: ok.yml"))
    verdict = "{kind: preflight, hosts: [prod.test], faults: [{where: prod.test, what: disk is full, hint: free some}]}"
    (project.path / "playbooks/preflight.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        f"    - ansible.builtin.set_stats: {{data: {{encaja_result: {verdict}}}}}\n"
    )
    found = project.encaja("check", "-i", str(project.inventory))
    assert found.returncode == 2, found.stderr
    assert "1 to fix" in found.stdout
    assert "disk is full" in found.stdout
    assert "PLAY" not in found.stdout
    data = json.loads(project.encaja("check", "--json", "-i", str(project.inventory)).stdout)
    assert data["faults"][0]["hint"] == "free some"
    warned = verdict.replace("faults:", "faults: [], warnings:").replace("disk is full", "one disk for all")
    (project.path / "playbooks/preflight.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        f"    - ansible.builtin.set_stats: {{data: {{encaja_result: {warned}}}}}\n"
    )
    fine = project.encaja("check", "-i", str(project.inventory))
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert "nothing prevents the move" in fine.stdout
    assert "1 to consider" in fine.stdout
    assert "one disk for all" in fine.stdout
    (project.path / "playbooks/preflight.yml").write_text("- hosts: localhost\n  roles: [no_such_role]\n")
    broken = project.encaja("check", "-i", str(project.inventory))
    assert broken.returncode == 1
    assert "no_such_role" in broken.stderr


def test_second_conductor_is_refused(make) -> None:
    project = make(step("a", "command: [sh, -c, 'echo $$ > pid; exec sleep 300']"))
    first = project.start("run")
    pid = int(wait_for(project.path / "pid"))
    second = project.encaja("run")
    assert second.returncode == 1
    assert f"another conductor is running: pid {first.pid}" in second.stderr
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=60) == 1
    assert all_gone([pid])
    assert project.results("a") == [Result.INTERRUPTED]


def test_newer_journal_and_missing_inventory_are_bad_usage(make) -> None:
    project = make(step("a", "playbook: ok.yml"))
    missing = project.encaja("status", "-i", "nowhere")
    assert missing.returncode == 2
    assert "no such inventory" in missing.stderr
    with Journal(project.path / ".encaja" / "journal.sqlite3") as journal:
        journal._db.execute("PRAGMA user_version=99")
    done = project.encaja("run")
    assert done.returncode == 2
    assert "newer encaja" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_runbook_names_every_fault_on_a_line(make) -> None:
    project = make(step("a", "playbook: nowhere.yml") + step("b", "human: do", ", needs: [ghost]"))
    done = project.encaja("plan")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2


def test_unknown_command_of_the_program_is_a_fault_of_the_runbook(make) -> None:
    project = make(step("a", "command: [encaja, fly]"))
    done = project.encaja("plan")
    assert done.returncode == 2
    assert "'encaja fly', which does not exist" in done.stderr


@pytest.mark.fault("disk full", "run-book", "while a step's output is written")
def test_full_disk_stops_the_step_cleanly_and_the_next_run_goes_on(make) -> None:
    project = make(step("a", "command: [sh, -c, 'test -e little || exec yes some more output; echo little']"))
    limited = f"ulimit -f 2000; exec {' '.join(project.command('run'))}"
    done = subprocess.run(
        ["bash", "-c", limited], cwd=project.path, env=project.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert str(project.path / ".encaja") in line
    assert "free some space and run again" in line
    assert project.survivors() == []
    (project.path / "little").touch()
    assert project.encaja("run").returncode == 0
    assert project.results("a") == [Result.INTERRUPTED, Result.DONE]


def test_slow_reader_does_not_hold_ansible_up(tmp_path: Path) -> None:
    from encaja.runbook.book.model import Action
    from encaja.runbook.run.ansible_command import playbook_command
    from encaja.runbook.run.execution import run_playbook

    project = Project(tmp_path / "project", step("a", "playbook: ok.yml"))
    directory = tmp_path / "attempt"
    directory.mkdir()
    command = playbook_command(project.path / "playbooks/ok.yml", Action(playbook="ok.yml"), [project.inventory])
    execution = run_playbook(1, directory, project.path, command, {"ENCAJA_ACCELERATOR": "off"})
    wait_for(directory / "rc")
    time.sleep(0.2)
    kinds = [event.kind for signals in execution if signals for event in signals.events]
    assert "ok" in kinds
    assert execution.ending.code == 0
    assert not (directory / "runner/artifacts/command").exists()
