"""A portal comes back as it was at any second: dump, shipped logs and files, from a real server and repository."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from encaja import nightly_backup as nightly
from encaja.nightly_backup import BackupError, Config, Database, LogShipping, Restic, Status
from encaja.recover import commands, database, plan
from encaja.recover.binary_log import LogGap
from support.mariadb import KillableMariaDB

LOGGING = ["--log-bin=mariadb-bin", "--server-id=1", "--binlog-format=ROW", "--log-bin-trust-function-creators=1"]
SEED = 18


@dataclass
class Host:
    """A host with a portal, whose clock the test sets: what the server logs, and when it says that it is."""

    folder: Path
    server: KillableMariaDB
    config: Config
    now: int
    states: dict[int, str] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))

    @property
    def live(self) -> Database:
        return Database(f"localhost:{self.server.socket}", "portal", "root", "")

    def write(self, *statements: str, name: str = "portal") -> None:
        """One transaction in this second."""
        link = self.server.connect(name)
        with link.cursor() as cursor:
            cursor.execute(f"SET TIMESTAMP = {self.now}")
            for statement in statements:
                cursor.execute(statement)
        link.commit()
        link.close()

    def state(self, name: str = "portal") -> str:
        tables = [row[0] for row in self.server.run("SHOW TABLES", name)]
        rows = [(table, self.server.run(f"SELECT * FROM `{table}` ORDER BY 1", name)) for table in tables]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def second(self) -> None:
        """Let a second pass in which the portal works."""
        for _ in range(self.dice.randrange(3)):
            some = self.dice.randrange(1, 40)
            self.write(
                *self.dice.sample(
                    [
                        f"INSERT INTO b_crm_deal (TITLE, STAGE) VALUES ('deal {some}', 'NEW'), ('ñandú 🚀', NULL)",
                        f"UPDATE b_crm_deal SET STAGE = 'WON {self.now}' WHERE ID % 7 = {some % 7}",
                        f"DELETE FROM b_crm_deal WHERE ID = {some}",
                        f"INSERT INTO b_event_log (DATA) VALUES (REPEAT(CHAR({some + 60}), 3000))",
                    ],
                    2,
                )
            )
            self.write(f"INSERT INTO noise VALUES ({some})", name="other")
        self.now += 1
        self.states[self.now] = self.state()

    def ship(self) -> None:
        LogShipping(self.config).ship()

    def run(self) -> None:
        nightly.run(self.config, Restic(self.config), Status(self.config.state / "status.json", "run"))

    def dump(self) -> None:
        """The part of a run that concerns the database."""
        shipping, began = LogShipping(self.config), time.time()
        shipped = nightly.begin_base(shipping, self.live)
        assert shipped
        nightly.back_up_database(Restic(self.config), self.live, "run-2", shipped.chain)
        shipping.based(self.live, shipped.chain, began)

    def listed(self) -> tuple[list[plan.Dump], list[plan.Logs]]:
        dumps = plan.dumps(Restic(self.config).snapshots("database"))
        return dumps, plan.logs(Restic(self.config, "-logs").snapshots("logs"))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    for program in ("mariadbd", "mariadb-binlog", "restic"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    folder = tmp_path_factory.mktemp("host")
    server = KillableMariaDB(folder / "m", options=LOGGING)
    server.folder.mkdir()
    server.initialise()
    server.start()
    tree = folder / "srv/trees/first"
    (tree / "bitrix/php_interface").mkdir(parents=True)
    (tree / "upload").mkdir()
    (tree / "upload/first.txt").write_text("first")
    (tree / "bitrix/.settings.php").write_text(
        "<?php return ['connections' => ['value' => ['default' => ['host' => 'localhost', 'database' => 'portal',"
        " 'login' => 'root', 'password' => '']]]];"
    )
    (tree / "bitrix/php_interface/dbconn.php").write_text('<?php\n$DBName = "portal";\n')
    (folder / "srv/www").symlink_to("trees/first")
    (folder / "repository").write_text(str(folder / "r"))
    (folder / "password").write_text("word")
    (folder / "state").mkdir()
    config = Config(
        folder / "state", folder / "repository", folder / "password", (str(folder / "srv/www"),), keep={"last": 9},
        check_parts=1, settings="yes", log_days=7, prune=False, environment={"RESTIC_CACHE_DIR": str(folder / "cache")},
    )  # fmt: skip
    (folder / "backup.json").write_text(json.dumps({**vars(config)}, default=str))
    place = Host(folder, server, config, int(time.time()) - 1000)
    change = pytest.MonkeyPatch()
    change.setattr(nightly, "live_database", lambda _: place.live)
    change.setattr(nightly, "ask_for_dump", lambda: None)
    change.setenv("CACHE_DIRECTORY", str(folder / "cache"))
    asking = nightly.client

    def client(to: Database, name: str, query: str, **more: Any) -> str:
        return asking(to, name, query.replace("NOW(6)", f"FROM_UNIXTIME({place.now})"), **more)

    change.setattr(nightly, "client", client)
    for name in ("portal", "other"):
        server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    place.write("CREATE TABLE noise (ID int)", name="other")
    place.write("CREATE TABLE b_crm_deal (ID int PRIMARY KEY AUTO_INCREMENT, TITLE varchar(50), STAGE varchar(50))")
    place.write("CREATE TABLE b_event_log (ID int PRIMARY KEY AUTO_INCREMENT, DATA longtext)")
    yield place
    change.undo()
    server.kill()


@pytest.fixture(scope="module")
def based(host: Host) -> Host:
    """A host that has been backed up."""
    for _ in range(5):
        host.second()
    host.run()
    return host


@pytest.fixture(scope="module")
def worked(based: Host) -> Host:
    """A minute of work: two dumps, logs that rotate, a server that is killed, shipments that are cut off."""
    host = based
    for part in range(14):
        for _ in range(4):
            host.second()
        if part in (3, 6, 9):
            host.server.run("FLUSH BINARY LOGS")
        if part in (5, 11):
            host.server.kill()
            host.server.start()
        if part == 7:
            host.write("ALTER TABLE b_crm_deal ADD COLUMN AMOUNT decimal(10, 2) DEFAULT 1.50")
            host.states.pop(host.now + 1, None)
            host.now += 1
            host.states[host.now] = host.state()
        if part == 8:
            host.dump()
        elif part % 3 == 1:
            host.ship()
    host.ship()
    return host


class Fetched(Restic):
    """The repository, of which each dump is fetched once."""

    def command(self, *arguments: str) -> list[str]:
        if arguments[0] != "dump":
            return super().command(*arguments)
        kept = self.config.state.parent / arguments[1]
        if not kept.exists():
            with kept.open("wb") as stream:
                subprocess.run(super().command(*arguments), env=self.environment, stdout=stream, check=True)
        return ["cat", str(kept)]


def fetched(host: Host, logs: plan.Logs, where: Path) -> list[plan.Piece]:
    restic = Restic(host.config, "-logs")
    if not where.exists():
        restic.run("restore", logs.snapshot, "--target", str(where))
    return plan.pieces(str(path.relative_to(where)).join(("/", "")) for path in where.rglob("*.*-*"))


def test_twenty_moments_come_back_to_the_second(worked: Host, tmp_path: Path) -> None:
    dumps, logs = worked.listed()
    assert len(dumps) == 2
    assert len({dump.log for dump in dumps}) == 2
    covered = plan.spans(dumps, logs)
    assert len(covered) == 1
    assert covered[0][1] == worked.now
    moments = worked.dice.sample([moment for moment in worked.states if moment >= covered[0][0]], 21)
    pieces = fetched(worked, logs[-1], tmp_path / "shipped")
    used = set()
    for moment in moments:
        _, dump, _ = plan.choose(dumps, logs, moment)
        used.add(dump.at)
        cut, progress = database.cut(
            *plan.in_order(pieces, dump, logs[-1]), tmp_path / "shipped", tmp_path / "cut", dump, moment
        )
        name = database.database_name("portal", f"{moment}0000")
        database.make(worked.live, name)
        database.load(worked.live, name, Fetched(worked.config), dump, lambda _: None)
        database.replay(worked.live, dump, name, cut)
        assert worked.state(name) == worked.states[moment], f"{plan.shown(moment)} after {progress}"
        database.drop(worked.live, name)
    assert len(used) == 2
    assert not worked.server.run("SELECT 1 FROM mysql.user WHERE User = 'encaja_recover'")


def test_recovering_is_not_logged(worked: Host) -> None:
    logged = worked.server.run("SHOW BINARY LOGS")
    name = "portal_at_20260101000000"
    database.make(worked.live, name)
    database.drop(worked.live, name)
    assert worked.server.run("SHOW BINARY LOGS") == logged


def test_a_missing_part_is_told_with_the_last_good_moment(worked: Host, tmp_path: Path) -> None:
    dumps, logs = worked.listed()
    pieces = fetched(worked, logs[-1], tmp_path / "shipped")
    dump = dumps[0]
    lost = [piece for piece in pieces if piece.log == sorted({piece.log for piece in pieces})[-2]]
    kept = [piece for piece in pieces if piece not in lost]
    with pytest.raises(LogGap, match=r"the last moment before it is 20\d\d-") as fault:
        database.cut(*plan.in_order(kept, dump, logs[-1]), tmp_path / "shipped", tmp_path / "cut", dump, worked.now)
    assert dump.at < fault.value.last < worked.now
    moment = int(fault.value.last)
    cut, progress = database.cut(
        *plan.in_order(kept, dump, logs[-1]), tmp_path / "shipped", tmp_path / "cut", dump, moment
    )
    assert cut
    assert progress.stopped


def test_a_log_that_does_not_follow_is_told(worked: Host, tmp_path: Path) -> None:
    dumps, logs = worked.listed()
    pieces = fetched(worked, logs[-1], tmp_path / "shipped")
    parts, gap = plan.in_order(pieces, dumps[0], logs[-1])
    assert not gap
    with pytest.raises(LogGap, match="begins after transaction"):
        database.cut([parts[0], *parts[2:]], "", tmp_path / "shipped", tmp_path / "cut", dumps[0], worked.now)


def job(host: Host, **more: Any) -> Path:
    path = host.folder / "job.json"
    given = {
        "home": host.folder / "srv", "work": host.folder / "work", "history": host.folder / "history",
        "backup": host.folder / "backup.json", "fpm_socket": "/nowhere",
        "database": {"host": "localhost", "user": "root", "password": "", "socket": str(host.server.socket)},
    }  # fmt: skip
    path.write_text(json.dumps({**given, **more}, default=str))
    return path


def said(host: Host) -> dict[str, Any]:
    return json.loads((host.folder / "work/status.json").read_text())


@pytest.fixture
def purged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.cache, "purge", lambda *_: None)


def test_a_portal_is_recovered_after_being_cut_off_and_switched_back(
    based: Host, purged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    based.write("INSERT INTO b_crm_deal (TITLE) VALUES ('before the mistake')")
    (based.folder / "srv/trees/first/upload/second.txt").write_text("second")
    based.now = int(time.time()) + 2
    time.sleep(1.1)
    wanted, moment = based.state(), based.now
    based.write("DELETE FROM b_crm_deal")
    based.now += 1
    nightly.files(based.config, Restic(based.config), Status(based.config.state / "status.json", "files"))
    text = plan.shown(moment)
    assert commands.recover(job(based, to=text, check=True)) == 0
    assert "none is missing" in said(based)["message"]
    assert not (based.folder / "work/recovery.json").exists()

    def cut_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as change:
        change.setattr(commands.files, "restore", cut_off)
        with pytest.raises(KeyboardInterrupt):
            commands.recover(job(based, to=text))
    assert (based.folder / "srv/www").resolve().name == "first"
    assert commands.recover(job(based, to=plan.shown(moment - 3))) == 1
    assert "is half done" in said(based)["error"]
    assert commands.recover(job(based, to=text)) == 0
    tree = (based.folder / "srv/www").resolve()
    name = database.database_name("portal", tree.name.removeprefix("at_"))
    assert f"'{name}'" in (tree / "bitrix/.settings.php").read_text()
    assert name in (tree / "bitrix/php_interface/dbconn.php").read_text()
    assert (tree / "upload/first.txt").read_text() == "first"
    assert (tree / "upload/second.txt").read_text() == "second", "written after the first snapshot of the files"
    assert based.state(name) == wanted
    assert based.state() != wanted, "what was live is as it was"
    assert commands.rollback(job(based)) == 0
    assert (based.folder / "srv/www").resolve().name == "first"


def test_what_half_a_recovery_has_made_is_removed(worked: Host) -> None:
    name, tree = "portal_at_20260101000000", worked.folder / "srv/trees/at_20260101000000"
    tree.mkdir()
    worked.server.run(f"CREATE DATABASE {name}")
    commands.Journal(worked.folder / "work/recovery.json", 1.0, "", str(tree), name, dump={"at": 1.0}).save("database")
    assert commands.recover(job(worked, drop=True)) == 0
    assert name not in [row[0] for row in worked.server.run("SHOW DATABASES")]
    assert not tree.exists()
    assert not (worked.folder / "work/recovery.json").exists()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"to": "2001-01-01T00:00:00Z"}, "every second can be recovered from 20"),
        ({"to": "yesterday"}, "is no moment"),
    ],
)
def test_a_moment_that_there_is_not_is_refused(worked: Host, given: dict[str, str], why: str) -> None:
    live = (worked.folder / "srv/www").readlink()
    assert commands.recover(job(worked, **given)) != 0
    assert why in said(worked)["error"]
    assert (worked.folder / "srv/www").readlink() == live


def test_a_wrong_key_is_told(worked: Host, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another")
    read = json.loads((worked.folder / "backup.json").read_text())
    (tmp_path / "backup.json").write_text(json.dumps({**read, "password_file": str(tmp_path / "wrong")}))
    assert commands.recover(job(worked, backup=tmp_path / "backup.json")) == 1
    assert "wrong password" in said(worked)["error"]


def test_a_server_that_begins_anew_begins_a_new_chain(based: Host) -> None:
    before = nightly.Shipped.read(based.config.state / "shipped.json")
    based.now += 5
    based.server.run("RESET MASTER")
    based.write("INSERT INTO b_crm_deal (TITLE) VALUES ('new')")
    based.ship()
    after = nightly.Shipped.read(based.config.state / "shipped.json")
    assert after.chain != before.chain
    assert after.base == ""
    assert plan.spans(*based.listed())[-1][1] < based.now


def test_a_repository_out_of_reach_is_told_and_made_up_for(based: Host) -> None:
    repository = based.folder / "r-logs"
    based.dump()
    repository.rename(based.folder / "away")
    based.second()
    with pytest.raises(BackupError, match="does not open"):
        based.ship()
    (based.folder / "away").rename(repository)
    based.second()
    based.ship()
    assert plan.spans(*based.listed())[-1][1] == based.now
