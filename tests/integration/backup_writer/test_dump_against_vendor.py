"""The vendor's dump, loaded into MariaDB and dumped again by the stand-in, is the vendor's dump."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from lab.backup_writer import dump
from lab.backup_writer.archive import write_backup
from support.mariadb import disposable_mariadb
from unit.backup_writer.vendor_archive import FIXTURES, entries, stream, volumes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("mariadbd"), reason="needs the package mariadb-server"),
]


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a private server that only this user reaches."""
    with disposable_mariadb(tmp_path_factory.mktemp("mariadb"), "--max-allowed-packet=64M") as sock:
        yield sock


def connect(socket: Path, database: str | None = None) -> pymysql.Connection[Any]:
    return pymysql.connect(
        unix_socket=str(socket), user="root", charset="utf8mb4", database=database, sql_mode="", autocommit=True
    )


@pytest.fixture
def database(socket: Path) -> Iterator[pymysql.Connection[Any]]:
    """An empty database `portal` with the collation of the vendor's fixture."""
    connection = connect(socket)
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS portal")
        cursor.execute("CREATE DATABASE portal CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        cursor.execute("USE portal")
    connection.select_db("portal")
    yield connection
    connection.close()


def vendor_sql(ending: bytes) -> bytes:
    return next(e.content for e in entries(stream(volumes(FIXTURES / "plain"))) if e.path.endswith(ending))


def load(connection: pymysql.Connection[Any], sql: bytes) -> None:
    with connection.cursor() as cursor:
        for statement in sql.split(b";\n"):
            body = re.sub(rb"^(\s*-- [^\n]*\n)+", b"", statement.lstrip())
            if body.strip() and not body.startswith(b"-- Finished"):
                cursor.execute(body.decode())


def without_times(sql: bytes) -> bytes:
    return re.sub(rb"-- (Started|Finished): [-0-9: ]+", rb"-- \1", sql)


def test_the_vendors_dump_survives_a_round_trip(database: pymysql.Connection[Any], tmp_path: Path) -> None:
    vendor = vendor_sql(b"VtB.sql")
    load(database, vendor)
    made = dump.write_dump(database, tmp_path / "n.sql")
    ours = (tmp_path / "n.sql").read_bytes()
    assert without_times(ours) == without_times(vendor)
    assert (made.tables, made.rows) == (6, 4 + 3000 + 300 + 7)


def test_after_connect_is_the_vendors(database: pymysql.Connection[Any]) -> None:
    assert dump.after_connect(database) == vendor_sql(b"_after_connect.sql")


def test_awkward_values_come_back_as_they_were(database: pymysql.Connection[Any], tmp_path: Path) -> None:
    columns = "a INT, b VARBINARY(64), c VARCHAR(200) COLLATE utf8mb4_unicode_ci, d YEAR, e BIT(9), f ENUM('int','x')"
    rows = [
        (-1, bytes(range(64)), "\0\n\r\x1a'\"\\%_ \t;\n😀", 1999, b"\x01\xff", "int"),
        (None, b"", "", None, None, None),
        (0, None, None, 2026, b"\x00\x00", "x"),
    ]
    with database.cursor() as cursor:
        cursor.execute(f"CREATE TABLE `odd ``name` ({columns})")
        cursor.executemany("INSERT INTO `odd ``name` VALUES (%s, %s, %s, %s, %s, %s)", rows)
        cursor.execute("SELECT * FROM `odd ``name`")
        before = cursor.fetchall()
    dump.write_dump(database, tmp_path / "n.sql")
    text = (tmp_path / "n.sql").read_bytes()
    assert rb"""'\0\n\r\Z\'\"\\%_ """ in text
    assert b", '', '', NULL, NULL, NULL)" in text
    with database.cursor() as cursor:
        cursor.execute("DROP TABLE `odd ``name`")
    load(database, text)
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM `odd ``name`")
        assert cursor.fetchall() == before


@pytest.mark.parametrize(
    ("key", "rows"), [("INT", "(1, ''),\n(2, ''),\n(3, '')"), ("FLOAT", "(3, ''),\n(1, ''),\n(2, '')")]
)
def test_rows_come_in_the_order_of_a_numeric_key_else_as_stored(
    database: pymysql.Connection[Any], tmp_path: Path, key: str, rows: str
) -> None:
    with database.cursor() as cursor:
        cursor.execute(f"CREATE TABLE t (a {key} PRIMARY KEY, b TEXT) ENGINE=MyISAM")
        cursor.execute("INSERT INTO t VALUES (3, ''), (1, ''), (2, '')")
    dump.write_dump(database, tmp_path / "n.sql")
    assert f"VALUES\n{rows};\n".encode() in (tmp_path / "n.sql").read_bytes()


def test_skipped_tables_are_created_empty(database: pymysql.Connection[Any], tmp_path: Path) -> None:
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE b_stat_day (id INT)")
        cursor.execute("INSERT INTO b_stat_day VALUES (1)")
    made = dump.write_dump(database, tmp_path / "n.sql", skip_rows=("b_stat*",))
    text = (tmp_path / "n.sql").read_bytes()
    assert b"-- Creating empty table b_stat_day\n" in text
    assert b"CREATE TABLE IF NOT EXISTS `b_stat_day`" in text
    assert b"INSERT" not in text
    assert made.rows == 0


def test_the_dump_is_at_the_front_of_the_archive(database: pymysql.Connection[Any], tmp_path: Path) -> None:
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT)")
    root = tmp_path / "www"
    root.mkdir()
    (root / "index.php").write_text("<?php")
    result = write_backup(root, tmp_path / "out", "n", connection=database)
    found = [entry.path for entry in entries(stream(volumes(tmp_path / "out")))]
    assert found == [b"bitrix/backup/n_after_connect.sql", b"bitrix/backup/n.sql", b"index.php"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["n.tar.gz"]
    assert result.tables == 1
