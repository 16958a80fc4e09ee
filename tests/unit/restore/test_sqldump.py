"""Parsers that may stop and go on at any byte."""

from __future__ import annotations

import json

import pytest
from backup_archives import FIXTURES, tar_entry
from hypothesis import given
from hypothesis import strategies as st

from encaja.restore.archive import naming, sqldump
from encaja.restore.archive.stream import ArchiveStream
from encaja.restore.archive.tars import Member, TarError, TarReader
from encaja.restore.errors import BackupError


class Collect:
    """Keeps members and what they held."""

    def __init__(self):
        self.members = []

    def begin(self, member: Member):
        self.members.append([member.name, b"", False])

    def data(self, piece: memoryview):
        self.members[-1][1] += bytes(piece)

    def end(self):
        self.members[-1][2] = True


CONTENT = [(b"a", b""), (b"d/" * 60 + b"x", b"y" * 1500), (b"b/c", b"z" * 512), (b"q" * 300, b"1")]
STREAM = b"".join(tar_entry(*entry) for entry in CONTENT)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_tar_goes_on_from_any_byte(cuts):
    sink = Collect()
    state = None
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(STREAM)], strict=True):
        reader = TarReader(sink, state)
        reader.feed(STREAM[start:end])
        state = json.loads(json.dumps(reader.state()))
    TarReader(sink, state).finish()
    assert sink.members == [[name, data, True] for name, data in CONTENT]


@pytest.mark.parametrize("at", [512 + 3, 600, 512 + 130])
def test_tar_header_damage_is_told_with_its_place(at):
    damaged = bytearray(STREAM)
    damaged[at] ^= 4
    with pytest.raises(TarError) as caught:
        TarReader(Collect()).feed(bytes(damaged))
    assert caught.value.offset == 512


def test_tar_must_not_end_inside_a_file():
    reader = TarReader(Collect())
    reader.feed(STREAM[:-512])
    with pytest.raises(TarError, match="middle of a file"):
        reader.finish()


def test_data_after_the_end_blocks():
    with pytest.raises(TarError, match="after the end"):
        TarReader(Collect()).feed(STREAM + bytes(1024) + STREAM)


@pytest.fixture(scope="module")
def dump():
    volumes = naming.find_volumes(FIXTURES / "plain")
    sink = Collect()
    reader = TarReader(sink)
    stream = ArchiveStream(volumes.first)
    for number, path in volumes.volumes.items():
        for piece in stream.pieces(number, path):
            reader.feed(piece)
    return next(
        data for name, data, _ in sink.members if sqldump.DUMP_NAME.fullmatch(name) and b"after_connect" not in name
    )


@pytest.mark.parametrize("size", [977, 65536, 1 << 23])
def test_dump_statements_do_not_depend_on_the_pieces(dump, size):
    splitter = sqldump.Splitter()
    found = [statement for at in range(0, len(dump), size) for statement in splitter.feed(dump[at : at + size])]
    found += splitter.end_part()
    assert splitter.finished
    assert [(statement.kind.value, statement.name) for statement in found] == [
        ("names", "utf8mb4"),
        *[(kind, name) for name in ("b_blob", "b_crm_lead") for kind in ("drop", "table", "insert")],
        *[("drop", "b_empty"), ("table", "b_empty")],
        *[(kind, name) for name in ("b_legacy", "b_option") for kind in ("drop", "table", "insert")],
        *[("drop", "v_open"), ("view", "v_open")],
    ]
    assert max(len(statement.sql) for statement in found) > 4_000_000


def test_dump_without_its_last_line(dump):
    splitter = sqldump.Splitter()
    list(splitter.feed(dump[: dump.rindex(b"-- Finished")]))
    list(splitter.end_part())
    assert not splitter.finished


def test_dump_cut_inside_a_statement(dump):
    splitter = sqldump.Splitter()
    list(splitter.feed(dump[:-200]))
    with pytest.raises(BackupError, match="middle of a statement"):
        list(splitter.end_part())


def test_dump_in_several_parts():
    splitter = sqldump.Splitter()
    found = []
    for part in (
        b"-- Started: 2026-03-01 18:30:05\nSET NAMES 'utf8';\n"
        b"CREATE TABLE `a` (\n  `i` int\n);\n\nINSERT INTO `a` VALUES\n(1);",
        b"INSERT INTO `a` VALUES\n(2);\n\n-- Finished: x",
    ):
        found += splitter.feed(part)
        found += splitter.end_part()
    assert [(s.kind.value, s.sql) for s in found] == [
        ("names", b"SET NAMES 'utf8'"),
        ("table", b"CREATE TABLE `a` (\n  `i` int\n)"),
        ("insert", b"INSERT INTO `a` VALUES\n(1)"),
        ("insert", b"INSERT INTO `a` VALUES\n(2)"),
    ]
    assert splitter.finished
    assert splitter.begun == "2026-03-01 18:30:05"


def test_foreign_statement_is_refused():
    with pytest.raises(BackupError, match="never holds"):
        list(sqldump.Splitter().feed(b"DROP DATABASE `mysql`;\n"))


def test_after_connect():
    text = b"SET NAMES 'utf8mb4';\nALTER DATABASE `<DATABASE>` COLLATE utf8mb4_0900_ai_ci;\n"
    assert sqldump.after_connect(text) == ("utf8mb4", "utf8mb4_0900_ai_ci")
    assert sqldump.after_connect(b"") == (None, None)
