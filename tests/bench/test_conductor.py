"""What the conductor costs: time over plain ansible-playbook, and memory for many events."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

PLAYBOOK = """\
- hosts: production
  gather_facts: false
  tasks:
    - {name: Say something, ansible.builtin.debug: {msg: "{{ item }}"}, loop: "{{ range(20) | list }}"}
    - {name: Do something, ansible.builtin.command: sleep 1, changed_when: false}
"""
INVENTORY = f"""\
all:
  vars: {{ansible_connection: local, ansible_python_interpreter: "{sys.executable}"}}
  children: {{production: {{hosts: {{a.test: {{}}, b.test: {{}}, c.test: {{}}}}}}}}
"""
RUNBOOK = """\
version: 1
base: none
phases: {1: {title: One, urgency: low}}
steps:
  - {id: a, phase: 1, title: A, owner: contractor, estimate: 1s, run: {playbook: p.yml}}
  - {id: last, phase: 1, title: B, owner: contractor, estimate: 1s, needs: [a], run: {human: do}}
"""
EVENTS = 100_000
ROUNDS = 3
MEMORY = f"""
import resource, sys
from pathlib import Path
from encaja.runbook.record.journal import Journal
from encaja.runbook.record.workspace import open_move
from encaja.runbook.report.live_display import TerminalDisplay
from encaja.runbook.report.notifications import TeamNotifier
from encaja.runbook.run.attempt import follow
from encaja.runbook.run.execution import run_playbook
from encaja.runbook.run.inventory import InventoryReader
from encaja.runbook.run.pass_run import PassRun
from encaja.runbook.run.selection import RunOptions
from rich.console import Console

move = open_move(project=Path(sys.argv[1]))
with Journal(move.journal) as journal:
    step = move.runbook.steps[0]
    directory = Path(sys.argv[1]) / "attempt"
    directory.mkdir()
    pass_ = journal.start_pass("bench", "bench", {{}})
    reader = InventoryReader(move.project, ())
    display = TerminalDisplay(Console(quiet=True))
    run = PassRun(move, journal, pass_, RunOptions("bench", "bench"), display, TeamNotifier(), reader)
    attempt = journal.begin(pass_, "a", "run", by="bench", kind="playbook", directory=str(directory))
    execution = run_playbook(attempt.id, directory, move.project, [sys.executable, sys.argv[2]], {{}})
    follow(run, step, attempt, execution)
    assert sum(1 for _ in journal.events(attempt.id)) == {EVENTS}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
# A stand-in for ansible-playbook: it says what that would say, in the way in which ansible-runner's callback does.
TALKER = f"""
import base64, json, os, sys
folder = os.path.join(os.environ["AWX_ISOLATED_DATA_DIR"], "job_events")

def token(data):
    text = base64.b64encode(json.dumps(data).encode()).decode()
    return f"\\x1b[K{{text}}\\x1b[{{len(text)}}D\\x1b[K"

for number in range({EVENTS}):
    name, host = f"{{number:032x}}", f"host{{number % 40}}"
    result = {{"changed": False, "msg": "x" * 500}}
    data = {{"host": host, "task": f"Task {{number // 40}}", "duration": 0.1, "res": result}}
    event = {{"uuid": name, "event": "runner_on_ok", "created": "2026-11-05T08:00:00", "event_data": data}}
    with open(os.path.join(folder, name + "-partial.json"), "w") as file:
        json.dump(event, file)
    sys.stdout.write(token({{"uuid": name}}) + f"ok: [{{host}}]\\n" + token({{}}))
"""


def project(path: Path) -> Path:
    (path / "playbooks").mkdir(parents=True)
    (path / "playbooks/p.yml").write_text(PLAYBOOK)
    (path / "inventory.yml").write_text(INVENTORY)
    (path / "runbook.yml").write_text(RUNBOOK)
    return path


def compiled(folder: Path) -> dict[str, str]:
    """The environment of somebody who uses the kit: bytecode is kept from one start to the next."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "ENCAJA_ACCELERATOR": "off"}


def timed(command: list[str], where: Path, environment: dict[str, str], code: int) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return time.perf_counter() - begun


def test_time_over_plain_ansible_playbook(tmp_path: Path, capsys) -> None:
    environment = compiled(tmp_path)
    plain, conducted = [], []
    ansible = str(Path(sys.executable).parent / "ansible-playbook")
    for number in range(ROUNDS + 1):
        where = project(tmp_path / str(number))
        plain.append(timed([ansible, "-i", "inventory.yml", "playbooks/p.yml"], where, environment, 0))
        words = [sys.executable, "-m", "encaja.cli", "run", "-i", "inventory.yml"]
        conducted.append(timed(words, where, environment, 3))
    with capsys.disabled():
        first, second = min(plain[1:]), min(conducted[1:])  # the round before them filled the caches
        over = second - first
        print(f"\nconductor: plain {first:.2f} s, conducted {second:.2f} s, over {over:.2f} s = {second / first:.2f} x")


def test_memory_for_many_events(tmp_path: Path, capsys) -> None:
    where = project(tmp_path / "memory")
    talker = tmp_path / "talker.py"
    talker.write_text(TALKER)
    begun = time.perf_counter()
    words = [sys.executable, "-c", MEMORY, str(where), str(talker)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    peak = int(done.stdout.split()[-1])
    with capsys.disabled():
        print(f"\nconductor: {EVENTS:,} events in {time.perf_counter() - begun:.1f} s, peak {peak / 1e6:.0f} MB")
    assert peak <= 200e6
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0
