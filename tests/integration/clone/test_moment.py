"""The proof of a copy of a server that is written all the while: exact, however the server is set."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from encaja.clone import database, tables
from support.clone_servers import Server, hammered, physical_copy, source, started

pytestmark = pytest.mark.integration
COPIES = int(os.environ.get("ENCAJA_COPIES", "1"))
VENDORS = ("--transaction-isolation=READ-COMMITTED",)
SETTINGS = {
    "vendor's": VENDORS,
    "usual": (),
    "binary log": (*VENDORS, "--log-bin=written", "--server-id=1", "--binlog-format=ROW"),
    "lazy": (*VENDORS, "--innodb-flush-log-at-trx-commit=0"),
}


@pytest.fixture(params=SETTINGS, scope="module")
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a table that takes a moment to count, and two that are written without a pause."""
    if not shutil.which("mariadb-backup"):
        pytest.skip("needs mariadb-backup (apt-get install mariadb-server mariadb-backup)")
    server = started(tmp_path_factory.mktemp("moment"), "written", options=SETTINGS[request.param])
    server.run("CREATE DATABASE portal")
    server.run("CREATE TABLE b_large SELECT seq AS ID, MD5(seq) AS T FROM seq_1_to_200000", "portal")
    for name in ("b_one", "b_two"):
        server.run(f"CREATE TABLE {name} (ID int AUTO_INCREMENT PRIMARY KEY, N int)", "portal")
    with hammered(server, "portal.b_one"), hammered(server, "portal.b_two"):
        yield server
    server.stop()


def test_every_copy_of_the_files_is_proven(written: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = started(tmp_path, "copied")
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(target.socket))
    for number in range(COPIES):
        copy = physical_copy(written, target, str(number), monkeypatch)
        copy.fetch(lambda _: None)
        copy.switch()
        proven = copy.prove()
        assert proven["tables"] == 3
        assert proven["rows"] > 200_000
    target.stop()


def test_every_copy_as_sql_is_proven(written: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = started(tmp_path, "loaded")
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("MYSQL_HOME", target.environment()["MYSQL_HOME"])
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(target.socket))
    for number in range(COPIES):
        copy = database.LogicalCopy(
            source(written, tmp_path), target.folder / "data", tmp_path / "state", f"sql-{number}"
        )
        copy.fetch(lambda _: None)
        assert copy.prove()["tables"] == 3
    target.stop()


def test_a_snapshot_holds(written: Server) -> None:
    connections = [tables.connect(str(written.socket)) for _ in range(2)]
    tables.open_snapshots(connections)
    table = tables.Table("portal", "b_one", "InnoDB", 0)
    seen = [tables.fingerprints([connection], [table]) for connection in connections]
    time.sleep(0.2)
    assert tables.fingerprints(connections[:1], [table]) == seen[0]
    fresh = tables.connect(str(written.socket))
    assert tables.fingerprints([fresh], [table]) != seen[0]
    for connection in [*connections, fresh]:
        connection.close()


def test_a_schema_of_one_small_table_is_copied_as_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, target = started(tmp_path, "small"), started(tmp_path, "loaded")
    server.run("CREATE DATABASE portal")
    server.run("CREATE TABLE b_option SELECT 'site_name' AS NAME, 'Acme' AS VALUE", "portal")
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("MYSQL_HOME", target.environment()["MYSQL_HOME"])
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(target.socket))
    copy = database.LogicalCopy(source(server, tmp_path), target.folder / "data", tmp_path / "state", "small")
    copy.fetch(lambda _: None)
    assert (copy.prove()["tables"], copy.prove()["rows"]) == (1, 1)
    server.stop()
    target.stop()
