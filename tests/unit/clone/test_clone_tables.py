"""The proof of a copied database against planted lies, and the snapshot that it is made in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pymysql
import pytest

from encaja.clone import database, tables
from encaja.clone.database import PROVEN, SOURCE_TABLES, DatabaseCopy, NotHeldError, read_mark, write_mark
from encaja.clone.tables import Table, base_tables, crashed, differences, fingerprints, open_snapshots, provable
from encaja.errors import EncajaError


class Server:
    """Answers statements from what a test plants: rows and checksum of a table, or why it cannot be read."""

    def __init__(self, **content: Any) -> None:
        self.content: dict[str, Any] = content
        self.log: list[str] = []
        self.closed = False
        self.answers: dict[str, list[tuple[Any, ...]]] = {}

    def close(self) -> None:
        self.closed = True

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        self.log.append(sql)
        for part, rows in self.answers.items():
            if part in sql:
                return rows
        if "information_schema" in sql:
            return [("portal", name, "InnoDB", 10) for name in self.content]
        name = sql.split("`")[3] if "`" in sql else ""
        held = self.content.get(name)
        if isinstance(held, Exception):
            raise held
        if sql.startswith("SELECT COUNT"):
            return [(held[0],)]
        if sql.startswith("CHECKSUM"):
            return [(f"portal.{name}", held[1])]
        return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(a=(1, 7), b=(2, 8), c=(0, 0))
    monkeypatch.setattr(tables, "query", lambda connection, sql: connection.query(sql))
    monkeypatch.setattr(tables, "connect", lambda *_: found)
    return found


def portal(*names: str, engine: str = "InnoDB") -> list[Table]:
    return [Table("portal", name, engine, 10) for name in names]


def test_every_table_has_its_rows_and_checksum(server: Server) -> None:
    more: Any = [server, server, server]
    assert fingerprints(more, portal("a", "b", "c")) == {
        "portal.a": {"rows": 1, "checksum": 7},
        "portal.b": {"rows": 2, "checksum": 8},
        "portal.c": {"rows": 0, "checksum": 0},
    }
    assert any("EXTENDED" in sql for sql in server.log)
    assert fingerprints(more, []) == {}


def test_a_table_that_cannot_be_read_is_no_equal_one(server: Server) -> None:
    server.content = {"a": pymysql.err.OperationalError(1194, "marked as crashed"), "b": (2, None)}
    only: Any = [server]
    found = fingerprints(only, portal("a", "b"))
    assert differences(found, found) == [
        "portal.a could not be read: marked as crashed",
        "portal.b could not be read: the server gives no checksum",
    ], "equal answers are no proof where there is no answer"


ONE = {"rows": 1, "checksum": 7}
LIES: dict[str, dict[str, Any]] = {
    "portal.a is missing": {},
    "portal.a has 2 rows, the source 1": {"portal.a": {"rows": 2, "checksum": 7}},
    "portal.a has the source's number of rows, but not their content": {"portal.a": {"rows": 1, "checksum": 8}},
    "portal.a could not be read: x": {"portal.a": {"fault": "x"}},
    "portal.ab is not in the source": {"portal.a": ONE, "portal.ab": ONE},
}


@pytest.mark.parametrize("said", LIES)
def test_every_lie_of_a_copy_is_told(said: str) -> None:
    assert differences({"portal.a": ONE}, LIES[said]) == [said]
    assert differences({"portal.a": ONE}, {"portal.a": dict(ONE)}) == []


def test_a_snapshot_is_opened_or_it_is_told(server: Server) -> None:
    both: Any = [server, server]
    open_snapshots(both)
    once = [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        "SHOW WARNINGS",
    ]
    assert server.log == once * 2
    server.answers["SHOW WARNINGS"] = [("Warning", 138, "WITH CONSISTENT SNAPSHOT was ignored")]
    with pytest.raises(EncajaError, match="was ignored"):
        open_snapshots(both)


def test_which_tables_are_compared(server: Server) -> None:
    server.answers["information_schema"] = [
        ("portal", "b_big", "InnoDB", "9"), ("mysql", "user", "Aria", 5), ("sys", "x", "InnoDB", 1),
        ("portal", "b_old", "MyISAM", 3), ("portal", "b_broken", "", 0),
    ]  # fmt: skip
    connection: Any = server
    found = base_tables(connection)
    assert [(one.full, one.size) for one in found] == [("portal.b_big", 9), ("portal.b_old", 3), ("portal.b_broken", 0)]
    assert [one.full for one in provable(found)] == ["portal.b_big"]
    assert found[0].sql == "`portal`.`b_big`"
    assert tables.schemas(found) == ["portal"]


@pytest.mark.parametrize(
    ("said", "bad"),
    [
        ([("t", "check", "status", "OK")], False),
        ([("t", "check", "status", "Table is already up to date")], False),
        ([("t", "check", "warning", "1 client is using"), ("t", "check", "status", "OK")], False),
        ([("t", "check", "error", "Corrupt")], True),
        ([], True),
    ],
)
@pytest.mark.parametrize("engine", ["MyISAM", "Aria"])
def test_a_crashed_table_is_told(server: Server, engine: str, said: list[tuple[str, ...]], bad: bool) -> None:
    server.answers["CHECK TABLE"] = said
    connection: Any = server
    assert crashed(connection, portal("t", engine=engine)) == (["portal.t"] if bad else [])


def test_a_table_of_no_engine_cannot_be_read_and_one_of_innodb_mends_itself(server: Server) -> None:
    connection: Any = server
    assert crashed(connection, [*portal("z", engine=""), *portal("a", engine=""), *portal("x")]) == [
        "portal.a", "portal.z",
    ]  # fmt: skip
    assert server.log == []


class Copy(DatabaseCopy):
    """A copy that is here; ``forgotten`` says whether it has to be fetched again."""

    forgotten = False

    def is_done(self) -> bool:
        return True

    def is_fetched(self) -> bool:
        return True

    def fetch(self, progress: Any) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def switch(self) -> None: ...

    def forget(self) -> None:
        self.forgotten = True


HELD = {"portal.a": {"rows": 1, "checksum": 7}, "portal.b": {"rows": 2, "checksum": 8}}


@pytest.fixture
def copy(server: Server, tmp_path: Path) -> Copy:
    source: Any = None
    found = Copy(source, tmp_path / "mysql", tmp_path, "copy-1")
    found._keep({"exact": True, "tables": HELD, "not_compared": ["portal.c"]})
    return found


def test_a_copy_is_proven_once_and_by_what_the_server_has(copy: Copy, server: Server, tmp_path: Path) -> None:
    assert copy.prove() == {"tables": 2, "rows": 3, "not_compared": ["portal.c"]}
    assert server.closed
    assert read_mark(tmp_path / PROVEN)["name"] == "copy-1"
    server.log = []
    assert copy.prove() == {"name": "copy-1", "tables": 2, "rows": 3, "not_compared": ["portal.c"], "kept": True}
    assert server.log == [], "the copy is in use by now"


@pytest.mark.parametrize("lie", [{"a": (2, 7)}, {"a": (1, 6)}, {"a": (1, None)}, {"d": (0, 0)}])
def test_a_copy_that_lies_is_not_used(copy: Copy, server: Server, tmp_path: Path, lie: dict[str, Any]) -> None:
    server.content |= lie
    with pytest.raises(EncajaError, match="run the copy again"):
        copy.prove()
    assert copy.forgotten and server.closed
    assert not (tmp_path / PROVEN).exists()


def test_a_missing_table_is_told_and_a_long_list_is_cut(copy: Copy, server: Server) -> None:
    del server.content["a"]
    with pytest.raises(EncajaError, match=r"^[^;]*portal\.a is missing"):
        copy.prove()
    server.content = {f"t{n}": (0, 0) for n in range(12)}
    with pytest.raises(EncajaError, match=r"portal\.a is missing; portal\.b is missing; .*, and 4 more"):
        copy.prove()


def test_a_proof_of_another_copy_proves_nothing(copy: Copy, server: Server, tmp_path: Path) -> None:
    copy.prove()
    copy.name = "copy-2"
    with pytest.raises(EncajaError, match="what the source's tables held is not known"):
        copy.prove()
    write_mark(tmp_path / SOURCE_TABLES, {"name": "copy-2", "tables": HELD, "not_compared": ["portal.c"]})
    server.content["a"] = (5, 5)
    with pytest.raises(EncajaError, match="has 5 rows, the source 1"):
        copy.prove()


def test_data_that_was_fetched_again_is_proven_again(copy: Copy, server: Server) -> None:
    copy.prove()
    copy._keep({"exact": True, "tables": HELD, "not_compared": ["portal.c"]})
    server.content["a"] = (5, 5)
    with pytest.raises(EncajaError, match="has 5 rows"):
        copy.prove()


def test_a_source_that_changed_while_it_was_counted_proves_nothing(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / SOURCE_TABLES).unlink()
    with pytest.raises(NotHeldError):
        copy._keep({"exact": False, "tables": HELD, "not_compared": []})
    assert read_mark(tmp_path / SOURCE_TABLES) == {}


def test_a_mark_that_is_cut_off_is_none(tmp_path: Path) -> None:
    write_mark(tmp_path / "mark", {"name": "x"})
    assert read_mark(tmp_path / "mark") == {"name": "x"}
    (tmp_path / "mark").write_text('{"name": ')
    assert read_mark(tmp_path / "mark") == read_mark(tmp_path / "none") == read_mark(tmp_path / "mark" / "x") == {}


def test_a_physical_copy_goes_between_releases_of_one_series() -> None:
    assert database.same_series("11.8.3", "11.8.6")
    assert not database.same_series("11.8.3", "11.4.3")
    assert not database.same_series("10.11.1", "11.11.1")
