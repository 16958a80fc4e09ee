"""Which dump, logs and files make up a moment."""

from __future__ import annotations

from typing import Any

import pytest

from encaja.recover import plan
from encaja.recover.plan import Dump, Files, Logs, NotCovered, Piece

DUMPS = [
    Dump("d1", "portal", "first", "bin.000003", 400, 1000.0),
    Dump("d2", "portal", "first", "bin.000007", 400, 2000.0),
    Dump("d3", "portal", "second", "bin.000001", 400, 4000.0),
]
LOGS = [
    *(Logs(f"l{at}", "first", float(at), f"bin.{at // 300:06}", 900) for at in range(900, 3001, 300)),
    Logs("s", "second", 5000.0, "bin.000002", 900),
]


@pytest.mark.parametrize(
    ("moment", "dump", "snapshot"),
    [(1000.0, "d1", "l1200"), (1999.0, "d1", "l2100"), (2000.0, "d2", "l2100"), (3000.0, "d2", "l3000")],
)
def test_the_newest_dump_before_a_moment_and_the_first_logs_after_it(moment: float, dump: str, snapshot: str) -> None:
    _, chosen, reaching = plan.choose(DUMPS, LOGS, moment)
    assert (chosen.snapshot, reaching[0].snapshot) == (dump, snapshot)


def test_without_a_moment_it_is_the_newest() -> None:
    moment, dump, _ = plan.choose(DUMPS, LOGS, None)
    assert (moment, dump.snapshot) == (5000.0, "d3")


@pytest.mark.parametrize("moment", [999.0, 3001.0, 3999.0, 5001.0])
def test_what_is_covered_is_said_of_a_moment_that_is_not(moment: float) -> None:
    with pytest.raises(NotCovered) as fault:
        plan.choose(DUMPS, LOGS, moment)
    assert "from 1970-01-01T00:16:40Z to 1970-01-01T00:50:00Z, and from 1970-01-01T01:06:40Z" in str(fault.value)


def test_nothing_can_be_recovered_without_a_dump_or_logs() -> None:
    for dumps, logs in ((DUMPS, []), ([], LOGS), (DUMPS[2:], LOGS[:-1])):
        with pytest.raises(NotCovered, match="no moment can be recovered yet"):
            plan.choose(dumps, logs, None)


def snapshot(*tags: str, **more: Any) -> dict[str, Any]:
    return {"id": "x", "time": "2026-11-30T12:00:00.123456789+01:00", "paths": ["/srv"], "tags": list(tags), **more}


def test_snapshots_say_what_they_are_by_their_tags() -> None:
    plain, based = snapshot("database", "run-1"), snapshot("database", "of=p", "chain=c", "from=b.01:7", "at=12")
    assert plan.dumps([plain, based]) == [Dump("x", "p", "c", "b.01", 7, 12.0)]
    assert plan.logs([snapshot("logs", "chain=c", "at=12", "to=b.01:9")]) == [Logs("x", "c", 12.0, "b.01", 9)]
    assert plan.logs([snapshot("logs")]) == []
    assert plan.files([snapshot("files")])[0].at == pytest.approx(1796036400.123456)


def pieces(*spans: tuple[int, int, int]) -> list[Piece]:
    paths = [f"/state/logs/c/20261130T12/bin.{number:06}.{start}-{end}" for number, start, end in spans]
    return plan.pieces([*paths, "/state/logs/c/20261130T12"])


DUMP, LAST = Dump("d", "portal", "c", "bin.000001", 50, 0.0), Logs("l", "c", 9.0, "bin.000003", 80)


def test_parts_are_joined_whatever_their_order_and_overlap() -> None:
    parts = pieces((3, 0, 80), (1, 40, 90), (2, 0, 10), (1, 0, 60), (1, 0, 40))
    joined, gap = plan.in_order(parts, DUMP, LAST)
    assert gap == ""
    assert [[(piece.start, piece.end) for piece in log] for log in joined] == [
        [(0, 60), (40, 90)],
        [(0, 10)],
        [(0, 80)],
    ]


@pytest.mark.parametrize(
    ("parts", "gap"),
    [
        (pieces((1, 0, 90), (3, 0, 80)), "bin.000002:0"),
        (pieces((1, 0, 40), (1, 41, 90), (2, 0, 10), (3, 0, 80)), "bin.000001:40"),
        (pieces((1, 0, 90), (2, 0, 10), (3, 0, 79)), "bin.000003:79"),
        (pieces((1, 0, 49), (2, 0, 10), (3, 0, 80)), "bin.000001:49"),
        (pieces((1, 5, 90), (2, 0, 10), (3, 0, 80)), "bin.000001:0"),
        ([], "bin.000001:0"),
    ],
)
def test_a_missing_part_is_found(parts: list[Piece], gap: str) -> None:
    assert plan.in_order(parts, DUMP, LAST)[1] == gap


def test_files_are_of_the_snapshots_on_both_sides() -> None:
    found = [Files(str(at), float(at), ()) for at in (10, 20, 30)]
    before, after = plan.beside(found, 25.0)
    assert (before.snapshot, after.snapshot if after else "") == ("20", "30")
    assert plan.beside(found, 30.0) == (found[2], None)
    with pytest.raises(NotCovered, match="the oldest are of 1970-01-01T00:00:10Z"):
        plan.beside(found, 9.0)
