"""The spool shows loaders what is verified, and can be taken back."""

from __future__ import annotations

import json
import os
import threading

import pytest

from encaja.restore.errors import BackupError
from encaja.restore.load import statement_spool
from encaja.restore.load.database import Server
from encaja.restore.load.statement_spool import StatementSpool

SERVER = Server("portal_s1", "portal", "p'w\\1")
BEGUN = "2026-03-01 18:30:05"
DUMP = b"""-- Started: 2026-03-01 18:30:05
SET NAMES 'utf8mb4';
DROP TABLE IF EXISTS `a`;
CREATE TABLE `a` (
  `i` int
) ENGINE=InnoDB;

INSERT INTO `a` VALUES
(1);
INSERT INTO `a` VALUES
(2);

CREATE TABLE IF NOT EXISTS `b` (
  `i` int
) ENGINE=InnoDB;

-- Finished: x"""


def frames(spool, table, skip=0):
    return [frame for frame in spool.frames(table, skip) if frame is not None]


def test_spool_shows_only_what_is_proven(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    assert [table.ready for table in spool.tables] == [0]
    spool.commit()
    assert spool.tables[0].ready > 0 and not spool.tables[0].complete
    spool.feed(memoryview(DUMP[150:]))
    spool.end_part()
    spool.end()
    spool.commit(ended=True)
    assert [table.name for table in spool.tables] == ["a", "b"]
    assert frames(spool, spool.tables[0], 1) == [b"INSERT INTO `a` VALUES\n(1)", b"INSERT INTO `a` VALUES\n(2)"]
    assert len(frames(spool, spool.tables[1])) == 1


@pytest.mark.parametrize("cut", range(0, len(DUMP), 17))
@pytest.mark.fault("kill -9: host tool", "restore", "between checkpoint and statement, wherever the dump is cut")
def test_spool_goes_back_and_comes_out_the_same(cut, tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:cut]))
    spool.commit()
    spool.save_pending("pending")
    state = json.loads(json.dumps(spool.state()))
    spool.feed(memoryview(DUMP[cut : cut + 40]))
    spool.close()
    for again in (spool, StatementSpool(tmp_path)):
        again.resume(state, "pending")
        again.feed(memoryview(DUMP[cut:]))
        again.end_part()
        again.end()
        again.commit(ended=True)
        found = [frames(again, table) for table in again.tables]
        again.close()
        assert [len(table) for table in found] == [3, 1]
        assert found[0][2] == b"INSERT INTO `a` VALUES\n(2)"
        assert again.splitter.begun == BEGUN


def test_rows_outside_of_their_table(tmp_path):
    spool = StatementSpool(tmp_path)
    with pytest.raises(BackupError, match="outside of its table"):
        spool.feed(memoryview(b"INSERT INTO `a` VALUES\n(1);\n"))


def full(folder, *, loaded=()):
    """A spool of the whole dump; some of its tables were loaded by an earlier run."""
    spool = StatementSpool(folder)
    spool.loaded = set(loaded)
    spool.feed(memoryview(DUMP))
    spool.end_part()
    spool.end()
    spool.commit(ended=True)
    return spool


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_frames_of_a_table_are_in_the_file_before_a_loader_may_see_them(tmp_path):
    spool = StatementSpool(tmp_path / "new" / "folder")
    spool.feed(memoryview(DUMP[:150]))
    spool.commit()
    table = spool.tables[0]
    assert spool.file(table).stat().st_size == table.ready == table.length
    assert (table.closed, table.complete, table.view, spool.ended) == (False, False, False, False)


def test_a_loader_waits_for_what_is_proven_and_goes_on_where_it_stood(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    spool.commit()
    reader = spool.frames(spool.tables[0], 0)
    first = next(reader)
    assert first is not None and first.startswith(b"CREATE TABLE")
    spool.feed(memoryview(DUMP[150:]))
    assert next(reader) is None, "what was fed and is not proven is not shown"
    spool.end_part()
    spool.end()
    spool.commit()
    assert list(reader) == [b"INSERT INTO `a` VALUES\n(1)", b"INSERT INTO `a` VALUES\n(2)"]


def test_a_spool_that_is_given_up_lets_its_loaders_end(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    spool.commit()
    found = []

    def load():
        found.extend(frames(spool, spool.tables[0]))

    loader = threading.Thread(target=load)
    loader.start()
    spool.give_up()
    loader.join(20)
    assert not loader.is_alive()
    assert len(found) <= 1


def test_a_loader_is_woken_by_a_commit(tmp_path, monkeypatch):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    spool.commit()
    woken = []
    wait = spool.condition.wait
    monkeypatch.setattr(spool.condition, "wait", lambda _: woken.append(wait(20)))
    found = []
    loader = threading.Thread(target=lambda: found.extend(frames(spool, spool.tables[0])))
    loader.start()
    spool.feed(memoryview(DUMP[150:]))
    spool.end_part()
    spool.end()
    spool.commit(ended=True)
    loader.join(60)
    assert len(found) == 3
    assert all(woken), "none had to wait until its patience was over"


@pytest.mark.fault("power loss: host", "restore", "statements behind the checkpoint are torn")
def test_what_the_power_left_behind_a_checkpoint_is_cut_off(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    spool.commit()
    spool.save_pending("pending")
    state = json.loads(json.dumps(spool.state()))
    spool.close()
    length = spool.tables[0].length
    with spool.file(spool.tables[0]).open("ab") as stream:
        stream.write(b"\xff" * 1000)
    again = StatementSpool(tmp_path)
    again.resume(state, "pending")
    assert again.file(again.tables[0]).stat().st_size == length
    again.feed(memoryview(DUMP[150:]))
    again.end_part()
    again.end()
    again.commit()
    assert frames(again, again.tables[0])[1:] == [b"INSERT INTO `a` VALUES\n(1)", b"INSERT INTO `a` VALUES\n(2)"]


def test_a_spool_that_lost_bytes_is_not_loaded(tmp_path):
    spool = full(tmp_path)
    table = spool.tables[0]
    os.truncate(spool.file(table), table.length - 1)
    with pytest.raises(BackupError, match="shorter than its journal says"):
        frames(spool, table)


def test_going_back_takes_away_what_came_after(tmp_path):
    spool = full(tmp_path)
    state = StatementSpool(tmp_path / "none").state()
    cut = DUMP.index(b"CREATE TABLE IF NOT EXISTS")
    part = StatementSpool(tmp_path / "part")
    part.feed(memoryview(DUMP[:cut]))
    part.commit()
    part.save_pending("pending")
    at_cut = part.state()
    part.feed(memoryview(DUMP[cut:]))
    part.end_part()
    part.end()
    part.commit(ended=True)
    assert (len(part.tables), part.ended, part.tables[0].complete) == (2, True, True)
    part.resume(at_cut, "pending")
    table = part.tables[0]
    assert ([one.name for one in part.tables], part.ended) == (["a"], False)
    assert (table.closed, table.complete, table.ready) == (False, False, table.length)
    assert part.charset == "utf8mb4"
    part.feed(memoryview(DUMP[cut:]))
    part.end_part()
    part.end()
    part.commit()
    assert [one.name for one in part.tables] == ["a", "b"], "it is not twice in the dump"
    spool.resume(state, "pending")
    assert (spool.tables, spool.charset, spool.ended) == ([], None, False)


def test_what_a_reader_may_see_does_not_grow_by_going_back(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    spool.save_pending("pending")
    state = spool.state()
    spool.resume(state, "pending")
    assert spool.tables[0].length > 0
    assert spool.tables[0].ready == 0, "it was never proven"
    again = StatementSpool(tmp_path)
    again.resume(state, "pending")
    assert again.tables[0].ready == again.tables[0].length, "a journal holds what was proven"


def test_the_end_and_what_came_before_are_remembered(tmp_path):
    spool = full(tmp_path)
    spool.save_pending("pending")
    state = json.loads(json.dumps(spool.state()))
    again = StatementSpool(tmp_path)
    again.resume(state, "pending")
    assert again.ended is True
    assert [(one.name, one.closed, one.complete) for one in again.tables] == [("a", True, True), ("b", True, True)]
    assert len(frames(again, again.tables[0])) == 3
    again.commit()
    assert again.ended is True
    with pytest.raises(BackupError, match="rows of 'b' come outside"):
        again.feed(memoryview(b"INSERT INTO `b` VALUES\n(1);\n"))


def test_bytes_of_an_unfinished_statement_are_kept_with_the_checkpoint_and_forgotten(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:120]))
    spool.save_pending("pending-1")
    assert (tmp_path / "pending-1").read_bytes() == bytes(spool.splitter.pending) != b""
    spool.forget_pending("pending-1")
    spool.forget_pending("pending-1")
    assert not (tmp_path / "pending-1").exists()


def test_a_state_without_its_tables_is_told(tmp_path):
    spool = StatementSpool(tmp_path)
    with pytest.raises(BackupError, match="the journal is damaged"):
        spool.resume({**spool.state(), "tables": None}, "pending")


def test_of_tables_that_are_loaded_nothing_is_written_any_more(tmp_path):
    spool = full(tmp_path, loaded=["a"])
    assert files(tmp_path) == ["00001.sql"]
    first, second = spool.tables
    assert (first.dropped, second.dropped) == (True, False)
    assert first.length > 0, "its place in the dump is known all the same"
    assert spool.size == second.ready
    spool.drop(second)
    assert (files(tmp_path), second.dropped) == ([], True)
    spool.drop(second)


def test_a_table_that_was_loaded_meanwhile_stays_dropped_after_going_back(tmp_path):
    spool = full(tmp_path)
    state = spool.state()
    spool.drop(spool.tables[1])
    spool.loaded = {"a"}
    spool.resume(state, "pending")
    assert [table.dropped for table in spool.tables] == [True, True]


def test_a_file_that_is_still_written_is_not_deleted(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    spool.commit()
    spool.drop(spool.tables[0])
    assert files(tmp_path) == ["00000.sql"]


def test_size_is_what_is_proven_of_tables_to_be_loaded(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:150]))
    assert spool.size == 0
    spool.commit()
    assert spool.size == spool.tables[0].length
    spool = full(tmp_path / "full")
    spool.tables[1].view = True
    assert spool.size == spool.tables[0].length


def test_everything_can_be_forgotten(tmp_path):
    spool = full(tmp_path)
    spool.clear()
    assert (files(tmp_path), spool.tables, spool.charset, spool.ended) == ([], [], None, False)
    spool.feed(memoryview(DUMP))
    spool.end_part()
    spool.end()
    spool.commit()
    assert [table.number for table in spool.tables] == [0, 1]


def test_a_dump_that_was_cut_off_is_told(tmp_path):
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP[:-12]))
    spool.end_part()
    with pytest.raises(BackupError, match="no last line"):
        spool.end()


def test_a_table_that_is_twice_in_the_dump_is_told(tmp_path):
    spool = StatementSpool(tmp_path)
    with pytest.raises(BackupError, match="'a' is twice in the dump"):
        spool.feed(memoryview(DUMP[: DUMP.index(b"CREATE TABLE IF")] + DUMP))


def test_rows_of_another_table_than_the_open_one(tmp_path):
    spool = StatementSpool(tmp_path)
    cut = DUMP.index(b"-- Finished")
    with pytest.raises(BackupError, match="rows of 'a' come outside of its table"):
        spool.feed(memoryview(DUMP[:cut] + b"INSERT INTO `a` VALUES\n(1);\n"))


def damaged_journal(spool):
    spool.resume({**spool.state(), "tables": None}, "pending")


def short_file(spool):
    spool.feed(memoryview(DUMP[:200]))
    spool.commit()
    spool.close()
    os.truncate(spool.file(spool.tables[0]), spool.tables[0].length - 5)
    frames(spool, spool.tables[0])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            lambda spool: spool.end(),
            "the archive's dump: the dump has no last line '-- Finished:': the vendor's backup was cut off while it was"
            " written (have the vendor make a new backup)",
        ),
        (damaged_journal, "{folder}: the journal is damaged (delete the work folder and restore again)"),
        (
            lambda spool: spool.feed(memoryview(DUMP[: DUMP.index(b"CREATE TABLE IF")] + DUMP)),
            "the archive's dump: 'a' is twice in the dump (have the vendor make a new one)",
        ),
        (
            lambda spool: spool.feed(memoryview(b"INSERT INTO `a` VALUES\n(1);\n")),
            "the archive's dump: rows of 'a' come outside of its table (have the vendor make a new one)",
        ),
        (
            short_file,
            "{folder}/00000.sql: the spool is shorter than its journal says (delete the work folder and restore again)",
        ),
    ],
    ids=["cut off", "journal", "twice", "outside", "short"],
)
def test_each_fault_says_what_where_and_what_to_do(fault, said, tmp_path):
    with pytest.raises(BackupError) as caught:
        fault(StatementSpool(tmp_path))
    assert str(caught.value) == said.format(folder=tmp_path)


def test_more_tables_than_any_portal_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(statement_spool, "_MOST_TABLES", 1)
    with pytest.raises(BackupError) as caught:
        StatementSpool(tmp_path).feed(memoryview(DUMP))
    assert str(caught.value) == "the archive's dump: too many tables (check where this archive comes from)"


def test_a_table_that_has_as_many_before_it_as_allowed_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(statement_spool, "_MOST_TABLES", 2)
    spool = StatementSpool(tmp_path)
    spool.feed(memoryview(DUMP))
    assert [table.name for table in spool.tables] == ["a", "b"]
