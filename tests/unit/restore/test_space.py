"""Room is computed by file system, before a restore starts."""

from __future__ import annotations

import pytest
from backup_archives import tar_entry

from encaja.restore import space, target_checks
from encaja.restore.errors import TargetNotReady
from encaja.restore.job import parse_job
from encaja.restore.load.database import Server
from encaja.restore.source import Folder

SERVER = Server("portal_s1", "portal", "p'w\\1")


def test_space():
    first = (
        tar_entry(b"bitrix/backup/x_after_connect.sql", b"SET") + tar_entry(b"bitrix/backup/x.sql", b"y" * 5000)[:512]
    )
    assert space.dump_size(first) == 5000
    with pytest.raises(TargetNotReady, match=r"GiB are needed .*site tree"):
        space.check_space([space.Need("site tree", space.Path("/"), 1 << 60)])


def test_space_counts_by_file_system(tmp_path):
    wanted = space.needs(
        unpacked=100,
        dump=40,
        volumes_room=7,
        tree=tmp_path,
        volumes=tmp_path,
        spool=tmp_path / "new",
        database=tmp_path,
    )  # fmt: skip
    assert [(need.what, need.bytes) for need in wanted] == [
        ("site tree", 60),
        ("volumes", 7),
        ("statements to be loaded", 40),
        ("database", 64),
    ]
    space.check_space(wanted)


def test_low_disk_counts_the_room_that_volumes_give_back(tmp_path):
    for number, size in enumerate((3000, 3000, 1000)):
        stream = bytes(tar_entry(b"bitrix/backup/x.sql", b"y" * 6000))[number * 3000 : number * 3000 + size]
        (tmp_path / (f"a.tar.{number}" if number else "a.tar")).write_bytes(stream)
    folder = Folder(tmp_path)
    assert (folder.room(low_disk=False), folder.room(low_disk=True)) == (0, 3000 - (3000 + 3000 + 656))


def test_a_further_file_of_the_dump_is_counted_when_it_comes(tmp_path, monkeypatch):
    content = {"stamp": "s", "directory": str(tmp_path), "home": str(tmp_path), "work": str(tmp_path)}
    job = parse_job({**content, "database": {"name": "n", "user": "u"}})
    monkeypatch.setattr(target_checks.database, "look", lambda _: tmp_path)
    target_checks.check_dump_part(job, 1000, 5000)
    with pytest.raises(TargetNotReady, match=r"GiB are needed .*statements to be loaded"):
        target_checks.check_dump_part(job, 1 << 50, 1 << 50)
