"""What the whole schema of the product costs: the same rows with all its tables, and with only those that have any.

The baseline of each line is the same work on the database without the empty tables. ENCAJA_BENCH_MB megabytes of
messages (default 300) are in both. What came of the work is asserted, never how long it took.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.big_archive import make
from encaja.portal import domain, neutralise, php, snapshot
from encaja.portal.site import Portal
from integration.portal.cloud_portal import MODULES, NEW, OLD, SETTINGS, fill
from support.clone_servers import Server, physical_copy, started
from support.neutralise_rules import harmless, shipped
from support.restore_runs import job, start, write_job

SIZE = int(os.environ.get("ENCAJA_BENCH_MB", "300"))
TEXT = "La visita queda para el jueves; el plano de la planta baja va en el archivo adjunto, con la memoria. "
ROWS = SIZE * 1_000_000 // 450
ALL = 1300


@dataclass
class Database:
    """A portal on a server of its own."""

    server: Server
    portal: Portal

    @property
    def tables(self) -> list[str]:
        return [name for (name,) in self.server.run("SHOW TABLES", "portal")]


def _portal(folder: Path, server: Server) -> Portal:
    root = folder / "www"
    (root / "bitrix").mkdir(parents=True)
    default = {"className": "M", "host": f"localhost:{server.socket}", "login": "root", "password": "",
               "database": "portal"}  # fmt: skip
    connections = {"value": {"default": default}, "readonly": True}
    (root / "bitrix/.settings.php").write_text(php.render_settings({**SETTINGS, "connections": connections}))
    return Portal(root, folder / "state")


def _filled(folder: Path, *, whole: bool) -> Database:
    server = started(folder, "whole" if whole else "few", 512, ["--table-definition-cache=2000", "--sql-mode="])
    server.run("CREATE DATABASE portal CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    for path in sorted(MODULES.glob("*/install/mysql/install.sql")):
        client = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "portal"]
        subprocess.run(client, input=path.read_bytes(), check=True, capture_output=True)
    connection = server.connect("portal")
    connection.autocommit(True)
    with connection.cursor() as cursor:
        fill(cursor)
    connection.close()
    server.run(
        "INSERT INTO b_im_message (CHAT_ID, AUTHOR_ID, DATE_CREATE, MESSAGE) SELECT seq % 900, seq % 60, '2026-01-01',"
        f" CONCAT(REPEAT('{TEXT}', 4), IF(seq % 100, '', 'https://{OLD}/docs/')) FROM seq_1_to_{ROWS}",
        "portal",
    )
    found = Database(server, _portal(server.folder, server))
    if not whole:
        for name in found.tables:
            if not server.run(f"SELECT 1 FROM `{name}` LIMIT 1", "portal"):
                server.run(f"DROP TABLE `{name}`", "portal")
    return found


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    """The one without empty tables, and the one with all."""
    if not shutil.which("mariadb-backup"):
        pytest.skip("needs mariadb-backup (apt-get install mariadb-server mariadb-backup)")
    folder = tmp_path_factory.mktemp("schema")
    few, whole = _filled(folder, whole=False), _filled(folder, whole=True)
    assert len(whole.tables) > ALL
    assert len(few.tables) < ALL / 10
    yield few, whole
    few.server.stop()
    whole.server.stop()


def told(what: str, few: float, whole: float) -> None:
    """Print what all the tables cost."""
    print(f"\n{what}: {few:.1f} s with few tables, {whole:.1f} s with all:"
          f" {whole / few:.2f} x, {whole - few:+.1f} s (target <= 1.3 x and 20 s more)")  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    """Seconds that the work took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_clone(databases: tuple[Database, Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for number, each in enumerate(databases):
        onto = started(tmp_path, f"copy{number}", 512)
        onto.stop()
        copy = physical_copy(each.server, onto, f"copy{number}", monkeypatch)
        began = time.monotonic()
        copy.fetch(lambda _: None)
        copy.switch()
        monkeypatch.setenv("MYSQL_UNIX_PORT", str(onto.socket))
        proven = copy.prove()
        taken.append(time.monotonic() - began)
        assert proven["tables"] == len(each.tables)
        onto.stop()
    told("clone of the database, proven", *taken)


def test_compare(databases: tuple[Database, Database]) -> None:
    taken = []
    for each in databases:
        place = snapshot.Place("production", ["portal"], ["here"], each.portal.root)
        found: list[dict[str, object]] = []
        taken.append(seconds(lambda place=place, found=found: found.append(snapshot.take(place, "salt", shipped(NEW)))))
        assert found[0]["sections"]
    told("look of compare", *taken)


def test_settle(databases: tuple[Database, Database], tmp_path: Path) -> None:
    taken = []
    for number, each in enumerate(databases):

        def settle(each: Database = each, number: int = number) -> None:
            plan, _ = domain.plan_domain(each.portal, domain.DomainPolicy(NEW))
            plan.apply(each.portal.database, tmp_path / str(number))
            domain.scan(each.portal, [OLD])

        taken.append(seconds(settle))
        assert each.portal.database.value("SELECT SERVER_NAME FROM b_lang") == NEW
    told("settling the domain, with the scan for the old one", *taken)


def test_neutralise(databases: tuple[Database, Database]) -> None:
    taken = []
    for each in databases:
        rules, named = shipped(NEW), harmless()

        def work(each: Database = each, rules: list[dict] = rules, named: list[str] = named) -> None:
            neutralise.apply(each.portal.database, rules, check=False)
            assert neutralise.unknown_secrets(each.portal.database, rules, named) == []

        taken.append(seconds(work))
    told("neutralising, and looking for what no rule knows", *taken)


def test_restore(databases: tuple[Database, Database], tmp_path: Path) -> None:
    _, whole = databases
    ddl = []
    for name in whole.tables:
        ((_, create),) = whole.server.run(f"SHOW CREATE TABLE `{name}`", "portal")
        ddl.append(f"-- Dumping table {name}\nDROP TABLE IF EXISTS `{name}`;\n{create};\n\n")
    target = started(tmp_path, "target", 512, ["--table-definition-cache=2000"])
    taken = []
    for number, tables in enumerate(("", "".join(ddl))):
        archive = make(tmp_path / f"archive{number}", unpacked=SIZE * 1_500_000, sql=SIZE * 1_000_000, files=2000,
                       tables=tables.encode())  # fmt: skip
        home = tmp_path / f"home{number}"
        (home / "trees").mkdir(parents=True)
        content = job(home, target, directory=str(archive.first.parent), stamp=f"b{number}", fetch={})
        content["database"]["name"] = f"bench_{number}"
        file = write_job(home / "job.json", content)

        def restore(file: Path = file) -> None:
            process = start(file)
            assert process.wait() == 0, process.stderr.read()

        taken.append(seconds(restore))
        found = target.run(f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench_{number}'")
        assert found[0][0] >= (len(ddl) if tables else 8)
    target.stop()
    told("restore", *taken)
