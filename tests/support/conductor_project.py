"""A tiny project on this machine, and ways to run the conductor over it as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from encaja.runbook.record.journal import Attempt, Journal, Result
from encaja.runbook.run.recovery import marked_processes
from encaja.runbook.run.supervisor import start_ticks

HEAD = "version: 1\nbase: none\nphases: {1: {title: One, urgency: low}}\nsteps:\n"
SECRET = "sesame-open-4711"
INVENTORY = f"""\
all:
  vars: {{ansible_connection: local, ansible_python_interpreter: "{sys.executable}", demo_password: {SECRET}}}
  children:
    production: {{hosts: {{prod.test: {{}}}}}}
    preproduction: {{hosts: {{pre.test: {{}}}}}}
"""
PLAYBOOKS = {
    "ok": "- {hosts: production, gather_facts: false, tasks: [{name: Fine, ansible.builtin.debug: {msg: fine}}]}\n",
    "both": "- {hosts: all, gather_facts: false, tasks: [{name: Fine, ansible.builtin.debug: {msg: fine}}]}\n",
    "rescue": """\
- hosts: production
  gather_facts: false
  tasks:
    - block:
        - {name: Breaks, ansible.builtin.fail: {msg: rescued breakage}}
      rescue:
        - {name: Fixes, ansible.builtin.debug: {msg: fixed}}
    - {name: Never mind, ansible.builtin.fail: {msg: ignored breakage}, ignore_errors: true}
""",
    "broken": """\
- hosts: production
  gather_facts: false
  tasks:
    - block:
        - {name: Breaks first, ansible.builtin.fail: {msg: rescued breakage}}
      rescue:
        - {name: Fixes, ansible.builtin.debug: {msg: fixed}}
    - name: Breaks for good
      ansible.builtin.shell: "echo using {{ demo_password }}; echo No space left on device >&2; exit 3"
      changed_when: false
""",
    "secret": """\
- hosts: production
  gather_facts: false
  tasks:
    - {name: Hidden, ansible.builtin.debug: {msg: "{{ demo_password }}"}, no_log: true}
    - {name: Blurted, ansible.builtin.debug: {msg: "the password is {{ demo_password }}"}}
    - ansible.builtin.set_stats:
        data: {encaja_result: {kind: verify, differences: 0, note: "{{ demo_password }}"}}
""",
    "slow": """\
- hosts: production
  gather_facts: false
  tasks:
    - {name: Hold, ansible.builtin.shell: "echo $$ > {{ pid_file }}; exec sleep 300", changed_when: false}
""",
    "syntax": "- hosts: production\n  tasks: [{no_such_module_anywhere: {}}]\n",
}


class Project:
    """A project directory with its journal."""

    def __init__(self, path: Path, steps: str) -> None:
        self.path = path
        (path / "playbooks").mkdir(parents=True)
        for name, text in PLAYBOOKS.items():
            (path / "playbooks" / f"{name}.yml").write_text(text)
        self.inventory = path / "inventory.yml"
        self.inventory.write_text(INVENTORY)
        (path / "ansible.cfg").write_text("[defaults]\nlocalhost_warning = False\n")
        self.write(steps)

    def write(self, steps: str, head: str = HEAD) -> None:
        """Replaces the run-book."""
        (self.path / "runbook.yml").write_text(head + steps)

    @property
    def environment(self) -> dict[str, str]:
        """What the program is run with; the accelerator is off, so that a test fails for one reason only."""
        return {**os.environ, "ENCAJA_ACCELERATOR": "off", "COLUMNS": "140"}

    def command(self, *words: str) -> list[str]:
        """The program's command line."""
        plays = "playbook:" in (self.path / "runbook.yml").read_text()
        extra = ["-i", str(self.inventory)] if words[0] == "run" and plays else []
        return [sys.executable, "-m", "encaja.cli", *words, *extra]

    def encaja(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the program to its end, over the project's inventory where playbooks run."""
        return self._finish(self.command(*words))

    def plain(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the program to its end with nothing but these words."""
        return self._finish([sys.executable, "-m", "encaja.cli", *words])

    def _finish(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts the program."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def journal(self) -> Journal:
        """The journal, to be read."""
        return Journal(self.path / ".encaja" / "journal.sqlite3", create=False)

    def attempts(self, step: str | None = None) -> list[Attempt]:
        """The attempts so far."""
        with self.journal() as journal:
            return journal.attempts(None, step)

    def results(self, step: str) -> list[Result | None]:
        """The results of a step's attempts."""
        return [attempt.result for attempt in self.attempts(step)]

    def survivors(self) -> list[int]:
        """Processes of any attempt that still run."""
        return [pid for attempt in self.attempts() for pid in marked_processes(Path(attempt.directory))]


def wait_for(path: Path, seconds: float = 60) -> str:
    """The text of a file, once there is one."""
    deadline = time.monotonic() + seconds
    while not path.exists() or not path.read_text().strip():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not come")
        time.sleep(0.02)
    return path.read_text().strip()


def all_gone(pids: Sequence[int], seconds: float = 30) -> bool:
    """Whether the processes end within a time."""
    deadline = time.monotonic() + seconds
    while any(start_ticks(pid) is not None for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
