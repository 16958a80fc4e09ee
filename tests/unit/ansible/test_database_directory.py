"""A data directory is made where nothing is left of it, whenever the host was cut off, and never over data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.encaja.portal.plugins.modules import database_directory as module

NEW = ("aria_log.00000001", "ib_logfile0", "ibdata1", "undo001")
REMAINS = ("aria_log_control", "ib_buffer_pool", "ib_logfile0", "ibdata1", "ibtmp1", "undo001", "db1.pid", "tc.log")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "mysql"
    made.mkdir()
    return made


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the host's commands print, by their first word and their last."""
    said: dict[str, str] = {}

    def output(*command: str) -> str:
        return said.get(command[1] if command[0] == "systemctl" else command[0], "")

    monkeypatch.setattr(module, "output", output)
    return said


def make_first(directory: Path) -> None:
    first = directory / module.FIRST
    for name in ("mysql", "performance_schema", "sys"):
        (first / name).mkdir(parents=True)
    for name in NEW:
        (first / name).write_text("new")


def test_files_of_failed_starts_do_not_count_as_data(directory: Path, host: dict[str, str]) -> None:
    for name in REMAINS:
        (directory / name).write_text("")
    (directory / "lost+found").mkdir()
    assert module.check(directory, [], "mariadb.service") == sorted(REMAINS)


@pytest.mark.parametrize("name", ["portal", "mysqld-bin.000001", "portal.ibd", "#rocksdb"])
def test_anything_else_is_never_changed(directory: Path, host: dict[str, str], name: str) -> None:
    (directory / "ibdata1").write_text("")
    if "." in name:
        (directory / name).write_text("")
    else:
        (directory / name).mkdir()
    with pytest.raises(module.DirectoryError, match=f"holds {name}; nothing was changed"):
        module.check(directory, [], "mariadb.service")


def test_a_link_in_the_place_of_a_file_of_its_own_is_not_its_own(directory: Path, host: dict[str, str]) -> None:
    (directory / "sys").symlink_to(directory.parent)
    with pytest.raises(module.DirectoryError, match="sys"):
        module.check(directory, [], "mariadb.service")


def test_a_running_server_with_a_deleted_directory_is_refused(directory: Path, host: dict[str, str]) -> None:
    host["is-active"] = "active\n"
    with pytest.raises(module.DirectoryError, match="still runs"):
        module.check(directory, [], "mariadb.service")
    host["is-active"] = "activating\n"
    assert module.check(directory, [], "mariadb.service") == []


def test_a_disk_that_is_not_mounted_is_not_an_empty_directory(host: dict[str, str], directory: Path) -> None:
    units = {"var-lib-mysql.mount": "/var/lib/mysql", "var-lib.mount": "/var/lib"}
    away = "Id=var-lib-mysql.mount\nLoadState=loaded\nActiveState=inactive\n\nId=var-lib.mount\nLoadState=not-found\n"
    assert module.unmounted(away, units) == "/var/lib/mysql"
    assert module.unmounted(away.replace("inactive", "active"), units) == ""
    # A failed start stays known to systemd on hosts without such a disk.
    assert module.unmounted("Id=var-lib-mysql.mount\nLoadState=not-found\nActiveState=inactive\n", units) == ""


@pytest.mark.parametrize("name", module.ELSEWHERE)
def test_data_in_another_directory_is_refused(directory: Path, host: dict[str, str], name: str) -> None:
    line = f"--{name.replace('_', '-')}=/srv/redo"
    with pytest.raises(module.DirectoryError, match="/srv/redo"):
        module.check(directory, [line], "mariadb.service")
    assert module.check(directory, [f"--{name}=./", f"--{name}="], "mariadb.service") == []


def test_the_last_value_of_a_setting_is_used_in_either_spelling() -> None:
    assert module.setting(["--datadir=/a", "--port=1", "--datadir=/b"], "datadir") == "/b"
    assert module.setting(["--innodb-undo-directory=/u"], "innodb_undo_directory") == "/u"
    assert module.setting([], "datadir") == ""


@pytest.mark.fault("kill -9: controller", "provision", "at every move of the first data directory")
def test_after_any_interruption_the_next_run_starts_again(
    directory: Path, host: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each move but the last there are no system tables and nothing of anybody's: the same as an empty one."""
    rename = Path.rename
    number = len(NEW) + 3
    for cut in range(number):
        shutil.rmtree(directory)
        make_first(directory)
        done = 0

        def counted(path: Path, target: Path, cut: int = cut) -> Path:
            nonlocal done
            if done == cut:
                raise InterruptedError
            done += 1
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", counted)
        with pytest.raises(InterruptedError):
            module.put_in_place(directory)
        assert not module.has_system_tables(directory)
        assert len(module.check(directory, [], "mariadb.service")) == cut
    monkeypatch.setattr(Path, "rename", rename)
    module.put_in_place(directory)
    assert module.has_system_tables(directory)
    assert not (directory / module.FIRST).exists()


def test_former_files_are_set_aside_and_not_deleted(directory: Path) -> None:
    for name in REMAINS:
        (directory / name).write_text(name)
    place = Path(module.put_aside(directory, list(REMAINS), "20261130-080000"))
    assert place == directory.with_name("mysql.set-aside-20261130-080000")
    assert {path.read_text() for path in place.iterdir()} == set(REMAINS)
    assert list(directory.iterdir()) == []
    assert module.put_aside(directory, [], "20261130-080001") == ""
