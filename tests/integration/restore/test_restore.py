"""A restore ends in the archive's tree and rows, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
import pkgutil
import random
import shutil
import signal
import struct
import subprocess
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pymysql
import pytest

from encaja.portal import php, restored
from encaja.restore import finish
from encaja.restore.archive import gzips, naming, stream
from encaja.restore.coordinator import restore
from encaja.restore.errors import BackupError
from encaja.restore.job import parse_job
from encaja.restore.journal import Journal, load_journal
from encaja.restore.load.database import force_to_disk, prepare_database
from encaja.restore.run import RestoreRun
from lab.misbehaving_server import Fault, serving
from support.restore_runs import (
    FIXTURES,
    NAMES,
    QUICK,
    definitions,
    expected_tree,
    job,
    made_archive,
    manifest,
    rows,
    run,
    start,
    tree,
    write_job,
)

pytestmark = pytest.mark.integration


def status(home):
    return json.loads((home / "work" / "status.json").read_text())


def assert_restored(home, database, kind="plain"):
    reference = f"reference_{kind.replace('-', '_')}"
    assert rows(database, "portal_s1") == rows(database, reference)
    assert tree(home / "trees" / "s1") == expected_tree(kind)
    assert (home / "www").resolve() == home / "trees" / "s1"
    assert_settings_are_back(database)
    told = status(home)
    assert told["phase"] == "done" and told["error"] is None


def assert_settings_are_back(database):
    assert database.run("SELECT @@GLOBAL.max_allowed_packet, @@GLOBAL.innodb_flush_log_at_trx_commit") == [
        (16 << 20, 1)
    ]


def assert_untouched(home, database):
    assert (home / "www").resolve() == home / "trees" / "old"
    assert [path.name for path in (home / "trees").iterdir() if any(path.iterdir())] == ["old"]
    assert database.run("SHOW DATABASES LIKE 'portal_s1'") == []


def restore_here(content):
    """Restore in this process, which is quicker."""
    return restore(RestoreRun(parse_job(content)))


# --- undisturbed ---


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_local_archive(kind, home, database):
    code, text = run(write_job(home / "job.json", job(home, database, kind)))
    assert code == 0, text
    assert_restored(home, database, kind)


def test_definitions_of_tables(home, database):
    restore_here(job(home, database, "encrypted"))
    found, reference = definitions(database, "portal_s1"), definitions(database, "reference_encrypted")
    assert found.keys() == reference.keys()
    for name, text in reference.items():
        # Keys come after the rows, so their order may be another one.
        clean = text.replace("reference_encrypted", "portal_s1")
        assert sorted(line.strip(" ,") for line in found[name].split("\n")) == sorted(
            line.strip(" ,") for line in clean.split("\n")
        )
    assert database.run(
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='portal_s1'"
    ) == [("utf8mb4_unicode_ci",)]


def test_what_is_written_into_the_tree(home, database):
    restore_here(job(home, database))
    new = home / "trees" / "s1"
    settings = php.parse_settings((new / "bitrix/.settings.php").read_text())
    default = settings["connections"]["value"]["default"]
    assert (default["database"], default["login"], default["host"]) == ("portal_s1", "root", "localhost")
    assert settings["crypto"]["value"]["crypto_key"] == "f00dfacef00dfacef00dfacef00dface"
    dbconn = (new / "bitrix/php_interface/dbconn.php").read_text()
    assert php.read_variable(dbconn, "DBName") == "portal_s1"
    assert php.read_define(dbconn, "NO_AGENT_CHECK") is True and php.read_define(dbconn, "DisableEventsCheck") is True
    assert "RewriteRule" in (new / ".htaccess").read_text()
    assert (new / ".htaccess.restore").exists()
    assert not list(new.glob("bitrix/backup/*.sql"))


def test_second_run_does_nothing_and_roll_back_goes_back(home, database):
    file = write_job(home / "job.json", job(home, database))
    assert run(file)[0] == 0
    before = (home / "trees" / "s1" / "bitrix" / ".settings.php").stat().st_mtime_ns
    assert run(file)[0] == 0
    assert (home / "trees" / "s1" / "bitrix" / ".settings.php").stat().st_mtime_ns == before
    assert status(home)["changed"] is False
    assert run(file, "restore-rollback") == (0, f"live: {home}/trees/old\n")
    assert (home / "www" / "index.php").read_text() == "old"
    assert run(file, "restore-rollback") == (0, f"live: {home}/trees/s1\n")


def test_a_restore_that_is_done_but_not_live_is_made_live_again(home, database):
    file = write_job(home / "job.json", job(home, database))
    assert run(file)[0] == 0
    assert run(file, "restore-rollback")[0] == 0
    assert run(file)[0] == 0
    assert (home / "www").resolve() == home / "trees" / "s1"
    assert (status(home)["changed"], status(home)["message"]) == (True, "made live again")


def test_the_tree_says_which_restore_it_comes_from(home, database):
    restore_here(job(home, database))
    told = restored.read_record(home / "www")
    assert (told["stamp"], told["archive"], told["database"]) == ("s1", NAMES["plain"], "portal_s1")
    assert told["run"] == load_journal(home / "work" / "s1" / "journal.json").run
    assert (status(home)["phase"], status(home)["error"]) == ("done", None)


def test_modules_that_the_box_has_in_another_version_are_named_before_the_switch(home, database, monkeypatch):
    def say(tree, versions):
        for module, version in versions.items():
            file = home / "trees" / tree / "bitrix" / "modules" / module / "install" / "version.php"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"<?php $arModuleVersion = ['VERSION' => '{version}'];")

    def finish_twice(run):  # as after a kill; the archive's tree has no versions of its own
        say("s1", {"crm": "26.250.0", "im": "26.250.0"})
        for _ in range(2):
            finish.finish(run)
        assert (home / "www").resolve() == home / "trees" / "old"

    monkeypatch.setattr("encaja.restore.coordinator.finish", finish_twice)
    say("old", {"crm": "25.100.0", "im": "26.300.0"})
    told = restore_here(job(home, database))["versions"]
    assert [text.rpartition(": ")[2] for text in told] == ["crm 25.100.0 (26.250.0)", "im 26.250.0 (26.300.0)"]
    assert "never copy its code over it" in told[0] and "update after the restore" in told[1]
    record = restored.read_record(home / "www")
    assert (record["modules"]["im"], record["box_modules"]["im"]) == ("26.250.0", "26.300.0")
    assert status(home)["message"].startswith("restored; 1 modules are newer in the archive")


def test_done_is_not_said_of_what_is_not_there(home, database):
    """A row of tables, the database, the tree: whatever is gone, "done" is refused, and the reason says which."""
    file = write_job(home / "job.json", job(home, database))
    assert run(file)[0] == 0
    (home / "trees" / "s1" / "bitrix" / ".settings.php").rename(home / "kept")
    code, text = run(file)
    assert code == 1 and "the restored tree is not there" in text and "not there" in status(home)["error"]
    (home / "kept").rename(home / "trees" / "s1" / "bitrix" / ".settings.php")
    database.run("DROP DATABASE portal_s1")
    code, text = run(file)
    assert code == 1 and "the database has 0 tables" in text
    assert (home / "www").resolve() == home / "trees" / "s1"


def test_tables_that_are_lost_at_the_end_are_missed_before_anything_is_live(home, database, monkeypatch):
    def lose(*given):
        finish.finish(*given)
        database.run("DROP TABLE b_crm_lead", "portal_s1")

    monkeypatch.setattr("encaja.restore.coordinator.finish", lose)
    with pytest.raises(BackupError, match="were loaded"):
        restore_here(job(home, database))
    assert (home / "www").resolve() == home / "trees" / "old"
    assert status(home)["phase"] != "done"


def test_committed_rows_are_forced_to_the_disk_where_the_server_takes_its_time(home, database):
    def log(which):
        return int(database.run(f"SHOW GLOBAL STATUS LIKE 'Innodb_lsn_{which}'")[0][1])

    def fill():
        database.run("INSERT INTO filled SELECT seq, seq FROM seq_1_to_1000", "portal_s1")

    server = parse_job(job(home, database)).server
    prepare_database(server, "r")
    database.run("SET GLOBAL innodb_flush_log_at_timeout = 60")
    database.run("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    database.run("CREATE TABLE filled (a INT, b INT)", "portal_s1")
    try:
        fill()
        written = log("current")
        assert log("flushed") < written, "the server takes no time here: nothing is shown"
        force_to_disk(server)
        assert log("flushed") >= written
        assert database.run("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit") == [(0,)]
    finally:
        database.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        database.run("SET GLOBAL innodb_flush_log_at_timeout = 1")


# --- over a bad link ---


def over(server, home, database, kind="plain", **changes):
    return job(home, database, kind, url=server.url + NAMES[kind], directory=str(home / "volumes"), **changes)


@pytest.mark.parametrize("kind", sorted(NAMES))
@pytest.mark.fault("network cut", "restore", "connections are reset, all the way")
def test_over_a_link_with_one_bad_volume_and_resets(kind, home, database):
    faults = [Fault("reset", times=4, after=3, at=40000)]
    if kind in ("plain", "encrypted"):
        faults.append(Fault("flip", f"{NAMES[kind]}.13", times=1, at=20000))
    with serving(FIXTURES / kind, faults) as server:
        restore_here(over(server, home, database, kind))
    assert_restored(home, database, kind)
    told = status(home)
    assert told["volumes_good"] == told["volumes"] == told["volume"]
    assert told["volumes_rejected"] == len(faults) - 1 and told["rows_loaded"] >= 300
    whole = sum(path.stat().st_size for path in (FIXTURES / kind).glob(f"{NAMES[kind]}*"))
    fetched = told["transfer"]
    assert fetched["done"] == fetched["total"] == whole and fetched["rate"] > 0
    assert fetched["ended"] <= time.time()


@pytest.mark.fault("volume corrupt", "restore", "a header of an archive without gzip")
def test_bad_tar_header_without_gzip_is_fetched_again(home, database):
    with serving(
        FIXTURES / "uncompressed", [Fault("flip", f"{NAMES['uncompressed']}.7", times=1, at=header_in_last_volume())]
    ) as server:
        restore_here(over(server, home, database, "uncompressed"))
        assert server.record.sent[f"{NAMES['uncompressed']}.7"] > 2 * 200_000
    assert_restored(home, database, "uncompressed")


def header_in_last_volume() -> int:
    """Where some member's header begins in the last volume."""
    data = (FIXTURES / "uncompressed" / f"{NAMES['uncompressed']}.7").read_bytes()
    return data.index(b"bitrix/") // 512 * 512 + 3 if b"bitrix/" in data else data.index(b"upload/") // 512 * 512 + 3


def test_low_disk_deletes_volumes(home, database):
    with serving(FIXTURES / "plain") as server:
        restore_here(over(server, home, database, low_disk=True))
    assert_restored(home, database)
    assert not list((home / "volumes").glob("*.tar.gz*"))


@pytest.mark.fault("link expired", "restore", "midway, and a new link is given")
def test_expired_link_then_a_new_one(home, database):
    with serving(FIXTURES / "plain", [Fault("status", after=22, at=403)]) as server:
        file = write_job(home / "job.json", over(server, home, database))
        code, text = run(file)
        assert code == 1 and "get a new link" in text
    assert (home / "www").resolve() == home / "trees" / "old"
    assert_settings_are_back(database)
    with serving(FIXTURES / "plain") as server:
        restore_here(over(server, home, database))
        assert sum(server.record.sent.values()) < sum(
            p.stat().st_size for p in FIXTURES.joinpath("plain").glob("*.tar.gz*")
        )
    assert_restored(home, database)


# --- a bad volume in a folder ---


@pytest.mark.fault("volume corrupt", "restore", "in a folder, and replaced")
def test_local_bad_volume_is_named_and_replaced(home, database):
    shutil.copytree(FIXTURES / "plain", home / "volumes")
    bad = home / "volumes" / f"{NAMES['plain']}.14"
    clean = bad.read_bytes()
    bad.write_bytes(clean[:100_000] + bytes([clean[100_000] ^ 1]) + clean[100_001:])
    content = job(home, database, directory=str(home / "volumes"))
    code, text = run(write_job(home / "job.json", content))
    assert code == 1 and "volume 14 is bad" in text
    assert (home / "www").resolve() == home / "trees" / "old"
    bad.write_bytes(clean)
    (home / "volumes" / f"{NAMES['plain']}.3").write_bytes(b"not needed any more")
    restore_here(content)
    assert_restored(home, database)


@pytest.mark.fault("volume truncated", "restore", "two in a folder, and replaced")
def test_all_bad_volumes_of_a_folder_are_named_at_once(home, database):
    shutil.copytree(FIXTURES / "plain", home / "volumes")
    for number in (14, 16):
        bad = home / "volumes" / f"{NAMES['plain']}.{number}"
        bad.write_bytes(bad.read_bytes()[:-9])
    code, text = run(write_job(home / "job.json", job(home, database, directory=str(home / "volumes"))))
    assert code == 1 and "volume 14 is bad" in text and "volume 16 too: gzip" in text
    for number in (14, 16):
        shutil.copy(FIXTURES / "plain" / f"{NAMES['plain']}.{number}", home / "volumes")
    restore_here(job(home, database, directory=str(home / "volumes")))
    assert_restored(home, database)


# --- what the fixtures do not hold ---

SETTINGS = b"<?php return array('connections' => array('value' => array('default' => array())));"
LARGE = """CREATE TABLE `b_large` (
  `ID` int NOT NULL,
  `BODY` longblob,
  PRIMARY KEY (`ID`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
"""


def portal_of(first_part: bytes, *parts: bytes) -> list[tuple[str, bytes]]:
    """Members of an archive whose dump has several files."""
    name = "bitrix/backup/20261009_210000_full_made"
    after = b"SET NAMES 'utf8mb4';\nALTER DATABASE `<DATABASE>` COLLATE utf8mb4_0900_ai_ci;\n"
    dumps = [(f"{name}.sql" + (f".{n}" if n else ""), data) for n, data in enumerate((first_part, *parts))]
    tree = [("bitrix/.settings.php", SETTINGS), ("upload/a.bin", bytes(range(256)) * 4000)]
    return [(f"{name}_after_connect.sql", after), *dumps, *tree]


def rows_of(number: int, size: int) -> bytes:
    return b"INSERT INTO `b_large` VALUES\n(%d, 0x%s)" % (number, bytes([number]).hex().encode() * size)


@pytest.mark.parametrize(("suffix", "cipher"), [(".tar.gz", ""), (".enc", "bf-ecb"), (".enc.gz", "aes-256-ecb")])
def test_packets_over_16_mb_in_a_dump_of_several_files(suffix, cipher, home, database):
    large = [rows_of(1, 100), rows_of(2, 11_000_000)]
    first = b"-- Started: x\nSET NAMES 'utf8mb4';\n" + LARGE.encode() + large[0] + b";\n"
    second = large[1] + b";\n\n-- Finished: x"
    made_archive(home / "volumes" / f"20261009_210000_full_made{suffix}", portal_of(first, second), cipher=cipher)
    changes = {"directory": str(home / "volumes"), "password": "correct horse" if cipher else None}
    restore_here(job(home, database, **changes))
    found = database.run("SELECT ID, LENGTH(BODY), MD5(BODY) FROM b_large", "portal_s1")
    assert [(row[0], row[1]) for row in found] == [(1, 100), (2, 11_000_000)]
    assert found[1][2] == hashlib.md5(b"\2" * 11_000_000).hexdigest()
    assert (home / "trees" / "s1" / "upload" / "a.bin").read_bytes() == bytes(range(256)) * 4000
    assert_settings_are_back(database)


@pytest.mark.fault("kill -9: database", "restore", "before a row that only the load's settings admit")
def test_server_started_anew_gets_the_settings_of_the_load_again(home, database):
    """The row over 16 MB comes after the server was killed; its own limit is 16 MB then."""
    filler = b"".join(rows_of(number, 4000) + b";\n" for number in range(3, 120))
    dump = b"-- Started: x\nSET NAMES 'utf8mb4';\n" + LARGE.encode() + filler + rows_of(2, 11_000_000)
    first = made_archive(home / "link" / "a.tar", portal_of(dump + b";\n\n-- Finished: x"), limit=1 << 20)
    with serving(first.parent, total_rate=4e6) as server:
        content = job(home, database, url=server.url + "a.tar", directory=str(home / "volumes"))
        process = start(write_job(home / "job.json", content))
        while process.poll() is None and not loading(database):
            time.sleep(0.01)
        database.kill()
        database.start()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert database.run("SELECT COUNT(*), MAX(LENGTH(BODY)) FROM b_large", "portal_s1") == [(118, 11_000_000)]
    assert_settings_are_back(database)


def loading(database) -> bool:
    try:
        return bool(database.run("SELECT name FROM encaja_restore WHERE frames > 0", "portal_s1"))
    except (pymysql.err.ProgrammingError, pymysql.err.OperationalError):
        return False


def test_fulltext_key_that_cannot_be_made(home, database):
    """InnoDB refuses it on a number: left out and told, and its flags are reset, as the vendor's restore does."""
    dump = b"""-- Started: x
SET NAMES 'utf8mb4';
CREATE TABLE `b_option` (
  `MODULE_ID` varchar(50),
  `NAME` varchar(50),
  `VALUE` text,
  `NUMBER` int,
  KEY `ix` (`NAME`),
  FULLTEXT KEY `ft` (`NUMBER`)
) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4;
INSERT INTO `b_option` VALUES
('main','~ft_b_user','a:1:{i:0;s:1:"x";}',1);

-- Finished: x"""
    made_archive(home / "volumes" / "a.tar.gz", portal_of(dump))
    report = restore_here(job(home, database, directory=str(home / "volumes")))
    assert any("full-text key ft left out" in warning for warning in report["warnings"])
    assert database.run("SELECT VALUE FROM b_option", "portal_s1") == [("a:0:{}",)]
    assert "KEY `ix`" in definitions(database, "portal_s1")["b_option"]


def test_comments_of_the_dump_are_counted_and_sampled_for_later(home, database):
    dump = """-- Started: 2026-03-01 18:30:05
SET NAMES 'utf8mb4';
CREATE TABLE `b_forum_message` (`ID` int NOT NULL, `POST_MESSAGE` text, PRIMARY KEY (`ID`)) DEFAULT CHARSET=utf8mb4;
INSERT INTO `b_forum_message` VALUES
(1,'Visto; 100% (\\'ya\\')'),
(2,'dos\\nlíneas')
;
INSERT INTO `b_forum_message` VALUES
(3,NULL)
;

-- Finished: x"""
    made_archive(home / "volumes" / "a.tar.gz", portal_of(dump.encode()))
    content = job(home, database, directory=str(home / "volumes"))
    restore_here(content)
    path = Path(content["work"]) / "s1" / "dump.json"
    assert path.stat().st_mode & 0o077 == 0
    samples = ["(1,'Visto; 100% (\\'ya\\')')", "(2,'dos\\nlíneas')", "(3,NULL)"]
    assert json.loads(path.read_text()) == {
        "database": "portal_s1",
        "begun": "2026-03-01 18:30:05",
        "tables": {"b_forum_message": {"rows": 3, "samples": samples}},
    }


SILENCE = [{"id": "push", "options": {"pull.push": "N"}},
           {"id": "titles", "table": "b_crm_lead", "column": "TITLE", "live": "TITLE NOT LIKE 'off:%'",
            "make": "LEFT(CONCAT('off:', TITLE), 255)"}]  # fmt: skip


def test_what_would_start_by_itself_is_off_before_the_portal_can_be_reached(home, database):
    content = job(home, database, silence=SILENCE, switch=False)
    report = restore_here(content)
    live = "SELECT COUNT(*) FROM b_crm_lead WHERE TITLE NOT LIKE 'off:%'"
    (titles,) = database.run(live, "reference_plain")[0]
    assert database.run(live, "portal_s1") == [(0,)]
    assert report["silenced"] == {"push": 1, "titles": titles}
    assert database.run("SELECT VALUE FROM b_option WHERE NAME = 'push'", "portal_s1") == [("N",)]
    restore_here(content | {"switch": True})
    assert (home / "www").resolve() == home / "trees" / "s1"


def closing(home, result):
    """A command that notes, each time, which tree is live and which are there."""
    return [["sh", "-c", f"echo $(readlink {home}/www) $(ls {home}/trees) >> {home}/closed; exit {result}"]]


def test_the_network_is_closed_before_the_first_change(home, database):
    with pytest.raises(BackupError, match="ended with 1"):
        restore_here(job(home, database, close=closing(home, 1)))
    assert (home / "closed").read_text() == "trees/old old\n"
    assert ("portal_s1",) not in database.run("SHOW DATABASES")
    restore_here(job(home, database, close=closing(home, 0)))
    assert (home / "closed").read_text() == "trees/old old\n" * 2 + "trees/old old s1\n"
    assert_restored(home, database)


def test_a_portal_in_use_is_not_cut_off_before_the_switch(home, database):
    dbconn = home / "trees/old/bitrix/php_interface/dbconn.php"
    dbconn.parent.mkdir(parents=True)
    dbconn.write_text("<?php\n")
    with pytest.raises(BackupError, match="ended with 1"):
        restore_here(job(home, database, close=closing(home, 1)))
    assert (home / "www").readlink() == Path("trees/old")
    restore_here(job(home, database, close=closing(home, 0)))
    assert (home / "closed").read_text() == "trees/old old s1\n" * 2
    restore_here(job(home, database, close=closing(home, 1)))  # done and live: nothing is closed
    assert_restored(home, database)


def test_without_the_freeze_nothing_is_switched_off(home, database):
    restore_here(job(home, database, silence=SILENCE, freeze=False))
    assert_restored(home, database)


# --- killed ---


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.fault("kill -9: host tool", "restore", "before and after every write of its journal")
def test_killed_at_every_write_of_the_journal(moment, home, database, monkeypatch):
    """Dies just before its second write, or just after its first one, again and again: every write is such a moment.

    Where the first write brings it no further, the next run may make one more.
    """
    shutil.copytree(FIXTURES / "plain", home / "volumes")
    content = job(home, database, directory=str(home / "volumes"), low_disk=moment == "after")
    save = Journal.save
    kills, allowed, stood = 0, 1, None

    def dying(journal):
        nonlocal writes
        writes += 1
        if moment == "before" and writes > allowed:
            os._exit(9)
        save(journal)
        if moment == "after" and writes == allowed:
            os._exit(9)

    monkeypatch.setattr(Journal, "save", dying)
    while True:
        writes = 0
        child = os.fork()
        if not child:
            try:
                restore_here(content)
            except BaseException as error:
                (home / "error").write_text(repr(error))
                os._exit(1)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended != 9:
            break
        kills += 1
        assert kills < 80
        known = load_journal(home / "work" / "s1" / "journal.json")
        stands = (known.phase, known.checkpoint["volume"] if known.checkpoint else 0) if known else None
        allowed = allowed + 1 if stands == stood else 1
        stood = stands
    assert ended == 0, (home / "error").read_text()
    assert kills >= 20
    assert_restored(home, database)


@pytest.mark.fault("kill -9: host tool", "restore", "when two tables are loaded")
def test_a_loaded_table_is_not_loaded_again(home, database):
    """Killed when two tables are done: their files in the server stay the same ones."""
    born = "SELECT TABLE_NAME, CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'portal_s1'"
    with serving(FIXTURES / "plain", total_rate=3e6) as server:
        file = write_job(home / "job.json", over(server, home, database))
        process = start(file)
        done = []
        while process.poll() is None and len(done) < 2:
            time.sleep(0.01)
            with suppress(pymysql.err.Error):
                done = database.run("SELECT name FROM encaja_restore WHERE stage = 'done'", "portal_s1")
        process.kill()
        process.communicate()
        before = {name: when for name, when in database.run(born) if name.encode() in {row[0] for row in done}}
        time.sleep(1.1)  # CREATE_TIME has whole seconds
        assert run(file)[0] == 0
    after = dict(database.run(born))
    assert len(before) >= 2 and {name: after[name] for name in before} == before
    assert_restored(home, database)
    report = load_journal(home / "work" / "s1" / "journal.json").report
    tables = [name for name, made in after.items() if made]
    counts = [database.run(f"SELECT COUNT(*) FROM `{name}`", "portal_s1")[0][0] for name in tables]
    assert (report["tables"], report["rows"]) == (len(tables), sum(counts))


@pytest.mark.fault("disk full", "restore", "while volumes arrive")
def test_disk_full_midway(home, database, tmp_path):
    """A file system of its own is filled to the last byte while volumes arrive; with room again it goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "none", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    try:
        portal = disk / "portal"
        shutil.copytree(home, portal, symlinks=True)
        with serving(FIXTURES / "plain", total_rate=2e5) as server:
            file = write_job(home / "job.json", over(server, portal, database))
            process = start(file)
            while process.poll() is None and not list(portal.glob("volumes/*.gz.3")):
                time.sleep(0.01)
            filler = disk / "filler"
            with filler.open("ab", buffering=0) as out, suppress(OSError):
                os.posix_fallocate(out.fileno(), 0, shutil.disk_usage(disk).free - (32 << 20))
                while out.write(bytes(1 << 16)):
                    pass
            server.total_rate = None
            _, err = process.communicate(timeout=60)
            assert process.returncode == 1 and ("the disk is full" in err or "no room for volume" in err), err
            assert "Traceback" not in err
            assert_settings_are_back(database)
            filler.unlink()
            code, text = run(file)
            assert code == 0, text
        assert_restored(portal, database)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.fault("network cut", "restore", "for longer than the patience lasts")
def test_network_gone_and_back(home, database):
    """The server goes away for longer than the patience lasts, so the run ends; the next one goes on."""
    with serving(FIXTURES / "plain", [Fault("reset", after=20, at=0)]) as server:
        content = over(server, home, database)
        file = write_job(home / "job.json", {**content, "fetch": {**QUICK, "patience_seconds": 0.5}})
        code, text = run(file)
        assert code == 1 and "nothing arrived for" in text
    good = {path.name for path in (home / "volumes").glob("*.tar.gz*") if path.suffix != ".part"}
    with serving(FIXTURES / "plain") as server:
        restore_here(over(server, home, database))
        assert good and not [name for name in good if server.record.sent[name] > 65536]
    assert_restored(home, database)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.fault("kill -9: host tool", "restore", "at random moments, from the first byte to the switch")
def test_killed_at_random_moments(seed, home, database):
    """Each seed kills four or five times; together over 24 moments, from the first import to the switch."""
    chance = random.Random(seed)
    kind = sorted(NAMES)[seed % 4]
    kills = 0
    with serving(FIXTURES / kind, total_rate=2.5e6) as server:
        file = write_job(home / "job.json", over(server, home, database, kind, low_disk=seed % 2 == 1))
        delay = 0.15
        while True:
            process = start(file)
            moment = time.monotonic() + delay
            # The moments count from the first sign of life, so that they fall into the work and not into imports.
            before = (
                (home / "work" / "status.json").stat().st_mtime_ns if (home / "work" / "status.json").exists() else 0
            )
            while process.poll() is None and not (
                (home / "work" / "status.json").exists()
                and (home / "work" / "status.json").stat().st_mtime_ns != before
            ):
                time.sleep(0.01)
                moment = time.monotonic() + delay
            while process.poll() is None and time.monotonic() < moment:
                time.sleep(0.005)
            if process.poll() is not None:
                assert process.returncode == 0, process.stderr.read()
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            delay = chance.uniform(0.02, 0.5) if kills < 4 else 60
        if kills < 4:
            pytest.fail(f"only {kills} kills before it was done: the link is too fast for this test")
    assert_restored(home, database, kind)


@pytest.mark.fault("kill -9: host tool", "restore", "while the server has the settings of the load")
def test_cleanup_puts_the_settings_back_after_a_kill(home, database):
    with serving(FIXTURES / "plain", rate=60_000) as server:
        file = write_job(home / "job.json", over(server, home, database))
        process = start(file)
        for _ in range(2000):
            if database.run("SELECT @@GLOBAL.max_allowed_packet") == [(1 << 30,)] or process.poll() is not None:
                break
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert database.run("SELECT @@GLOBAL.max_allowed_packet") == [(1 << 30,)]
        assert run(file, "restore-cleanup") == (0, "")
        assert_settings_are_back(database)
    with serving(FIXTURES / "plain") as server:
        restore_here(over(server, home, database))
    assert_restored(home, database)


def test_terminated_it_puts_the_settings_back_and_goes_on(home, database):
    with serving(FIXTURES / "plain", rate=100_000) as server:
        file = write_job(home / "job.json", over(server, home, database))
        process = start(file)
        while process.poll() is None and database.run("SELECT @@GLOBAL.max_allowed_packet") != [(1 << 30,)]:
            time.sleep(0.01)
        process.terminate()
        process.communicate(timeout=90)
        assert process.returncode == 143
        assert run(file, "restore-cleanup")[0] == 0, "what the unit does at its end, however that came"
        assert_settings_are_back(database)
    with serving(FIXTURES / "plain") as server:
        restore_here(over(server, home, database))
    assert_restored(home, database)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.fault("kill -9: database", "restore", "while rows are loaded")
def test_database_killed_meanwhile(seed, home, database):
    chance = random.Random(seed)
    with serving(FIXTURES / "plain", total_rate=1.5e6) as server:
        process = start(write_job(home / "job.json", over(server, home, database)))
        while process.poll() is None and database.run("SHOW DATABASES LIKE 'portal_s1'") == []:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.1, 0.8))
        database.kill()
        database.start()
        database.run("SET GLOBAL max_allowed_packet = 16 << 20")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    database.run("SET GLOBAL max_allowed_packet = 16 << 20, innodb_flush_log_at_trx_commit = 1")
    assert_restored(home, database)


@pytest.mark.parametrize(
    "when",
    [
        "encaja.restore.load.database.read_settings",
        "encaja.restore.load.loader.Loaders.settle_database",
        "encaja.restore.load.loader.Loaders.create_views",
        "encaja.restore.load.loader.Loaders.total",
        "encaja.restore.load.database.force_to_disk",
        "encaja.portal.silence.plan_hold",
        "encaja.restore.coordinator.finish",
        "encaja.restore.coordinator.check_result",
    ],
)
@pytest.mark.fault("kill -9: database", "restore", "before and after the rows, and at the proof")
def test_database_that_is_away_before_or_after_the_rows_is_waited_for(when, home, database, monkeypatch):
    real, lost = pkgutil.resolve_name(when), threading.Event()

    def away(*given, **more):
        if not lost.is_set():
            database.kill()
            lost.set()
        return real(*given, **more)

    monkeypatch.setattr(when, away)
    # The server ends with the thread that started it: the restore is in the other one.
    with ThreadPoolExecutor(1) as pool:
        restoring = pool.submit(restore_here, job(home, database))
        assert lost.wait(60)
        while "waiting for the database server" not in status(home)["message"] and not restoring.done():
            time.sleep(0.02)
        database.start()
        restoring.result(60)
    database.run("SET GLOBAL max_allowed_packet = 16 << 20, innodb_flush_log_at_trx_commit = 1")
    assert_restored(home, database)


@pytest.mark.fault("power loss: host", "restore", "when files of the tree were not on the disk")
def test_a_new_start_of_the_machine_goes_back_to_what_was_on_the_disk(home, database):
    shutil.copytree(FIXTURES / "plain", home / "volumes")
    hidden = home / "volumes" / f"{NAMES['plain']}.15"
    aside = home / "aside"
    content = job(home, database, directory=str(home / "volumes"))
    data = hidden.read_bytes()
    hidden.write_bytes(data[:-100])
    assert run(write_job(home / "job.json", content))[0] == 1
    hidden.write_bytes(data)
    journal = load_journal(home / "work" / "s1" / "journal.json")
    assert journal.resume_point()["volume"] == 15
    journal.boot = "another one"
    journal.save()
    assert journal.resume_point() is None
    for path in sorted((home / "trees" / "s1").rglob("*.png"))[:20]:
        path.write_bytes(b"")  # what a power cut leaves of files that were not on the disk
    assert not aside.exists()
    restore_here(content)
    assert_restored(home, database)


# --- bad input ---


@pytest.mark.parametrize("kind", ["encrypted", "encrypted-raw"])
def test_wrong_password_is_told_before_the_download(kind, home, database):
    with serving(FIXTURES / kind) as server:
        code, text = run(write_job(home / "job.json", over(server, home, database, kind, password="wrong")))
        assert code == 1 and "the password does not open the archive" in text
        assert sum(server.record.sent.values()) <= 2 * 65536 + 20000
    assert_untouched(home, database)


def gzip_of(data: bytes) -> bytes:
    return zlib.compress(data, wbits=31)


def tar_of(name: bytes, data: bytes) -> bytes:
    header = bytearray(512)
    header[: len(name)] = name
    for at, value in ((100, b"644"), (124, b"%o" % len(data)), (148, b" " * 8), (156, b"0")):
        header[at : at + len(value)] = value
    header[148:156] = (b"%o" % sum(header)).ljust(8, b"\0")
    return bytes(header) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "a.tar.gz").write_bytes(b"<html>"), "not a .tar.gz archive"),
        (lambda folder: (folder / "a.tar.gz").write_bytes(gzip_of(b"no tar" * 500)), "not a .tar.gz archive"),
        (lambda folder: (folder / "a.tar").write_bytes(tar_of(b"etc/passwd", b"x")), "no dump at its front"),
        (
            lambda folder: (folder / "a.tar.gz").write_bytes(gzip_of(tar_of(b"etc/passwd", b"x"))),
            "no dump at its front",
        ),
        (lambda folder: [(folder / name).write_bytes(b"x") for name in ("a.tar", "b.tar")], "2 archives in one folder"),
        (lambda _folder: None, "no backup here"),
    ],
    ids=["not an archive", "not a tar", "foreign tar", "foreign tar.gz", "two archives", "nothing"],
)
def test_what_is_no_backup(make, message, home, database):
    (home / "volumes").mkdir()
    make(home / "volumes")
    code, text = run(write_job(home / "job.json", job(home, database, directory=str(home / "volumes"))))
    assert code in (1, 2) and message in text, text
    assert_untouched(home, database)


@pytest.mark.fault("volume doubled", "restore", "one lies in its neighbour's place, in a folder")
@pytest.mark.parametrize("kind", ["plain", "uncompressed"])
def test_a_volume_in_its_neighbours_place_is_told_before_anything(kind, home, database):
    """Both lie within one long file, where no header would show it."""
    shutil.copytree(FIXTURES / kind, home / "volumes")
    shutil.copy(home / "volumes" / f"{NAMES[kind]}.2", home / "volumes" / f"{NAMES[kind]}.3")
    content = job(home, database, kind, directory=str(home / "volumes"))
    code, text = run(write_job(home / "job.json", content))
    assert code == 1 and "volumes 2 and 3 hold the same" in text, text
    assert_untouched(home, database)
    shutil.copy(FIXTURES / kind / f"{NAMES[kind]}.3", home / "volumes")
    restore_here(content)
    assert_restored(home, database, kind)


@pytest.mark.fault("volume missing", "restore", "in a folder, and copied there")
def test_missing_volume_is_told_before_anything(home, database):
    shutil.copytree(FIXTURES / "plain", home / "volumes")
    (home / "volumes" / f"{NAMES['plain']}.7").unlink()
    code, text = run(write_job(home / "job.json", job(home, database, directory=str(home / "volumes"))))
    assert code == 1 and f"1 of 17 volumes are missing: {NAMES['plain']}.7" in text
    assert_untouched(home, database)
    shutil.copy(FIXTURES / "plain" / f"{NAMES['plain']}.7", home / "volumes")
    restore_here(job(home, database, directory=str(home / "volumes")))
    assert_restored(home, database)


def test_database_that_is_not_empty(home, database):
    database.run("CREATE DATABASE portal_s1")
    database.run("CREATE TABLE theirs (i INT)", "portal_s1")
    code, text = run(write_job(home / "job.json", job(home, database)))
    assert code == 1 and "the database is not empty" in text
    assert database.run("SHOW TABLES", "portal_s1") == [("theirs",)]
    assert not (home / "trees" / "s1").exists()


def test_database_user_without_rights(home, database):
    database.run("CREATE OR REPLACE USER poor@localhost IDENTIFIED BY 'x'")
    content = job(home, database)
    content["database"] |= {"user": "poor", "password": "x"}
    code, text = run(write_job(home / "job.json", content))
    assert code == 1 and "the database user lacks rights" in text and "GRANT ALL" in text
    assert_untouched(home, database)


def test_user_with_rights_on_its_database_alone(home, database):
    database.run("CREATE OR REPLACE USER own@localhost IDENTIFIED BY 'x'")
    database.run(r"GRANT ALL ON `portal\_%`.* TO own@localhost")
    content = job(home, database)
    content["database"] |= {"user": "own", "password": "x", "admin_user": "root"}
    restore_here(content)
    assert_restored(home, database)


def test_user_without_a_right_that_is_needed_late(home, database):
    """Views come last; that they are not allowed is told first, and the database made to try it is gone again."""
    database.run("CREATE OR REPLACE USER noviews@localhost IDENTIFIED BY 'x'")
    database.run(
        "GRANT CREATE, DROP, ALTER, INDEX, INSERT, UPDATE, SELECT, DELETE ON `portal_s1`.* TO noviews@localhost"
    )
    content = job(home, database)
    content["database"] |= {"user": "noviews", "password": "x", "admin_user": "root"}
    code, text = run(write_job(home / "job.json", content))
    assert code == 1 and "the database user lacks rights" in text and "CREATE VIEW" in text
    assert_untouched(home, database)


def test_everything_that_is_not_ready_is_told_at_once(home, database):
    database.run("CREATE DATABASE portal_s1")
    database.run("CREATE TABLE theirs (i INT)", "portal_s1")
    (home / "www").unlink()
    (home / "www").mkdir()
    (home / "trees" / "s1").mkdir()
    (home / "trees" / "s1" / "theirs").touch()
    code, text = run(write_job(home / "job.json", job(home, database, owner="nobody-here")))
    assert code == 1 and "4 things are not ready" in text
    for part in ("not a symbolic link", "the new tree is not empty", "no such user", "the database is not empty"):
        assert part in text


def test_document_root_that_is_no_link(home, database):
    (home / "www").unlink()
    (home / "www").mkdir()
    code, text = run(write_job(home / "job.json", job(home, database)))
    assert code == 1 and "not a symbolic link" in text
    assert database.run("SHOW DATABASES LIKE 'portal_s1'") == []


def test_dump_without_its_last_line_is_refused(home, database):
    """The dump's last line is cut from an archive that is good otherwise."""
    volumes = naming.find_volumes(FIXTURES / "uncompressed")
    opened = stream.ArchiveStream(volumes.first)
    whole = b"".join(piece for number, path in volumes.volumes.items() for piece in opened.pieces(number, path))
    at = whole.index(b"-- Finished:")
    (home / "volumes").mkdir()
    (home / "volumes" / "a.tar").write_bytes(whole[:at] + b"-- Stopped : " + whole[at + 13 :])
    code, text = run(write_job(home / "job.json", job(home, database, directory=str(home / "volumes"))))
    assert code == 1 and "no last line '-- Finished:'" in text
    assert (home / "www").resolve() == home / "trees" / "old"
    assert_settings_are_back(database)


def test_no_room_is_told_before_anything(home, database):
    """A first volume that speaks of 60,000 volumes of 2 GiB each."""
    data = (FIXTURES / "plain" / NAMES["plain"]).read_bytes()
    header = gzips.read_header(data)
    assert header.last == 16
    (home / "link").mkdir()
    (home / "link" / NAMES["plain"]).write_bytes(
        data[:14] + struct.pack("<H", 60000) + data[16:18] + struct.pack("<I", 2 << 30) + data[22:]
    )
    with serving(home / "link") as server:
        content = job(home, database, url=server.url + NAMES["plain"], directory=str(home / "volumes"), fetch=QUICK)
        code, text = run(write_job(home / "job.json", content))
    assert code == 1 and "GiB are needed" in text and "are free" in text
    assert database.run("SHOW DATABASES LIKE 'portal_s1'") == []
    assert not (home / "trees" / "s1").exists()


def test_manifest_of_the_fixture_is_what_we_compare_with():
    assert len(manifest("plain")) == 322
