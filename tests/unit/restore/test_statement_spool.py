"""The spool shows loaders what is verified, and can be taken back."""

from __future__ import annotations

import json

import pytest

from encaja.restore.errors import BackupError
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
