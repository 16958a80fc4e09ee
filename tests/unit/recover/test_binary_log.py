"""Logs are cut at a moment, and what is missing among them shows."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from encaja.errors import EncajaError
from encaja.recover.binary_log import MAGIC, DatabaseReplaced, LogGap, Progress, take


def event(kind: int, moment: int, body: bytes) -> bytes:
    return struct.pack("<IBIIIH", moment, kind, 1, 19 + len(body) + 4, 0, 0) + body + b"\0\0\0\0"


def statement(text: str, moment: int, database: str = "portal") -> bytes:
    name = database.encode()
    return event(2, moment, struct.pack("<IIBHH", 1, 0, len(name), 0, 3) + b"\0\0\0" + name + b"\0" + text.encode())


def numbered(number: int, moment: int, flags: int = 0) -> bytes:
    return event(162, moment, struct.pack("<QIB", number, 0, flags) + bytes(6))


def listed(number: int) -> bytes:
    return event(163, 0, struct.pack("<IIIQ", 1, 0, 1, number))


def rows(number: int, moment: int, database: str = "portal", *, end: bool = True) -> bytes:
    name = database.encode()
    table = event(19, moment, struct.pack("<IHH", number, 0, 0) + bytes([len(name)]) + name + b"\0")
    change = event(30, moment, struct.pack("<IHH", number, 0, 0) + b"row of " + name)
    return numbered(number, moment) + table + change + (event(16, moment, bytes(8)) if end else b"")


FIRST = MAGIC + event(15, 0, b"format")


def cut(folder: Path, *logs: bytes, start: int = 0, stop: float = 1e12) -> tuple[bytes, Progress]:
    progress, taken = Progress(last=5.0), b""
    for index, content in enumerate(logs):
        log = folder / str(index)
        log.write_bytes(content)
        take(log, f"bin.{index}", folder / "out", "portal", start if index == 0 else 0, stop, progress)
        taken += (folder / "out").read_bytes()
    return taken, progress


def test_it_stops_at_the_first_transaction_of_the_moment(tmp_path: Path) -> None:
    log = FIRST + listed(6) + rows(7, 10) + rows(8, 11) + rows(9, 12)
    taken, progress = cut(tmp_path, log, stop=11)
    assert taken == FIRST + rows(7, 10)
    assert (progress.stopped, progress.last, progress.transactions) == (True, 10.0, 1)


def test_only_the_databases_own_is_taken(tmp_path: Path) -> None:
    other = rows(8, 10, "other") + numbered(9, 10, 1) + statement("DROP TABLE t", 10, "other")
    mine = numbered(10, 11, 1) + statement("ALTER TABLE t ADD c int", 11)
    taken, progress = cut(tmp_path, FIRST + listed(6) + rows(7, 10) + other + mine)
    assert taken == FIRST + rows(7, 10) + mine
    assert progress.reached == {0: 10}


def test_what_the_dump_has_is_left_out(tmp_path: Path) -> None:
    before = FIRST + listed(6) + rows(7, 10)
    taken, _ = cut(tmp_path, before + rows(8, 11), start=len(before))
    assert taken == FIRST + rows(8, 11)


@pytest.mark.parametrize("lost", [1, 12, 23, 40])
def test_what_a_killed_server_wrote_half_is_not_committed(tmp_path: Path, lost: int) -> None:
    torn = FIRST + listed(6) + rows(7, 10) + rows(8, 11)[:-lost]
    taken, progress = cut(tmp_path, torn, FIRST + listed(7) + rows(8, 13))
    assert taken == FIRST + rows(7, 10) + FIRST + rows(8, 13)
    assert progress.reached == {0: 8}


@pytest.mark.parametrize(
    "logs",
    [
        (FIRST + listed(6) + rows(7, 10) + rows(9, 11),),
        (FIRST + listed(6) + rows(7, 10) + rows(7, 11),),
        (FIRST + listed(6) + rows(7, 10), FIRST + listed(8) + rows(9, 11)),
        (FIRST + listed(6) + rows(7, 10), FIRST + listed(6) + rows(7, 11)),
    ],
)
def test_a_transaction_that_is_missing_or_another_is_a_gap(tmp_path: Path, logs: tuple[bytes, ...]) -> None:
    with pytest.raises(LogGap) as fault:
        cut(tmp_path, *logs)
    assert fault.value.last == 10.0


def test_a_database_that_was_dropped_is_told_unless_it_was_later(tmp_path: Path) -> None:
    log = FIRST + listed(6) + rows(7, 10) + numbered(8, 12, 1) + statement("drop  database `portal`", 12)
    with pytest.raises(DatabaseReplaced) as fault:
        cut(tmp_path, log)
    assert fault.value.moment == 12
    assert cut(tmp_path, log, stop=12)[0] == FIRST + rows(7, 10)


@pytest.mark.parametrize(
    ("content", "why"), [(b"no log", "not a binary log"), (FIRST + event(164, 0, b""), "encrypts")]
)
def test_a_log_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(EncajaError, match=why):
        cut(tmp_path, content)
