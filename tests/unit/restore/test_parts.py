"""The smaller parts of a restore: spool, space, site files, cloud files, switch, host tools."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import zipfile

import pytest
from backup_archives import tar_entry

from ansible_collections.encaja.portal.plugins.action.host_tool import progress_line
from encaja import host_tools, zipapps
from encaja.portal import php
from encaja.restore import cloud_files, portal_setup, space, switch, target_checks
from encaja.restore.archive.tars import Member
from encaja.restore.archive.tree import TreeWriter
from encaja.restore.errors import BackupError, BackupUsageError, TargetNotReady
from encaja.restore.job import parse_job, read_job
from encaja.restore.journal import Journal, load_journal
from encaja.restore.load import database
from encaja.restore.load.database import Server
from encaja.restore.load.statement_spool import StatementSpool
from encaja.restore.source import Folder
from encaja.status import Status
from lab.misbehaving_server import Fault, serving

SERVER = Server("portal_s1", "portal", "p'w\\1")
BEGUN = "2026-03-01 18:30:05"
DUMP = b"""-- Started: 2026-03-01 18:30:05
SET NAMES 'utf8mb4';
DROP TABLE IF EXISTS `a`;
CREATE TABLE `a` (
  `i` int
) ENGINE=InnoDB;

INSERT INTO `a` VALUES
(1);
INSERT INTO `a` VALUES
(2);

CREATE TABLE IF NOT EXISTS `b` (
  `i` int
) ENGINE=InnoDB;

-- Finished: x"""


def frames(spool, table, skip=0):
    return [frame for frame in spool.frames(table, skip) if frame is not None]


def test_spool_shows_only_what_is_proven(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    assert [table.ready for table in spool.tables] == [0]
    spool.commit()
    assert spool.tables[0].ready > 0 and not spool.tables[0].complete
    spool.feed(memoryview(DUMP[150:]))
    spool.end_part()
    spool.end()
    spool.commit(ended=True)
    assert [table.name for table in spool.tables] == ["a", "b"]
    assert frames(spool, spool.tables[0], 1) == [b"INSERT INTO `a` VALUES\n(1)", b"INSERT INTO `a` VALUES\n(2)"]
    assert len(frames(spool, spool.tables[1])) == 1


@pytest.mark.parametrize("cut", range(0, len(DUMP), 17))
def test_spool_goes_back_and_comes_out_the_same(cut, tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:cut]))
    spool.commit()
    spool.save_pending("pending")
    state = json.loads(json.dumps(spool.state()))
    spool.feed(memoryview(DUMP[cut : cut + 40]))
    spool.close()
    for again in (spool, StatementSpool(tmp_path)):
        again.resume(state, "pending")
        again.feed(memoryview(DUMP[cut:]))
        again.end_part()
        again.end()
        again.commit(ended=True)
        found = [frames(again, table) for table in again.tables]
        again.close()
        assert [len(table) for table in found] == [3, 1]
        assert found[0][2] == b"INSERT INTO `a` VALUES\n(2)"
        assert again.splitter.begun == BEGUN


def test_rows_outside_of_their_table(tmp_path):
    spool = StatementSpool(tmp_path)
    with pytest.raises(BackupError, match="outside of its table"):
        spool.feed(memoryview(b"INSERT INTO `a` VALUES\n(1);\n"))


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


def test_database_on_another_host_is_reached_by_tls(monkeypatch):
    given = {}
    monkeypatch.setattr(database.pymysql, "connect", lambda **options: given.update(options) or Silent())
    database.connect(Server("n", "u", "p", host="db.example", ca="/etc/ca.pem"))
    assert (given["host"], given["ssl_ca"]) == ("db.example", "/etc/ca.pem")
    assert given["ssl_verify_cert"] is True and given["ssl_verify_identity"] is True
    given.clear()
    database.connect(Server("n", "u", "p", socket="/run/s", ca="/etc/ca.pem"))
    assert given["unix_socket"] == "/run/s" and "ssl_ca" not in given


class Silent:
    def query(self, _sql):
        return 0


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


def test_time_left_leaves_out_what_an_earlier_run_did(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    status = Status(tmp_path / "status.json")
    status.begin("stream", 2000, done=1000)
    clock[0] += 10
    status.advance(1100)
    told = json.loads(status.path.read_text())
    assert (told["rate"], told["eta_seconds"]) == (10.0, 90.0)
    status.measured = 45.0
    status.write()
    assert json.loads(status.path.read_text())["eta_seconds"] == 20.0


def test_credentials():
    default = "array('host' => 'old', 'options' => 2.0)"
    text = f"<?php\nreturn array('connections' => array('value' => array('default' => {default})));\n"
    settings = php.parse_settings(portal_setup.fill_settings(text, SERVER))
    assert settings["connections"]["value"]["default"] == {
        "host": "localhost", "options": 2.0, "database": "portal_s1", "login": "portal", "password": "p'w\\1",
    }  # fmt: skip
    with pytest.raises(BackupError, match="no section 'connections'"):
        portal_setup.fill_settings("<?php return array();", SERVER)


def test_dbconn():
    text = (
        '<?php\n$DBHost = "db";\n$DBLogin = "******";\n$DBPassword = "******";\n$DBName = "******";\ndefine("X", 1);\n'
    )
    filled = portal_setup.fill_dbconn(text, SERVER, freeze=True)
    assert php.read_variable(filled, "DBPassword") == "p'w\\1"
    assert php.read_define(filled, "NO_AGENT_CHECK") is True
    assert portal_setup.fill_dbconn(filled, SERVER, freeze=True) == filled
    assert portal_setup.fill_dbconn("<?php\n", SERVER, freeze=False) == "<?php\n"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (b"restore.php", None),
        (b".htaccess", b".htaccess.restore"),
        (b"sub/.htaccess", b"sub/.htaccess"),
        (b"bitrix/backup/clouds/3/a.jpg", b"upload/clouds/3/a.jpg"),
    ],
)
def test_places(name, where):
    assert portal_setup.place(name) == where


MANIFEST = """<?php die(); ?>
2026-10-01 10:00:00 5 b1/iblock/a b.txt
2026-10-01 10:00:00 3 b1/cache/x.txt
2026-10-01 10:00:00 4 b1/gone.txt
2026-10-01 10:00:00 6 b1/there.txt
"""


def test_cloud_manifest(tmp_path):
    mirror, tree = tmp_path / "mirror", tmp_path / "tree"
    (mirror / "b1" / "iblock").mkdir(parents=True)
    (mirror / "b1" / "iblock" / "a b.txt").write_bytes(b"12345")
    (tree / "upload").mkdir(parents=True)
    (tree / "upload" / "there.txt").write_bytes(b"123456")
    files = cloud_files.read_manifest(MANIFEST, "m")
    assert [(file.place, file.size) for file in files] == [
        ("upload/iblock/a b.txt", 5), ("upload/gone.txt", 4), ("upload/there.txt", 6),
    ]  # fmt: skip
    with serving(mirror, [Fault("status", times=2, at=503)]) as server:
        found = cloud_files.CloudFetcher(tree, (server.url.rstrip("/"),), pause_seconds=0.01).run(files)
    assert (found.fetched, found.present, found.missing) == (1, 1, ["b1/gone.txt"])
    assert (tree / "upload" / "iblock" / "a b.txt").read_bytes() == b"12345"


@pytest.mark.parametrize("line", ["nonsense", "2026-10-01 10:00:00 x b/a"])
def test_bad_line_of_a_manifest_is_named(line):
    with pytest.raises(BackupError, match="m, line 2"):
        cloud_files.read_manifest(f"2026-10-01 10:00:00 5 b/a\n{line}\n", "m")


def test_no_path_of_a_manifest_leaves_the_tree():
    with pytest.raises(BackupError, match="leaves the tree"):
        cloud_files.read_manifest("2026-10-01 10:00:00 5 b/../../etc/x\n", "m")


def test_switch_and_back(tmp_path):
    link, work = tmp_path / "www", tmp_path / "work"
    for name in ("one", "two", "three"):
        (tmp_path / "trees" / name).mkdir(parents=True)
    one, two, three = (tmp_path / "trees" / name for name in ("one", "two", "three"))
    assert switch.switch(link, one, work).before is None
    marker = tmp_path / "reloaded"
    assert switch.switch(link, two, work, (("touch", str(marker)),)).before == str(one)
    assert marker.exists() and str(link.readlink()) == "trees/two"
    assert switch.switch(link, two, work).before == str(one)
    switch.switch(link, three, work)
    assert switch.roll_back(link, work).after == str(two)
    three.rmdir()
    with pytest.raises(BackupError, match="is gone"):
        switch.roll_back(link, work)
    with pytest.raises(BackupError, match="ended with 1"):
        switch.switch(link, one, work, (("false",),))


def test_no_way_back_is_known(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "www").symlink_to("a")
    with pytest.raises(BackupError, match="no earlier tree"):
        switch.roll_back(tmp_path / "www", tmp_path / "work")


def test_journal(tmp_path):
    journal = Journal(tmp_path / "j" / "journal.json", "a.tar", "run")
    journal.checkpoint = {"volume": 3}
    journal.save()
    assert load_journal(journal.path) == journal
    assert load_journal(tmp_path / "none.json") is None
    journal.path.write_text("{")
    with pytest.raises(BackupError, match="cannot be read"):
        load_journal(journal.path)


def test_job(tmp_path):
    content = {"stamp": "s", "directory": "/d", "home": "/h", "work": "/w", "database": {"name": "n", "user": "u"}}
    job = parse_job({**content, "fetch": {"connections": 3}, "after_switch": [["true"]], "password": "secret"})
    assert (job.fetch.connections, job.after_switch, str(job.tree)) == (3, (("true",),), "/h/trees/s")
    assert "secret" not in repr(job)
    for change in ({"stamp": "../x"}, {"database": {"name": "a`b", "user": "u"}}):
        with pytest.raises(BackupUsageError):
            parse_job({**content, **change})
    (tmp_path / "job.json").write_text('{"stamp": 1}')
    with pytest.raises(BackupUsageError, match="not a restore's job"):
        read_job(tmp_path / "job.json")


def test_a_folder_that_a_killed_run_did_not_give_away_is_given_away(tmp_path, monkeypatch):
    (tmp_path / "bitrix" / "modules").mkdir(parents=True)
    given = []
    monkeypatch.setattr(os, "chown", lambda folder, *owner, **_: given.append((folder, *owner)))
    writer = TreeWriter(tmp_path, owner=(33, 33))
    writer.begin(Member(b"bitrix/modules/", 0, 0o755, True))
    assert given == [(b"bitrix", 33, 33), (b"bitrix/modules", 33, 33)]


def test_a_folder_of_cloud_files_that_a_killed_run_did_not_give_away_is_given_away(tmp_path, monkeypatch):
    (tmp_path / "upload" / "iblock").mkdir(parents=True)
    given = []
    monkeypatch.setattr(os, "chown", lambda folder, *owner: given.append((folder, *owner)))
    fetcher = cloud_files.CloudFetcher(tmp_path, (), (33, 33))
    fetcher._folders(tmp_path / "upload" / "iblock")
    fetcher._folders(tmp_path / "upload" / "iblock")
    assert given == [(tmp_path / "upload", 33, 33), (tmp_path / "upload" / "iblock", 33, 33)]


def test_a_restore_whose_links_name_does_not_resolve_says_so_while_it_waits_and_changes_nothing(tmp_path, monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    content = {
        "stamp": "s", "directory": str(tmp_path / "v"), "home": str(tmp_path), "work": str(tmp_path / "w"),
        "url": "http://nowhere.invalid/20261001_210000_full_a.tar.gz", "database": {"name": "n", "user": "u"},
        "fetch": {"unknown_name_seconds": 0.2, "pause_seconds": 0.02},
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(content))
    said = []
    monkeypatch.setattr(Status, "wait_for", lambda _, waiting: said.append(waiting))
    assert host_tools.main(["restore", str(tmp_path / "job.json")]) == 1
    assert said[0] == "asking nowhere.invalid for the archive's first bytes"
    assert said[1].startswith("waiting for nowhere.invalid (its name does not resolve) since ")
    told = json.loads((tmp_path / "w" / "status.json").read_text())
    assert told["phase"] == "check" and "its name does not resolve" in told["error"]
    assert not (tmp_path / "trees").exists() and not (tmp_path / "w" / "s").exists()


def test_host_tools_are_the_same_bytes_and_run(tmp_path):
    file = zipapps.build_file(tmp_path)
    assert zipapps.build() == file.read_bytes()
    names = zipfile.ZipFile(file).namelist()
    assert "encaja/restore/coordinator.py" in names and not any(name.startswith("encaja/cli") for name in names)
    done = subprocess.run(
        [sys.executable, file, "no-such-tool", "x"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and "restore" in done.stderr
    (tmp_path / "job.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, file, "restore", "job.json"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and "not a restore's job" in done.stderr


def test_usage_of_host_tools(capsys):
    assert host_tools.main(["restore"]) == 2
    assert "usage" in capsys.readouterr().err


def test_progress_for_a_person():
    status = {
        "phase": "stream",
        "done": 5,
        "total": 10,
        "unit": "bytes",
        "rate": 2e6,
        "eta_seconds": 61.2,
        "message": "m",
    }
    assert progress_line(status) == "stream, 50 %, 2.0 MB/s, 1:01 left, m"
    assert progress_line({}) == ""
