"""The conductor is killed: nothing outlives it, nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pexpect
import pytest

from encaja.runbook.record.journal import EntryKind, GateState, Result
from encaja.runbook.run.attempt_folder import running_supervisor
from encaja.runbook.run.supervisor import descendants
from support.conductor_project import Project, all_gone, wait_for

CHAIN = "".join(
    f"  - {{id: s{number}, phase: 1, title: S, owner: contractor, estimate: 1s, needs: [{need}], "
    f"run: {{command: [sh, -c, 'sleep 0.15; echo s{number} >> effects']}}}}\n"
    for number, need in enumerate(["", "s0", "s1", "s2", "s3", "s4"])
)


def slow_playbook(pid_file: Path) -> str:
    return (
        "  - {id: slow, phase: 1, title: Slow, owner: contractor, estimate: 1s, "
        f"run: {{playbook: slow.yml, vars: {{pid_file: '{pid_file}'}}}}}}\n"
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.fault("kill -9: controller", "run-book", "at random moments")
def test_killed_at_random_moments_each_step_is_done_once(tmp_path: Path, seed: int) -> None:
    project = Project(tmp_path / "project", CHAIN)
    moments = random.Random(seed)
    for _ in range(3):
        conductor = project.start("run")
        time.sleep(moments.uniform(0.4, 1.6))
        os.kill(conductor.pid, signal.SIGKILL)
        conductor.wait()
        conductor.stdout.close()
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(6):
        results = project.results(f"s{number}")
        assert results.count(Result.DONE) == 1
        assert results[-1] is Result.DONE
        assert set(results) <= {Result.DONE, Result.INTERRUPTED}
    effects = (project.path / "effects").read_text().split()
    assert sorted(set(effects)) == [f"s{number}" for number in range(6)]
    assert project.survivors() == []


@pytest.mark.fault("kill -9: controller", "run-book", "the step ends by itself meanwhile")
def test_what_ended_well_while_nobody_looked_is_not_done_again(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", CHAIN)
    assert project.encaja("run", "--until", "s0").returncode == 0
    with project.journal() as journal:
        (pass_,) = journal.passes()
        directory = tmp_path / "orphan"
        directory.mkdir()
        (directory / "rc").write_text("0\n")
        journal.begin(
            pass_,
            "s1",
            "run",
            by="x",
            kind="command",
            directory=str(directory),
            fingerprint=fingerprint_of(project, "s1"),
        )
    assert project.encaja("run").returncode == 0
    assert project.results("s1") == [Result.DONE]
    assert "s1" not in (project.path / "effects").read_text().split()


def fingerprint_of(project: Project, step: str) -> str:
    from encaja.runbook.record.step_states import Inputs
    from encaja.runbook.record.workspace import open_move

    move = open_move(project=project.path, inventories=[])
    action = move.step(step).action
    assert action is not None
    return Inputs(move).of(action)[1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_of_a_playbook_outlives_the_conductor(tmp_path: Path, how: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    project = Project(tmp_path / "project", slow_playbook(pid_file))
    conductor = project.start("run")
    pid = int(wait_for(pid_file))
    family = descendants(conductor.pid)
    assert pid in family
    conductor.send_signal(how)
    conductor.wait(timeout=60)
    assert all_gone(family)
    if how is not signal.SIGKILL:
        assert conductor.returncode == 1
        assert project.results("slow") == [Result.INTERRUPTED]
        assert "Traceback" not in conductor.stdout.read()
        return
    assert project.results("slow") == [None]
    (project.path / "playbooks/slow.yml").write_text((project.path / "playbooks/ok.yml").read_text())
    done = project.encaja("run")
    assert done.returncode == 0, done.stdout
    assert "died; continuing" in done.stdout
    assert project.results("slow") == [Result.INTERRUPTED, Result.DONE]
    with project.journal() as journal:
        assert [entry.kind for entry in journal.entries()] == [EntryKind.TAKEOVER]


def test_ctrl_c_at_a_question_is_not_lost(tmp_path: Path) -> None:
    steps = "  - {id: talk, phase: 1, title: Talk, owner: client, estimate: 1s, run: {human: do}}\n"
    project = Project(tmp_path / "project", steps)
    words = project.command("run")
    terminal = pexpect.spawn(words[0], words[1:], cwd=str(project.path), env=project.environment, timeout=60)
    terminal.expect("approve, reject or later")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 1
    with project.journal() as journal:
        assert [gate.state for gate in journal.gates()] == [GateState.WAITING]


def test_answer_at_the_terminal_opens_the_gate(tmp_path: Path) -> None:
    steps = "  - {id: talk, phase: 1, title: Talk, owner: client, estimate: 1s, run: {human: do}}\n"
    project = Project(tmp_path / "project", steps)
    words = project.command("run", "--by", "Ana")
    terminal = pexpect.spawn(words[0], words[1:], cwd=str(project.path), env=project.environment, timeout=60)
    terminal.expect("approve, reject or later")
    terminal.sendline("approve")
    terminal.expect("note")
    terminal.sendline("as agreed")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    with project.journal() as journal:
        last = journal.gates()[-1]
    assert (last.state, last.by, last.note) == (GateState.APPROVED, "Ana", "as agreed")


@pytest.mark.fault("kill -9: supervisor", "run-book", "and the controller with it")
def test_what_a_killed_supervisor_left_is_ended_by_the_next_conductor(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    project = Project(tmp_path / "project", slow_playbook(pid_file))
    conductor = project.start("run")
    pid = int(wait_for(pid_file))
    supervisor = running_supervisor(Path(project.attempts()[0].directory))
    conductor.send_signal(signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    conductor.kill()
    conductor.wait()
    (project.path / "playbooks/slow.yml").write_text((project.path / "playbooks/ok.yml").read_text())
    assert project.encaja("run").returncode == 0
    assert all_gone([pid])
    assert project.survivors() == []
