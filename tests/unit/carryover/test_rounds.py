from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.prepare import prepared_since
from encaja.carryover.rounds import CarryOver, set_aside
from encaja.carryover.settings import Settings
from support.crm_portals import BEFORE, NOON, Carried


def test_another_restore_is_another_box_and_starts_over(tmp_path: Path) -> None:
    first, second = tmp_path / "trees/a", tmp_path / "trees/b"
    first.mkdir(parents=True)
    second.mkdir()
    live = tmp_path / "www"
    live.symlink_to(first)
    settings = Settings("", "", tmp_path / "state", portal_root=str(live))
    set_aside(settings)
    with IdentityMap(settings.state) as identities:
        identities.done("lead", "5", "6")
    (settings.state / "prepared.json").write_text('{"since": "2026-11-20T10:00:00+00:00"}')

    set_aside(settings)
    with IdentityMap(settings.state) as identities:
        assert identities.box_id("lead", "5") == "6", "the same tree keeps its map"

    live.unlink()
    live.symlink_to(second)
    set_aside(settings)
    with IdentityMap(settings.state) as identities:
        assert identities.box_id("lead", "5") is None
    assert list(settings.state.glob("identity-*.sqlite3")), "the old one is kept beside it"
    assert prepared_since(settings) == "2026-11-20T10:00:00+00:00"


class Probe:
    """Stands for what reads the cloud: it takes ten minutes, and fails where it is told to."""

    def __init__(self, carry_over: CarryOver) -> None:
        self.carry_over, self.since, self.fails = carry_over, list[datetime](), False
        self.now = NOON
        carry_over.context.now_in_cloud = lambda: self.now  # type: ignore[method-assign]

    async def carry_changes(self, since: datetime) -> None:
        self.since.append(since)
        self.now += timedelta(minutes=10)
        if self.fails:
            raise KeyboardInterrupt


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    with IdentityMap(tmp_path) as identities:
        yield Carried(tmp_path, identities, overlap=10)


def opened(carried: Carried, *, dry_run: bool = False) -> tuple[CarryOver, Probe]:
    context = carried.context
    found = CarryOver(context.settings, context.cloud, context.box, carried.map, dry_run=dry_run)
    found.context, context.dry_run, found._refreshed = context, dry_run, time.monotonic()
    probe: Any = Probe(found)
    found.probe = probe
    return found, probe


def test_the_next_round_reads_from_where_the_last_one_began(carried: Carried) -> None:
    carry_over, probe = opened(carried)
    asyncio.run(carry_over.round())
    asyncio.run(carry_over.round())
    assert probe.since == [NOON - timedelta(seconds=10)] * 2, "what was written while the first one read is read now"
    assert carried.map.note("reached") == (NOON + timedelta(minutes=10)).isoformat()
    assert carry_over.behind == 600


def test_a_round_that_broke_off_is_read_again(carried: Carried) -> None:
    carry_over, probe = opened(carried)
    asyncio.run(carry_over.round())
    probe.fails = True
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(carry_over.round())
    assert carried.map.note("reached") == NOON.isoformat()


def test_a_dry_run_reaches_nothing(carried: Carried) -> None:
    carry_over, _ = opened(carried, dry_run=True)
    asyncio.run(carry_over.round())
    assert carried.map.note("reached") is None


def test_a_faulty_record_is_read_again_and_its_fault_goes_with_it(carried: Carried) -> None:
    carry_over, _ = opened(carried)
    carried.cloud.item("lead", 101, title="x")
    for number in ("101", "102"):
        carried.map.note_fault("lead", number, "refused")
    asyncio.run(carry_over.round())
    assert len(carried.map.faults()) == 2, "not due yet"
    carried.map.hasten()
    asyncio.run(carry_over.round())
    assert carried.map.faults() == []
    assert [row["originId"] for row in carried.box.of("lead").values()] == ["101"]


def test_at_the_freeze_rounds_go_on_until_one_that_began_late_enough_carries_nothing(carried: Carried) -> None:
    carry_over, probe = opened(carried)
    carried.box.item("lead", 7, createdTime=BEFORE, updatedTime=BEFORE)  # the cloud deleted it
    said: list[str] = []
    asyncio.run(carry_over.drain(said.append))
    assert carried.map.note("frozen") == NOON.isoformat()
    assert len(probe.since) == 2, "the first one began before what was being written could be read"
    assert sorted(carried.box.of("lead")) == []
    again, _ = opened(carried)
    asyncio.run(again.drain(said.append))
    assert carried.map.note("frozen") == NOON.isoformat(), "the freeze was when it was"


def test_where_the_cloud_stays_in_use_nothing_is_frozen(tmp_path: Path, carried: Carried) -> None:
    carry_over, _ = opened(Carried(tmp_path, carried.map, in_use=True))
    asyncio.run(carry_over.drain(lambda _: None))
    assert (carried.map.note("frozen"), carried.map.note("until")) == (None, NOON.isoformat())
    assert carry_over.context.until == NOON
