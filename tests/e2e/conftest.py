"""The lab with the whole move done in it, once for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from encaja.ansible.accelerator import accelerator_environment
from encaja.lab import engine, estate

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.lab)


def run(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, half an hour at most."""
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800, check=False)


@dataclass(frozen=True)
class Lab:
    """The running lab."""

    workspace: estate.Workspace
    name: str = "lab"

    @property
    def inventory(self) -> Path:
        return ROOT / estate.ESTATES[self.name].inventory

    def shell(self, host: str, command: str, *, check: bool = True) -> str:
        """Run a shell command on a host and return what it printed."""
        chosen = estate.ESTATES[self.name]
        done = subprocess.run(
            engine.command("exec", chosen.container(chosen.host(host)), "sh", "-c", command),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{host}: {command}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def play(self, *arguments: str, stock: bool = False) -> subprocess.CompletedProcess[str]:
        """Run ``ansible-playbook`` on the lab's inventory, with the accelerator where there is one, or ``stock``."""
        command = ["ansible-playbook", "-i", str(self.inventory), *arguments]
        environment = {**os.environ, **({} if stock else accelerator_environment())}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
        )


@pytest.fixture(scope="session")
def moved() -> Lab:
    """The lab after ``make demo``; what was done before is not done again."""
    done = subprocess.run(
        [str(ROOT / "tools" / "demo")], cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return Lab(estate.Workspace(ROOT))
