"""What was erased from a copy's tables is nowhere in its data directory."""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import pymysql
import pytest

from encaja.portal.remains import SCRATCH, Remains
from support.mariadb import disposable_mariadb

MARK = re.compile(rb"PLANTED[0-9a-f]{24}")
REAL = ("--innodb-file-per-table=1", "--innodb-doublewrite=1", "--innodb-log-file-size=16M", "--skip-log-bin")


def planted() -> str:
    return f"PLANTED{secrets.token_hex(12)}"


def remains(home: Path) -> Counter[str]:
    """How many planted values each file of a data directory holds."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return Counter({path.name: found for path in files if (found := len(set(MARK.findall(path.read_bytes()))))})


@pytest.mark.integration
@pytest.mark.parametrize("undo", [0, 3])
def test_nothing_erased_is_left_on_the_disk(undo: int, tmp_path: Path) -> None:
    with disposable_mariadb(tmp_path / "m", *REAL, f"--innodb-undo-tablespaces={undo}") as sock:

        def connect() -> pymysql.connections.Connection[Any]:
            return pymysql.connect(unix_socket=str(sock), user="root", autocommit=True)

        def run(sql: str) -> Any:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()

        connection = connect()
        home = Path(run("SELECT @@datadir")[0][0])
        run("SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0")
        run("SET GLOBAL innodb_max_dirty_pages_pct = 0")  # as on a server that has run for long: all is on the disk
        run("CREATE DATABASE portal")
        run("CREATE TABLE portal.b_option (NAME VARCHAR(99) PRIMARY KEY, VALUE TEXT) ENGINE=InnoDB")
        run("CREATE TABLE portal.b_big (ID INT PRIMARY KEY, V LONGTEXT, P VARCHAR(99), KEY (P)) ENGINE=InnoDB")
        run("CREATE TABLE portal.b_date (D DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00') ENGINE=InnoDB")
        run("INSERT INTO portal.b_date VALUES (DEFAULT)")
        for number in range(500):
            run(f"INSERT INTO portal.b_option VALUES ('{number}', '{planted()}')")
            run(f"INSERT INTO portal.b_big VALUES ({number}, '{'y' * 20000}{planted()}', '{planted()}')")
        holder = connect()
        with holder.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        run("UPDATE portal.b_option SET VALUE = '' WHERE NAME <> '7'")
        run("DELETE FROM portal.b_big WHERE ID % 2")
        run("UPDATE portal.b_big SET V = '', P = ''")
        Remains(connect)._wait_for("Innodb_buffer_pool_pages_dirty", 100)
        holder.close()
        found = remains(home)
        assert found["ib_logfile0"] and found["b_big.ibd"]
        assert any(found[name] for name in ("ibdata1", "undo001", "undo002", "undo003"))

        size = run("SELECT @@innodb_log_file_size")
        assert Remains(connect).purge() == 3
        (kept,) = run("SELECT VALUE FROM portal.b_option WHERE NAME = '7'")
        assert remains(home) == {"b_option.ibd": 1}
        assert kept[0].startswith("PLANTED") and run("SELECT D FROM portal.b_date")
        assert run("SELECT @@innodb_log_file_size") == size and run("SELECT @@innodb_max_dirty_pages_pct") == ((0,),)
        assert not run(f"SHOW DATABASES LIKE '{SCRATCH}'")


@pytest.mark.integration
def test_a_purge_that_was_killed_leaves_no_setting_changed_once_the_next_one_has_run(tmp_path: Path) -> None:
    names = ("innodb_io_capacity", "innodb_io_capacity_max", "innodb_max_dirty_pages_pct", "innodb_log_file_size")
    with disposable_mariadb(tmp_path / "m", *REAL, "--innodb-io-capacity=321") as sock:

        def connect() -> pymysql.connections.Connection[Any]:
            return pymysql.connect(unix_socket=str(sock), user="root", autocommit=True)

        def settings() -> list[Any]:
            with connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT " + ", ".join(f"@@GLOBAL.{name}" for name in names))
                return list(cursor.fetchall())

        def killed_in(step: str, *words: object) -> None:
            if not (child := os.fork()):
                purge = Remains(connect)
                method = getattr(purge, step)
                setattr(purge, step, lambda *given, **more: os._exit(9) if given == words else method(*given, **more))
                purge.purge()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

        before = settings()
        killed_in("_write_over_undo")
        assert settings() != before
        killed_in("_run", "SET GLOBAL innodb_log_file_size = %s", before[0][3])
        assert settings() == [(*before[0][:3], 2 * before[0][3])]
        Remains(connect).purge()
        assert settings() == before
