"""Clocks, and what is compared with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from encaja.carryover.mapping.identity_map import Conflict, IdentityMap
from encaja.carryover.source.reader import Record
from support.crm_portals import AFTER, BEFORE, NOON, Carried


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    with IdentityMap(tmp_path) as identities:
        yield Carried(tmp_path, identities)


def at(seconds: float, number: str = "101", **fields: str) -> Record:
    return Record("lead", number, {"createdTime": AFTER, **fields}, NOON + timedelta(seconds=seconds), NOON)


@pytest.mark.parametrize(("ahead", "first"), [(30, 30), (-30, 30)])
def test_which_side_is_newer_is_asked_of_one_clock(carried: Carried, ahead: int, first: int) -> None:
    """The box's clock is ahead; its record was really written 100 s after noon."""
    carried.context.skew = timedelta(seconds=ahead)
    here = {"updatedTime": (NOON + timedelta(seconds=100 + ahead)).isoformat()}
    assert [carried.context.cloud_is_newer(at(seconds), here) for seconds in (99, 100, 101)] == [False, True, True]
    assert carried.context.cloud_is_newer(at(0), {})


def test_touched_means_later_than_the_restore_by_the_walls_clock(carried: Carried) -> None:
    times = ("2026-11-26T11:00:00+03:00", "2026-11-26T11:00:01+03:00", "", None)
    assert [carried.context.touched({"updatedTime": text}) for text in times] == [False, True, False, False]


def test_new_is_what_is_above_the_backups_highest(carried: Carried) -> None:
    assert [carried.context.is_new(at(0, number)) for number in ("100", "101")] == [False, True]


def test_stragglers_were_written_after_the_freeze(carried: Carried) -> None:
    carried.context.note_straggler(at(99, "1"))
    carried.context.frozen = NOON
    carried.context.note_straggler(at(0, "2"))
    carried.context.note_straggler(at(1, "3", updatedBy="2"))
    assert [(row[1], row[3]) for row in carried.map.stragglers()] == [("3", "B (#2)")]
    carried.context.dry_run = True
    carried.context.note_straggler(at(2, "4"))
    assert len(carried.map.stragglers()) == 1


def test_later_is_what_was_written_after_the_last_pass_began(carried: Carried) -> None:
    assert not carried.context.is_later(at(10**6))
    carried.context.until = NOON
    assert [carried.context.is_later(at(seconds)) for seconds in (-1, 0, 1)] == [False, False, True]


def test_a_decision_counts_only_for_the_values_that_it_was_made_on(carried: Carried) -> None:
    made = Conflict("lead", "1", "1", "title", "cloud", "box", "cloud")
    carried.context.decided = {("lead", "1"): [made]}
    assert carried.context.answers("lead", "1", {"title": "cloud"}, {"title": "box"}) == {"title": "cloud"}
    assert carried.context.answers("lead", "1", {"name": "cloud"}, {"name": "box"}) == {}
    assert carried.context.answers("lead", "2", {"title": "cloud"}, {"title": "box"}) == {}
    assert carried.map.conflicts() == []
    assert carried.context.answers("lead", "1", {"title": "cloud"}, {"title": "box 2"}) == {}
    assert [(one.box_value, one.decision) for one in carried.map.conflicts()] == [("box 2", "open")]


def test_the_time_of_creation_may_be_shown_in_another_zone(carried: Carried) -> None:
    record = at(0)  # created at noon, shown by the cloud as AFTER
    here = [NOON.isoformat(), "2026-11-26T13:00:00+01:00", AFTER, BEFORE]
    found = [carried.context.created_differs(record, {"createdTime": text}) for text in here]
    assert found == ["", "", "", BEFORE]
