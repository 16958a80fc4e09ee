"""Scenarios are brought up two at a time, on a machine that may have nothing yet: what they share is made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from encaja.lab import engine, estate

PREPARE = """
import sys
from pathlib import Path
from encaja.lab.estate import Workspace

workspace = Workspace(Path(sys.argv[1]))
sys.stdin.read()  # all of them go on when the test closes it
workspace.prepare()
for number in range(20):
    workspace.remember(f"192.0.2.{sys.argv[2]}{number:02}", "ssh-ed25519 AAAA")
print(workspace.fingerprint, sorted(workspace.secrets().items()), (workspace.folder / "ca" / "ca.crt").read_text())
"""


def test_what_scenarios_share_is_made_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path)]
    started = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for process in started:
        assert process.stdin
        process.stdin.close()
    said = []
    for process in started:
        assert process.stdout
        said.append(process.stdout.read())
        assert process.wait() == 0
    assert len(set(said)) == 1
    known = estate.Workspace(tmp_path).known_hosts.read_text().splitlines()
    assert len(known) == 4 * 20


def test_machine_without_podman_has_no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine, "MACHINE", tmp_path / "run")
    workspace = estate.Workspace(tmp_path)
    assert {state for _, state in estate.status("lab")} == {"absent"}
    estate.remove_molecule(["base-debian13"])
    assert estate.down(workspace) == []
    assert not list(tmp_path.iterdir())
