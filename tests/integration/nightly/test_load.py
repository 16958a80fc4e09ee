"""A nightly dump comes back into the database that the portal's settings name, and into no other's."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from encaja import nightly_backup as nightly
from encaja.nightly_backup import BackupError, Config, Database, Status, load
from support.mariadb import disposable_mariadb

SQL = """
CREATE TABLE b_user (ID int PRIMARY KEY, NAME varchar(20)); INSERT INTO b_user VALUES (1, 'Ana'), (2, 'Luis');
CREATE TABLE b_empty (ID int); CREATE TABLE b_log (ID int);
CREATE VIEW v_user AS SELECT NAME FROM b_user;
CREATE TRIGGER t_user BEFORE INSERT ON b_user FOR EACH ROW SET NEW.NAME = UPPER(NEW.NAME);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not shutil.which("mariadbd"):
        pytest.skip("needs the package mariadb-server")
    with disposable_mariadb(tmp_path_factory.mktemp("mariadb")) as sock:
        yield sock


@pytest.fixture(params=["localhost", "db.example.org"])
def place(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Path, Config, Status]]:
    """What 'restore' left, and a configuration; the portal's user is another than the one who had the views."""
    host: str = request.param
    link = pymysql.connect(unix_socket=str(server), user="root", autocommit=True)
    with link.cursor() as cursor:
        for name in ("lost", "portal_new"):
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute("CREATE DATABASE lost")
        for user in ("portal@localhost", "gone@localhost"):
            cursor.execute(f"CREATE OR REPLACE USER {user} IDENTIFIED BY 'word'")
            cursor.execute(f"GRANT ALL ON `lost`.* TO {user}")
            cursor.execute(f"GRANT ALL ON `portal\\_%`.* TO {user}")
    run(server, "lost", SQL, "gone")
    source = tmp_path / "back"
    source.mkdir()
    dump = ["mariadb-dump", f"--socket={server}", "--user=root", "--triggers", "lost"]
    (source / "database.sql").write_bytes(subprocess.run(dump, check=True, capture_output=True).stdout)
    with link.cursor() as cursor:
        cursor.execute("DROP USER gone@localhost")
    link.close()
    (tmp_path / "state").mkdir()
    config = Config(
        tmp_path / "state", tmp_path / "r", tmp_path / "p", (), settings="/srv/portal/www/bitrix/.settings.php"
    )

    @contextlib.contextmanager
    def options(self: Database) -> Iterator[list[str]]:
        user = ["--user=root"] if self.is_local else ["--user=portal", "--password=word"]
        yield [f"--socket={server}", *user]

    monkeypatch.setattr(Database, "options", options)
    monkeypatch.setattr(nightly, "live_database", lambda _: Database(host, "portal_new", "portal", "word"))
    yield source, config, Status(tmp_path / "state" / "status.json", "load")


def run(server: Path, name: str, sql: str, user: str = "root") -> str:
    command = ["mariadb", f"--socket={server}", f"--user={user}", *(["--password=word"] if user != "root" else [])]
    done = subprocess.run([*command, "-N", "-B", name], input=sql, check=True, capture_output=True, text=True)
    return done.stdout


def test_it_comes_back_whole(server: Path, place: tuple[Path, Config, Status]) -> None:
    source, config, status = place
    load(config, status, source)
    assert (
        run(server, "portal_new", "SELECT COUNT(*) FROM b_user; SHOW TABLES") == "2\nb_empty\nb_log\nb_user\nv_user\n"
    )
    assert status.now["message"].startswith("3 tables with 2 rows")
    assert not (config.state / "loading").exists()


def test_a_database_with_tables_is_left_alone(server: Path, place: tuple[Path, Config, Status]) -> None:
    source, config, status = place
    run(server, "mysql", "CREATE DATABASE portal_new; CREATE TABLE portal_new.b_live (ID int)")
    with pytest.raises(BackupError, match="holds 1 tables already, so nothing was loaded"):
        load(config, status, source)
    assert run(server, "portal_new", "SHOW TABLES") == "b_live\n"


@pytest.mark.fault("interrupt: host tool", "recover", "while the nightly backup is loaded")
def test_a_load_that_was_cut_off_begins_again(server: Path, place: tuple[Path, Config, Status]) -> None:
    source, config, status = place
    whole = (source / "database.sql").read_text()
    (source / "database.sql").write_text(whole.replace("CREATE TABLE `b_log`", "CRASH; CREATE TABLE `b_log`"))
    with pytest.raises(BackupError, match="mariadb"):
        load(config, status, source)
    assert run(server, "portal_new", "SHOW TABLES") == "b_empty\n"
    (source / "database.sql").write_text(whole)
    load(config, status, source)
    assert run(server, "portal_new", "SELECT COUNT(*) FROM b_user") == "2\n"


def test_half_a_dump_is_refused(place: tuple[Path, Config, Status]) -> None:
    source, config, status = place
    whole = (source / "database.sql").read_bytes()
    (source / "database.sql").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError, match="incomplete"):
        load(config, status, source)
