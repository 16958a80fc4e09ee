"""A portal as it comes out of a cloud backup: a small tree and a database of a private server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encaja.portal import php
from encaja.portal.site import Portal
from integration.portal.cloud_portal import DBCONN, MODULES, OLD, SETTINGS, connect, fill
from support.mariadb import disposable_mariadb


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a MariaDB that only this run reaches."""
    if not shutil.which("mariadbd"):
        pytest.skip("needs the package mariadb-server")
    with disposable_mariadb(tmp_path_factory.mktemp("mariadb"), "--userstat=1") as sock:
        yield sock


@pytest.fixture(scope="session")
def schema(server: Path) -> frozenset[str]:
    """The names of all tables of a portal, which are in the database ``portal``, empty."""
    files = sorted(MODULES.glob("*/install/mysql/install.sql"))
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE portal")
    for path in files:
        client = ["mariadb", f"--socket={server}", "--user=root", "portal"]
        subprocess.run(client, input=path.read_bytes(), check=True, capture_output=True)
    with connect(server, "portal") as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        return frozenset(name for (name,) in cursor.fetchall())


def empty(cursor: Any, schema: frozenset[str]) -> None:
    """Make the database again what ``schema`` says; making more than a thousand tables anew would take seconds."""
    cursor.execute("SHOW TABLES")
    for name in {name for (name,) in cursor.fetchall()} - schema:
        cursor.execute(f"DROP TABLE `{name}`")
    cursor.execute("SELECT TABLE_NAME FROM information_schema.TABLE_STATISTICS"
                   " WHERE TABLE_SCHEMA='portal' AND ROWS_CHANGED > 0")  # fmt: skip
    for (name,) in cursor.fetchall():
        if name in schema:
            cursor.execute(f"TRUNCATE `{name}`")
    cursor.execute("FLUSH TABLE_STATISTICS")


@pytest.fixture
def portal(server: Path, schema: frozenset[str], tmp_path: Path) -> Iterator[Portal]:
    """A freshly restored portal; every test has its own."""
    connection = connect(server, "portal")
    with connection.cursor() as cursor:
        fill(cursor)
    root = tmp_path / "www"
    (root / "bitrix/php_interface").mkdir(parents=True)
    (root / "bitrix/managed_cache/MYSQL").mkdir(parents=True)
    (root / "bitrix/managed_cache/MYSQL/b_option").write_text("cached")
    (root / "upload/im/1").mkdir(parents=True)
    (root / "upload/im/1/here.txt").write_text("here")
    default = {"className": "M", "host": f"localhost:{server}", "login": "root", "password": "", "database": "portal"}
    connections = {"value": {"default": default}, "readonly": True}
    settings = root / "bitrix/.settings.php"
    settings.write_text(php.render_settings({**SETTINGS, "connections": connections}))
    (root / "bitrix/php_interface/dbconn.php").write_text(DBCONN)
    (root / "bitrix/license_key.php").write_text('<? $LICENSE_KEY = "CLOUD"; ?>')
    (root / "robots.txt").write_text(f"Host: {OLD}\nSitemap: https://{OLD}/sitemap.xml\n")
    (root / "page.php").write_text(f"<a href='https://{OLD}/x'>")
    yield Portal(root, tmp_path / "state")
    with connection.cursor() as cursor:
        empty(cursor, schema)
    connection.close()
