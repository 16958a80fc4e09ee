"""Loading, with the power cut at every statement: each row is there once, and whatever went wrong is told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.constants import ER

from encaja.restore.errors import BackupError, TargetNotReady
from encaja.restore.load import loader
from encaja.restore.load.database import Server
from encaja.restore.load.ddl import Collations
from encaja.restore.load.loader import Loaders
from encaja.restore.load.statement_spool import StatementSpool
from support.power_cut_server import PowerCutError, PowerCutServer

SERVER = Server("portal_s1", "portal", "pw")
COLLATIONS = Collations(frozenset({"utf8mb4_unicode_ci", "utf8mb4_bin"}))
ROWS = 7
KEYS = {"k1", "k2", "f1"}


def table(name: str, rows: int = ROWS) -> str:
    inserts = "".join(f"INSERT INTO `{name}` VALUES\n({n});\n" for n in range(rows))
    return (
        f"CREATE TABLE IF NOT EXISTS `{name}` (\n  `i` int,\n  PRIMARY KEY (`i`),\n"
        f"  KEY `k1` (`i`),\n  KEY `k2` (`i`),\n  FULLTEXT KEY `f1` (`i`)\n) ENGINE=InnoDB;\n\n{inserts}\n"
    )


def dump(*parts: str) -> bytes:
    return f"-- Started: 2026-03-01 18:30:05\nSET NAMES 'utf8mb4';\n{''.join(parts)}-- Finished: x".encode()


VIEWS = "CREATE VIEW `v2` AS SELECT * FROM `v1`;\n\nCREATE VIEW `v1` AS SELECT * FROM `a`;\n\n"
WHOLE = dump(table("a"), table("b", 0), table("b_forum_message", 3))


def spooled(folder: Path, data: bytes = WHOLE) -> StatementSpool:
    spool = StatementSpool(folder)
    spool.feed(memoryview(data))
    spool.end_part()
    spool.end()
    spool.commit(ended=True)
    return spool


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> PowerCutServer:
    found = PowerCutServer()
    monkeypatch.setattr(loader, "connect", found.connect)
    monkeypatch.setattr(loader, "query", lambda connection, sql, *values: connection.query(sql, *values))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return found


def make(spool: StatementSpool, folder: Path, **more: Any) -> Loaders:
    return Loaders(SERVER, spool, COLLATIONS, **{"threads": 1, "dump": folder / "dump.json", **more})


def load(spool: StatementSpool, folder: Path, **more: Any) -> Loaders:
    """One run, to its end."""
    made = make(spool, folder, **more)
    spool.loaded = made.loaded_before()
    made.start("utf8mb4", "utf8mb4_unicode_ci")
    assert made.finish(60)
    return made


def contents(server: PowerCutServer) -> dict[str, list[str]]:
    return {name: found.rows for name, found in server.tables.items()}


EXPECTED = {"a": [str(n) for n in range(ROWS)], "b": [], "b_forum_message": ["0", "1", "2"]}


def test_tables_are_loaded_with_their_rows_and_keys(server: PowerCutServer, tmp_path: Path) -> None:
    made = load(spooled(tmp_path / "s"), tmp_path)
    assert contents(server) == EXPECTED
    assert all(found.keys == KEYS for found in server.tables.values())
    assert "KEY `k1`" not in server.tables["a"].create, "secondary keys come after the rows"
    assert {name: row[:3] for name, row in server.state.items()} == {
        "a": ["done", 7, 7], "b": ["done", 0, 0], "b_forum_message": ["done", 3, 3],
    }  # fmt: skip
    assert (made.report.tables, made.report.rows, made.report.warnings) == (3, 10, [])
    assert made.report.bytes == sum(
        len(f"INSERT INTO `{t}` VALUES\n(0)") * n for t, n in (("a", 7), ("b_forum_message", 3))
    )
    assert sorted(one.name for one in made.take_done()) == ["a", "b", "b_forum_message"]
    assert made.take_done() == []
    assert json.loads((tmp_path / "dump.json").read_text())["tables"]["b_forum_message"]["rows"] == 3
    assert json.loads((tmp_path / "dump.json").read_text())["begun"] == "2026-03-01 18:30:05"


def test_connections_speak_the_dumps_charset_and_are_closed(server: PowerCutServer, tmp_path: Path) -> None:
    made = make(spooled(tmp_path / "s", dump(table("a"), VIEWS)), tmp_path)
    assert made.loaded_before() == set()
    made.settle_database("utf8mb4", None)
    made.start("utf8mb3", "utf8mb3_unicode_ci")
    assert made.finish(60)
    made.create_views()
    made.total()
    loading = {"charset": "utf8mb3", "collation": "utf8mb3_unicode_ci"}
    assert server.asked_for == [{}, {}, loading, loading, {}]
    assert not any(connection.open for connection in server.connections)
    fresh = make(spooled(tmp_path / "s2", dump(VIEWS.replace("`a`", "`v9`"))), tmp_path)
    fresh.create_views()
    assert server.asked_for[-1] == {"charset": "utf8mb4", "collation": None}


@pytest.mark.fault("power loss: database", "restore", "at any statement of the load")
def test_the_power_may_be_cut_at_any_statement(
    server: PowerCutServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_TRANSACTION", 60)  # two rows
    for cut in range(1, 200):
        server.tables, server.state, server.log = {}, {}, []
        ended = False

        def power(number: int, _: str, cut: int = cut) -> None:
            if number == cut:
                raise PowerCutError

        server.before = power
        spool = spooled(tmp_path / f"{cut}")
        try:
            load(spool, tmp_path)
            ended = True
        except PowerCutError:
            pass
        server.before = lambda *_: None
        again = spooled(tmp_path / f"{cut}-again")
        made = load(again, tmp_path)
        assert contents(server) == EXPECTED, cut
        assert all(found.keys == KEYS for found in server.tables.values()), cut
        assert {row[0] for row in server.state.values()} == {"done"}
        total = made.total()
        assert (total.tables, total.rows, total.warnings) == (3, 10, []), cut
        if ended:
            return
    raise AssertionError("there are more statements than that")


def test_rows_and_their_number_are_committed_together_and_often(
    server: PowerCutServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_TRANSACTION", 60)
    load(spooled(tmp_path / "s", dump(table("a"))), tmp_path)
    about = [sql.split("`")[0].strip() for sql in server.log if sql.startswith(("INSERT INTO `a`", "UPDATE", "COMMIT"))]
    assert about == [
        "COMMIT",
        *(["INSERT INTO"] * 3 + ["UPDATE", "COMMIT"]) * 2,
        "INSERT INTO", "UPDATE", "COMMIT",
        "UPDATE", "COMMIT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error", [(2013, "lost"), (2006, "gone away"), (ER.LOCK_DEADLOCK, "deadlock"), (1205, "timeout")]
)
@pytest.mark.fault("network cut", "restore", "to the database, at any statement")
def test_a_connection_that_is_lost_is_made_again_and_nothing_is_doubled(
    server: PowerCutServer, tmp_path: Path, error: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_TRANSACTION", 60)
    came_back: list[int] = []
    for at in range(3, 60, 4):
        server.tables, server.state, server.log = {}, {}, []

        def cut(number: int, _: str, at: int = at) -> None:
            if number in {at, at + 3}:
                raise pymysql.err.OperationalError(*error)

        server.before = cut
        made = load(spooled(tmp_path / f"{at}"), tmp_path, came_back=lambda: came_back.append(1))
        assert contents(server) == EXPECTED, at
        assert made.waiting == ""
    assert bool(came_back) == (error[0] in {2013, 2006}), "a deadlock is no server that came back"


def test_a_server_that_stays_away_ends_the_load_with_what_was_seen(server: PowerCutServer, tmp_path: Path) -> None:
    spool = spooled(tmp_path / "s")
    server.refuses["CREATE TABLE"] = pymysql.err.OperationalError(2013, "lost")
    made = make(spool, tmp_path, patience=-1.0)
    made.start("utf8mb4", None)
    with pytest.raises(BackupError, match=r"table \w+: no connection: lost"):
        made.finish(60)
    assert spool.failed, "nobody waits for it"


def test_while_a_server_is_away_it_is_told_what_is_waited_for(server: PowerCutServer, tmp_path: Path) -> None:
    seen: list[str] = []
    made = make(spooled(tmp_path / "s"), tmp_path)

    def away(number: int, sql: str) -> None:
        seen.append(made.waiting)
        if number in {4, 5}:
            raise pymysql.err.OperationalError(2013, "it is restarting")

    server.before = away
    made.start("utf8mb4", None)
    assert made.finish(60)
    assert any("the database server" in text and "it is restarting" in text for text in seen)
    assert made.waiting == ""


def test_a_refused_statement_ends_the_load_and_names_its_table(server: PowerCutServer, tmp_path: Path) -> None:
    spool = spooled(tmp_path / "s")
    server.refuses["INSERT INTO `a`"] = pymysql.err.DataError(1406, "too long")
    made = make(spool, tmp_path)
    made.start("utf8mb4", None)
    with pytest.raises(BackupError, match="table a: the database refuses a statement: 1406 too long"):
        made.finish(60)
    with pytest.raises(BackupError, match="too long"):
        made.check()
    assert spool.failed


def test_a_row_that_is_twice_in_the_dump_is_left_out_once_and_told(server: PowerCutServer, tmp_path: Path) -> None:
    server.unique = True
    twice = table("a") + "INSERT INTO `a` VALUES\n(0),\n(9);\n"
    made = load(spooled(tmp_path / "s", dump(twice, table("b"))), tmp_path)
    assert server.tables["a"].rows == [*EXPECTED["a"], "9"]
    total = made.total()
    assert total.warnings == ["table a: rows that are twice in the dump were left out"]
    assert total.rows == 8 + ROWS
    assert sum("INSERT IGNORE" in sql for sql in server.log) == 1


def test_another_refusal_of_a_row_is_none_of_that_kind(server: PowerCutServer, tmp_path: Path) -> None:
    server.refuses["INSERT INTO `a`"] = pymysql.err.IntegrityError(1452, "foreign key")
    made = make(spooled(tmp_path / "s"), tmp_path)
    made.start("utf8mb4", None)
    with pytest.raises(BackupError, match="1452 foreign key"):
        made.finish(60)
    assert not any("IGNORE" in sql for sql in server.log)


def test_a_full_text_key_that_cannot_be_made_is_told_and_the_table_stays(
    server: PowerCutServer, tmp_path: Path
) -> None:
    server.refuses["ADD FULLTEXT KEY `f1`"] = pymysql.err.ProgrammingError(1283, "cannot be part")
    made = load(spooled(tmp_path / "s", dump(table("a"), table("b"))), tmp_path)
    assert server.tables["a"].keys == {"k1", "k2"}
    total = made.total()
    assert total.fulltext_failed
    assert total.warnings == [f"table {name}: full-text key f1 left out: cannot be part" for name in ("a", "b")]


@pytest.mark.fault("kill -9: database", "restore", "while a full-text key is made")
def test_a_connection_lost_at_a_full_text_key_leaves_none_out(server: PowerCutServer, tmp_path: Path) -> None:
    lost: list[int] = []

    def cut(number: int, sql: str) -> None:
        if "FULLTEXT" in sql and not lost:
            lost.append(number)
            raise pymysql.err.OperationalError(2013, "lost")

    server.before = cut
    made = load(spooled(tmp_path / "s", dump(table("a"))), tmp_path)
    assert lost and server.tables["a"].keys == KEYS
    assert not made.total().fulltext_failed


def test_what_an_earlier_run_loaded_is_left_alone(server: PowerCutServer, tmp_path: Path) -> None:
    load(spooled(tmp_path / "s"), tmp_path)
    server.log = []
    again = spooled(tmp_path / "s2")
    made = load(again, tmp_path)
    assert not [sql for sql in server.log if not sql.startswith(("SELECT", "CONNECT"))]
    assert made.loaded_before() == set(EXPECTED)
    assert (made.total().tables, made.total().rows) == (3, 10)


def test_views_are_made_in_the_order_in_which_they_need_each_other(server: PowerCutServer, tmp_path: Path) -> None:
    spool = spooled(tmp_path / "s", dump(table("a"), VIEWS))
    made = load(spool, tmp_path)
    assert server.views == {}
    for _ in range(2):  # the second time they are there
        made.create_views()
        assert set(server.views) == {"v1", "v2"}
    assert made.report.warnings == []


def test_views_that_cannot_be_made_are_told_and_a_lost_connection_is_no_such_view(
    server: PowerCutServer, tmp_path: Path
) -> None:
    spool = spooled(tmp_path / "s", dump(table("a"), VIEWS, "CREATE VIEW `v3` AS SELECT * FROM `nowhere`;\n\n"))
    made = load(spool, tmp_path)
    made.create_views()
    assert made.report.warnings == ["view v3 cannot be created: no nowhere"]
    assert made.total().warnings == ["view v3 cannot be created: no nowhere"]
    server.refuses["VIEW `v1`"] = pymysql.err.OperationalError(2013, "lost")
    with pytest.raises(TargetNotReady, match="no connection"):
        made.create_views()


def test_the_largest_table_goes_first_and_each_goes_once(server: PowerCutServer, tmp_path: Path) -> None:
    load(spooled(tmp_path / "s", dump(table("a", 1), table("b", 9), table("c", 3))), tmp_path, threads=3)
    assert {name: len(rows) for name, rows in contents(server).items()} == {"a": 1, "b": 9, "c": 3}
    server.tables, server.state, server.log = {}, {}, []
    load(spooled(tmp_path / "s2", dump(table("a", 1), table("b", 9), table("c", 3))), tmp_path)
    assert [sql.split("`")[1] for sql in server.log if sql.startswith("CREATE TABLE")] == ["b", "c", "a"]


def test_a_table_is_loaded_while_its_dump_still_comes(server: PowerCutServer, tmp_path: Path) -> None:
    spool = StatementSpool(tmp_path / "s")
    cut = WHOLE.index(b"(3)")
    spool.feed(memoryview(WHOLE[:cut]))
    spool.commit()
    made = make(spool, tmp_path)
    made.start("utf8mb4", None)
    assert made.started
    deadline = time.monotonic() + 30
    while server.state.get("a", ["", 0])[1] < 3 and time.monotonic() < deadline:
        made.finish(0.01)
    assert server.state["a"][:2] == ["rows", 3], "what is proven is committed while nothing more comes"
    assert server.tables["a"].keys == set()
    spool.feed(memoryview(WHOLE[cut:]))
    spool.end_part()
    spool.end()
    spool.commit(ended=True)
    assert made.finish(60)
    assert contents(server) == EXPECTED


def test_a_load_that_is_stopped_keeps_what_is_committed_and_says_nothing_is_done(
    server: PowerCutServer, tmp_path: Path
) -> None:
    spool = StatementSpool(tmp_path / "s")
    spool.feed(memoryview(WHOLE[: WHOLE.index(b"(3)")]))
    spool.commit()
    made = make(spool, tmp_path)
    assert not made.started
    made.start("utf8mb4", None)
    made.start("utf8mb4", None)
    deadline = time.monotonic() + 30
    while server.state.get("a", ["", 0])[1] < 3 and time.monotonic() < deadline:
        made.finish(0.01)
    made.stop()
    assert server.state["a"][0] == "rows"
    assert made.take_done() == []
    assert load(spooled(tmp_path / "s2"), tmp_path).report.tables == 3
    assert contents(server) == EXPECTED


def test_a_load_that_never_began_can_be_stopped(server: PowerCutServer, tmp_path: Path) -> None:
    make(spooled(tmp_path / "s"), tmp_path).stop()
    assert server.log == []


@pytest.mark.parametrize(
    ("charset", "collation", "found"),
    [
        ("utf8mb4", None, "utf8mb4_unicode_ci"),
        ("utf8mb4", "utf8mb4_bin", "utf8mb4_bin"),
        ("utf8mb4", "utf8mb4_0900_ai_ci", "utf8mb4_unicode_ci"),
    ],
)
def test_the_new_database_gets_the_archives_collation(
    server: PowerCutServer, tmp_path: Path, charset: str, collation: str | None, found: str
) -> None:
    made = make(spooled(tmp_path / "s"), tmp_path)
    assert made.settle_database(charset, collation) == server.collation == found
    server.refuses["ALTER DATABASE"] = pymysql.err.OperationalError(1044, "Access denied")
    with pytest.raises(TargetNotReady, match="lacks rights"):
        made.settle_database(charset, collation)
