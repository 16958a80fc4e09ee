"""A portal as it comes out of a cloud backup: a small tree and a database of a private server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

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
    with disposable_mariadb(tmp_path_factory.mktemp("mariadb")) as sock:
        yield sock


@pytest.fixture(scope="session")
def schema() -> str:
    files = sorted(MODULES.glob("*/install/mysql/install.sql"))
    assert files
    return "\n".join(path.read_text() for path in files)


@pytest.fixture
def portal(server: Path, schema: str, tmp_path: Path) -> Iterator[Portal]:
    """A freshly restored portal; every test has its own."""
    name = "p" + tmp_path.name.replace("-", "_")[-50:]
    connection = connect(server)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}`")
    subprocess.run(
        ["mariadb", f"--socket={server}", "--user=root", name], input=schema.encode(), check=True, capture_output=True
    )
    connection.select_db(name)
    with connection.cursor() as cursor:
        fill(cursor)
    root = tmp_path / "www"
    (root / "bitrix/php_interface").mkdir(parents=True)
    (root / "bitrix/managed_cache/MYSQL").mkdir(parents=True)
    (root / "bitrix/managed_cache/MYSQL/b_option").write_text("cached")
    (root / "upload/im/1").mkdir(parents=True)
    (root / "upload/im/1/here.txt").write_text("here")
    default = {"className": "M", "host": f"localhost:{server}", "login": "root", "password": "", "database": name}
    connections = {"value": {"default": default}, "readonly": True}
    settings = root / "bitrix/.settings.php"
    settings.write_text(php.render_settings({**SETTINGS, "connections": connections}))
    (root / "bitrix/php_interface/dbconn.php").write_text(DBCONN)
    (root / "bitrix/license_key.php").write_text('<? $LICENSE_KEY = "CLOUD"; ?>')
    (root / "robots.txt").write_text(f"Host: {OLD}\nSitemap: https://{OLD}/sitemap.xml\n")
    (root / "page.php").write_text(f"<a href='https://{OLD}/x'>")
    yield Portal(root, tmp_path / "state")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE `{name}`")
    connection.close()
