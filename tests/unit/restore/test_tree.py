"""Files and folders of the new tree."""

from __future__ import annotations

import os

from encaja.restore.archive.tars import Member
from encaja.restore.archive.tree import TreeWriter


def test_modes_do_not_depend_on_the_mask(tmp_path):
    before = os.umask(0o077)
    try:
        writer = TreeWriter(tmp_path)
        writer.begin(Member(b"a/b.txt", 1, 0o600, False))
        writer.data(memoryview(b"x"))
        writer.end()
        writer.release()
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b.txt").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_a_killed_run_did_not_give_away_is_given_away(tmp_path, monkeypatch):
    (tmp_path / "bitrix" / "modules").mkdir(parents=True)
    given = []
    monkeypatch.setattr(os, "chown", lambda folder, *owner, **_: given.append((folder, *owner)))
    writer = TreeWriter(tmp_path, owner=(33, 33))
    writer.begin(Member(b"bitrix/modules/", 0, 0o755, True))
    assert given == [(b"bitrix", 33, 33), (b"bitrix/modules", 33, 33)]
