"""The source's side: when mariadb-backup is stopped, and that it does not give way while others wait for it."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from encaja.clone import priority, remote, source, tables
from encaja.clone.source import _Moment
from encaja.errors import EncajaError

HOLDS = """\
nice_is() {
  for i in $(seq 200); do [ "$(ps -o ni= -p $$)" -eq "$1" ] && return; sleep 0.05; done
  echo "not $1" >&2; exit 1
}
nice_is 19
echo 'Starting BACKUP STAGE FLUSH' >&2
nice_is 0
echo 'Acquired locks for BACKUP STAGE BLOCK_COMMIT' >&2
for i in $(seq 200); do [ -e opened ] && break; sleep 0.05; done
echo 'Executing BACKUP STAGE END' >&2
echo 'All tables unlocked' >&2
nice_is 19
"""
LETS_GO = "printf 'Executing FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS...\\nExecuting BACKUP STAGE END\\nAll tables' >&2"


class Opened:
    """Stands in for the snapshots: notes whether mariadb-backup stood still when they were opened."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.states, self.program = folder, list[str](), 0

    def open(self, _: object) -> None:
        told = Path(f"/proc/{self.program}/stat").read_text()
        self.states.append(told.rpartition(")")[2].split()[0])
        (self.folder / "opened").touch()


def watched(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> tuple[_Moment, Opened, int]:
    monkeypatch.chdir(folder)
    opened = Opened(folder)
    monkeypatch.setattr(tables, "open_snapshots", opened.open)
    monkeypatch.setattr(tables, "base_tables", lambda _: [])
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with subprocess.Popen(["nice", "-n", str(19 - before), "sh", "-c", script], stderr=subprocess.PIPE) as program:
        assert program.stderr
        opened.program = program.pid
        moment = _Moment(program, program.stderr, io.BytesIO(), [None])  # type: ignore[list-item]
        monkeypatch.setattr(source.os, "getpid", lambda: program.pid)
        moment.watch()
    return moment, opened, program.returncode


def test_a_portal_s_host_tells_its_files_though_its_own_database_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "trees" / "live").mkdir(parents=True)
    (tmp_path / "www").symlink_to("trees/live")
    monkeypatch.setattr(source, "server_version", lambda: "11.8.3")
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(tmp_path / "none.sock"))
    told = source.facts(tmp_path)
    assert told["tree"] == "live"
    assert told["mariadb_fault"]
    assert "database_bytes" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take a place back")
def test_it_stands_still_while_the_snapshots_are_opened_and_gives_way_but_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, opened, code = watched(tmp_path, HOLDS, monkeypatch)
    assert code == 0, moment.last
    assert opened.states == ["T"]
    assert moment.exact


def test_a_moment_that_is_over_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment, opened, code = watched(tmp_path, LETS_GO, monkeypatch)
    assert code == 0
    assert not opened.states
    assert not moment.exact


def test_snapshots_that_cannot_be_opened_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object, __: object) -> None:
        raise source.EncajaError("no snapshot")

    monkeypatch.setattr(Opened, "open", refuse)
    moment, _, code = watched(tmp_path, "echo 'Acquired locks for BACKUP STAGE BLOCK_COMMIT' >&2; sleep 1", monkeypatch)
    assert code == 0
    assert str(moment.fault) == "no snapshot"
    assert not moment.exact


def test_only_the_weight_of_a_copy_s_own_group_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("encaja-copy-12.scope", "session-3.scope"):
        group = tmp_path / name
        group.mkdir()
        (group / "cpu.weight").write_text("40")
        monkeypatch.setattr(priority, "_own_group", lambda group=group: group)
        priority.give_way([])
    assert (tmp_path / "encaja-copy-12.scope/cpu.weight").read_text() == "1"
    assert (tmp_path / "session-3.scope/cpu.weight").read_text() == "40"


def test_a_copy_s_key_lists_trees_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trees" / "one").mkdir(parents=True)
    (tmp_path / "secret").touch()
    for asked in ("manifest ..", "manifest .", "manifest trees/../..", "manifest /etc"):
        monkeypatch.setenv("SSH_ORIGINAL_COMMAND", asked)
        with pytest.raises(EncajaError, match="not the name of a tree"):
            source.run(tmp_path)


@pytest.mark.parametrize("answer", ["[]", "{", "[" * 100_000, '{"tree": ".."}', '{"tree": "../../etc"}'])
def test_facts_that_are_none_are_one_error(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = remote.Source("192.0.2.1", Path("key"), Path("known_hosts"))
    monkeypatch.setattr(remote.Source, "ask", lambda *_: answer.encode())
    with pytest.raises(EncajaError, match=r"something else than facts|not the name of a tree"):
        asked.facts()
