"""The cloud's backup, made of the stand-in by the vendor's archive format, and what a restore of it must leave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql

from lab.backup_writer.archive import Options, write_backup
from support.mariadb import disposable_mariadb
from unit.lab_portal.standin import install

STAMP = "20261120_210000"
NAME = f"acme.bitrix24.example_{STAMP}_full_Hs7Kq2Vb9LxT4NpR"
SIZES = {
    "users": 20,
    "companies": 60,
    "contacts": 80,
    "leads": 200,
    "deals": 80,
    "tasks": 60,
    "messages": 200,
    "photos": 40,
}
VOLUME = 1 << 20
OWN_FILES = ("bitrix/.settings.php", "bitrix/php_interface/dbconn.php", "bitrix/license_key.php")
"""What a restore writes into the tree, as the vendor's does: credentials, freeze, licence."""
KEPT_AS = {".htaccess": ".htaccess.restore"}
OWN_TABLES = ("b_bitrixcloud_option", "b_module_to_module")
"""What it sets in the database, as the vendor's does: the cloud's CDN, a handler that knows other host names."""
VOLATILE = ("bitrix/backup/", "bitrix/cache/", "bitrix/managed_cache/", "bitrix/stack_cache/", "bitrix/tmp/")


@dataclass(frozen=True)
class Backup:
    """A backup in ``folder``, and what is in it: file to SHA-256, table to the answer to ``question`` (``sums``)."""

    folder: Path
    first: str
    volumes: int
    files: dict[str, str]
    question: str
    tables: dict[str, str]


def make(home: Path) -> Backup:
    """Fill a cloud portal with a company, and write its backup."""
    home.mkdir()
    with disposable_mariadb(home / "mariadb") as sock:
        tree = install(home, sock, "portal", SIZES)
        with pymysql.connect(unix_socket=str(sock), user="root", database="portal", charset="utf8mb4") as connection:
            made = write_backup(
                tree, home / "volumes", NAME, connection=connection, options=Options(volume_size=VOLUME, level=1)
            )
            with connection.cursor() as cursor:
                cursor.execute(COLUMNS, ("portal",))
                question = sums(cursor.fetchall())
                cursor.execute(question)
                tables = {table: f"{rows} {checksum}" for table, rows, checksum in cursor.fetchall()}
    listed = (path for path in tree.rglob("*") if path.is_file())
    files = {path.relative_to(tree).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in listed}
    return Backup(home / "volumes", Path(made.first).name, made.volumes, dict(carried(files.items())), question, tables)


def carried(files: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The files that a restore leaves as they were in the cloud, under the names that it gives them."""
    return (
        (KEPT_AS.get(name, name), digest)
        for name, digest in files
        if name not in OWN_FILES and not name.startswith(VOLATILE)
    )


COLUMNS = """
SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c JOIN information_schema.TABLES t
 ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME AND t.TABLE_TYPE = 'BASE TABLE'
 WHERE c.TABLE_SCHEMA = %s ORDER BY 1, c.ORDINAL_POSITION
"""


def sums(columns: Iterable[Iterable[str]]) -> str:
    """The statement that tells rows and a checksum over every value of every table, a row each."""
    tables: dict[str, list[str]] = {}
    for table, column in columns:
        tables.setdefault(table, []).append(f"IFNULL(HEX(`{column}`), '-')")
    return " UNION ALL ".join(
        f"SELECT '{table}', COUNT(*), IFNULL(BIT_XOR(CRC32(CONCAT_WS('|', {', '.join(values)}))), 0) FROM `{table}`"
        for table, values in tables.items()
    )
