"""Replacing files and links: old or new, never half of it, and never somebody else's file."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from encaja.atomic import link_atomically, write_atomically, write_private


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    write_atomically(file, b"old")
    full = tmp_path / "full"

    def make(**_: object) -> tuple[int, str]:
        full.symlink_to("/dev/full")
        return os.open(full, os.O_WRONLY), str(full)

    monkeypatch.setattr(tempfile, "mkstemp", make)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_content_then_name_are_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[tuple[str, bool]] = []
    file = tmp_path / "state.json"

    def force(number: int) -> None:
        forced.append((os.readlink(f"/proc/self/fd/{number}"), file.exists()))  # noqa: PTH115

    monkeypatch.setattr(os, "fsync", force)
    write_atomically(file, b"quick", durable=False)
    assert forced == []
    file.unlink()
    write_atomically(file, b"kept")
    assert [there for _, there in forced] == [False, True]
    assert forced[1][0] == str(tmp_path)


def test_mode_and_owner_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    before = os.umask(0o077)
    try:
        write_atomically(file, b"x", 0o644, (os.getuid(), os.getgid()))
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o7777 == 0o644
    write_atomically(file, b"y")
    assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"y", 0o600)


def test_a_link_in_the_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other, file = tmp_path / "other", tmp_path / "file"
    other.write_bytes(b"not ours")
    file.symlink_to(other)
    write_atomically(file, b"ours")
    assert (other.read_bytes(), file.read_bytes(), file.is_symlink()) == (b"not ours", b"ours", False)


def test_a_link_is_there_all_the_time(tmp_path: Path) -> None:
    link = tmp_path / "www"
    link_atomically(link, "trees/one")
    link_atomically(link, "trees/two")
    assert str(link.readlink()) == "trees/two"
    assert [path.name for path in tmp_path.iterdir()] == ["www"]


def test_what_is_private_is_for_its_owner_whatever_was_there(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)
    write_private(Path(os.devnull), "shown")
    assert not Path(os.devnull).is_file()
