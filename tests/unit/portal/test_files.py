"""Files of the portal: whole or as before, with their owner and mode, and a copy that nobody can download."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from encaja.errors import EncajaError
from encaja.portal.files import Attributes, attributes_differ, attributes_of, keep_copy, set_attributes, write


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dbconn.php"
    file.write_text("old")
    seen: list[tuple[bool, str]] = []
    sync = os.fsync

    def power_cut(number: int) -> None:
        target = Path(f"/proc/self/fd/{number}").readlink()
        seen.append((target.is_dir(), file.read_text()))
        sync(number)

    monkeypatch.setattr(os, "fsync", power_cut)
    write(file, b"new")
    assert seen == [(False, "old"), (True, "new")], "the content, then its name"


def test_power_lost_at_the_barrier_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dbconn.php"
    file.write_text("old")

    def cut(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(EncajaError, match="cannot be written: Input/output error"):
        write(file, b"new")
    assert ([path.name for path in tmp_path.iterdir()], file.read_text()) == (["dbconn.php"], "old")


def test_mode_and_owner_stay_and_a_link_is_followed(tmp_path: Path) -> None:
    file, link = tmp_path / "real.php", tmp_path / "link.php"
    file.write_text("old")
    file.chmod(0o604)
    if os.getuid() == 0:
        os.chown(file, 12, 34)
    before = attributes_of(file)
    link.symlink_to(file)
    write(link, b"new")
    assert (link.is_symlink(), file.read_text(), attributes_of(file)) == (True, "new", before)
    write(file, b"newer", Attributes(mode=0o600))
    assert attributes_of(file) == Attributes(before.uid, before.gid, 0o600)


def test_a_new_file_belongs_to_whom_its_folder_belongs(tmp_path: Path) -> None:
    if os.getuid() == 0:
        os.chown(tmp_path, 12, 34)
    info = tmp_path.stat()
    write(tmp_path / "new.php", b"x")
    assert attributes_of(tmp_path / "new.php") == Attributes(info.st_uid, info.st_gid, 0o640)


def test_a_copy_is_for_root_alone_and_none_replaces_another(tmp_path: Path) -> None:
    kept, file = tmp_path / "kept", tmp_path / "www" / "dbconn.php"
    file.parent.mkdir()
    file.write_text("one")
    file.chmod(0o644)
    first = keep_copy(file, kept)
    file.write_text("two")
    second = keep_copy(file, kept)
    assert (first.read_text(), second.read_text()) == ("one", "two")
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (first, second)} == {0o600}
    assert "www-dbconn.php." in first.name


def test_attributes_are_compared_and_set_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("x")
    file.chmod(0o640)
    has = attributes_of(file)
    assert not attributes_differ(file, has) and not attributes_differ(file, Attributes())
    assert attributes_differ(file, Attributes(mode=0o600))
    assert attributes_differ(file, Attributes(uid=(has.uid or 0) + 1))
    assert attributes_differ(file, Attributes(gid=(has.gid or 0) + 1))
    set_attributes(file, Attributes(mode=0o600))
    assert attributes_of(file) == Attributes(has.uid, has.gid, 0o600)
    set_attributes(file, Attributes())
    assert attributes_of(file) == Attributes(has.uid, has.gid, 0o600)
