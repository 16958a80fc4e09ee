"""Deletions: what the cloud no longer has, what only seems so, and what the rule says then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.deletions import Identifiers, apply_answers, listen, sweep, treat
from encaja.carryover.mapping.canonical import fingerprints
from encaja.carryover.mapping.identity_map import Conflict, IdentityMap, State
from encaja.carryover.source.offline_events import Change, Taken
from encaja.rest.errors import AccessError
from support.crm_portals import AFTER, BEFORE, Carried

OWNED = {"OWNER_TYPE_ID": 4, "OWNER_ID": 1, "ENTITY_TYPE_ID": 4, "ENTITY_ID": 1}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lead": ("title", {"createdTime": BEFORE, "updatedTime": BEFORE}),
    "requisite": ("RQ_NAME", OWNED),
    "activity": ("SUBJECT", OWNED),
    "task": ("title", {}),
}


def test_a_set_of_identifiers() -> None:
    numbers = Identifiers()
    for number in (0, 7, 8, 100_000):
        numbers.add(number)
    assert [n for n in (0, 1, 7, 8, 9, 99_999, 100_000, 10**9) if n in numbers] == [0, 7, 8, 100_000]


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    with IdentityMap(tmp_path) as identities:
        yield Carried(tmp_path, identities)


def plant(carried: Carried, entity: str, box: int, text: str = "old") -> None:
    """A record that only the box has."""
    name, fields = KINDS[entity]
    made = carried.box.item if entity == "lead" else carried.box.plant
    made(entity, box, **(fields | {name: text}))


def left(carried: Carried, entity: str) -> list[int]:
    """Sweep; which records of a kind the box has then."""
    asyncio.run(sweep(carried.context))
    return sorted(carried.box.of(entity))


@pytest.mark.parametrize("entity", KINDS)
def test_what_the_cloud_deleted_goes_and_what_was_born_in_the_box_stays(carried: Carried, entity: str) -> None:
    name, _ = KINDS[entity]
    plant(carried, entity, 7)  # of the backup
    plant(carried, entity, 101)  # born in the box; the cloud's 101 is another, and gone too
    plant(carried, entity, 205)  # carried, as the cloud's 101
    have = fingerprints({name: "old"})
    carried.map.done(entity, "101", "205", want=have, have=have)
    assert left(carried, entity) == [101]
    assert carried.context.tally.deleted == {entity: 2}
    assert {link.cloud: link.state for link in carried.map.links(entity)} == {"7": State.GONE, "101": State.GONE}
    assert carried.map.conflicts() == []


@pytest.mark.parametrize("entity", KINDS)
def test_what_the_cloud_deleted_and_the_box_changed_stays_with_a_conflict(carried: Carried, entity: str) -> None:
    name, _ = KINDS[entity]
    plant(carried, entity, 205, "changed here")
    have = fingerprints({name: "old"})
    carried.map.done(entity, "101", "205", want=have, have=have)
    assert left(carried, entity) == [205]
    assert [(one.entity, one.box, one.box_value, one.decision) for one in carried.map.conflicts()] == [
        (entity, "205", "changed", "box")
    ]
    assert carried.map.find(entity, ["101"])["101"].state is State.KEPT
    assert carried.context.tally.deleted == {}


def test_a_record_of_the_backup_that_the_box_changed_stays(carried: Carried) -> None:
    plant(carried, "lead", 7)
    plant(carried, "lead", 8)
    carried.box.of("lead")[8]["updatedTime"] = AFTER
    assert left(carried, "lead") == [8]
    assert carried.map.find("lead", ["8"])["8"].state is State.KEPT


@pytest.mark.parametrize(("rule", "decision"), [("keep", "box"), ("ask", "open")])
def test_the_rule_may_keep_everything(tmp_path: Path, carried: Carried, rule: str, decision: str) -> None:
    again = Carried(tmp_path, carried.map, deletions=rule)
    plant(again, "lead", 7)
    assert left(again, "lead") == [7]
    [conflict] = again.map.conflicts()
    assert (conflict.box_value, conflict.decision) == ("there", decision)
    assert left(again, "lead") == [7], "kept for good"


def test_what_both_have_is_left_alone_on_every_page(carried: Carried) -> None:
    for number in (*range(1, 101), 150):
        carried.cloud.item("lead", number)
        plant(carried, "lead", number)
    for number in range(101, 221):
        carried.cloud.item("lead", number)
        plant(carried, "lead", number + 1000)
        carried.map.done("lead", str(number), str(number + 1000))
    for number in (60, 99, 101, 219):
        del carried.cloud.of("lead")[number]
    before = set(carried.box.of("lead"))
    assert before - set(left(carried, "lead")) == {60, 99, 1101, 1219}


@pytest.mark.parametrize("state", [State.SENDING, State.KEPT, State.GONE])
def test_only_what_is_certainly_carried_is_deleted(carried: Carried, state: State) -> None:
    plant(carried, "lead", 7)
    plant(carried, "lead", 205)
    carried.map.mark("lead", "7", state, "7")
    carried.map.mark("lead", "101", state, "205")
    assert left(carried, "lead") == [7, 205]


def test_the_box_is_read_before_the_cloud(carried: Carried) -> None:
    order = []
    for name, portal in (("box", carried.box), ("cloud", carried.cloud)):
        portal.before = lambda *_, name=name: order.append(name)
    asyncio.run(sweep(carried.context))
    assert order[:2] == ["box", "cloud"]


def test_a_dry_run_deletes_and_marks_nothing(carried: Carried) -> None:
    plant(carried, "lead", 7)
    plant(carried, "activity", 8)
    carried.context.dry_run = True
    assert left(carried, "lead") == [7]
    assert sorted(carried.box.of("activity")) == [8]
    assert list(carried.map.links("lead")) == []
    assert carried.context.tally.deleted == {"lead": 1, "activity": 1}


def test_a_refused_deletion_is_a_fault_and_done_the_next_time(carried: Carried) -> None:
    plant(carried, "lead", 7)
    carried.box.refuses = {"crm.item.delete"}
    assert left(carried, "lead") == [7]
    [fault] = carried.map.faults()
    assert "refuses to delete" in fault.what
    assert (carried.map.find("lead", ["7"]), carried.context.tally.deleted) == ({}, {})
    carried.box.refuses = set()
    assert left(carried, "lead") == []
    assert carried.map.faults() == []


def test_what_is_deleted_in_the_box_meanwhile_is_gone(carried: Carried) -> None:
    plant(carried, "lead", 7)

    def vanish(method: str, parameters: Mapping[str, Any]) -> None:
        if method == "crm.item.delete":
            carried.box.of("lead").clear()

    carried.box.before = vanish
    assert left(carried, "lead") == []
    assert carried.map.faults() == []
    assert carried.map.find("lead", ["7"])["7"].state is State.GONE


def test_a_kind_that_is_not_listed_deletes_nothing_and_the_others_go_on(carried: Carried) -> None:
    plant(carried, "activity", 7)
    plant(carried, "lead", 7)
    carried.cloud.refuses = {"crm.activity.list"}
    assert left(carried, "activity") == [7]
    assert (carried.context.refused, left(carried, "lead")) == ({"activity": "no"}, [])


def test_a_caller_without_access_ends_the_sweep(carried: Carried) -> None:
    def expired(method: str, parameters: Any) -> None:
        raise AccessError("NO_AUTH_FOUND", "expired", method)

    carried.cloud.before = expired
    with pytest.raises(AccessError):
        asyncio.run(sweep(carried.context))


def test_what_was_never_carried_is_marked_so_that_it_never_is(carried: Carried) -> None:
    carried.box.item("lead", 101)  # another record
    asyncio.run(treat(carried.context, "lead", ["101"]))
    assert sorted(carried.box.of("lead")) == [101]
    assert carried.map.find("lead", ["101"])["101"].state is State.GONE


@pytest.mark.parametrize(("side", "there", "state"), [("cloud", [], State.GONE), ("box", [7], State.KEPT)])
def test_a_persons_decision_about_a_deletion_is_applied_once(
    carried: Carried, side: str, there: list[int], state: State
) -> None:
    plant(carried, "lead", 7)
    carried.map.mark("lead", "7", State.KEPT, "7")
    carried.map.conflict(Conflict("lead", "7", "7", "(record)", "deleted", "there", "open"))
    carried.map.answer("lead", "7", "(record)", side)
    carried.context.decided = {("lead", "7"): carried.map.answers()}
    asyncio.run(apply_answers(carried.context))
    assert sorted(carried.box.of("lead")) == there
    assert carried.map.find("lead", ["7"])["7"].state is state
    assert ([one.decision for one in carried.map.conflicts()], carried.map.answers()) == ([side], [])


def test_a_refused_decision_stays_to_be_applied(carried: Carried) -> None:
    plant(carried, "lead", 7)
    carried.map.conflict(Conflict("lead", "7", "7", "(record)", "deleted", "there", "open"))
    carried.map.answer("lead", "7", "(record)", "cloud")
    carried.context.decided = {("lead", "7"): carried.map.answers()}
    carried.box.refuses = {"crm.item.delete"}
    asyncio.run(apply_answers(carried.context))
    assert (len(carried.map.answers()), carried.context.tally.deleted) == (1, {})


class Events:
    """Offline events in parts, and what was confirmed of them."""

    def __init__(self, *parts: Taken, confirmable: bool = True) -> None:
        self.parts, self.confirmed, self.peeked = parts, [], [0]
        self._confirmable = confirmable

    async def confirmable(self) -> bool:
        return self._confirmable

    async def take(self) -> tuple[Taken, ...]:
        return self.parts

    async def peek(self, last: int) -> Taken:
        self.peeked.append(last)
        return self.parts[0]

    async def confirm(self, taken: Taken) -> None:
        self.confirmed.append(taken)


def heard(carried: Carried, events: Any) -> None:
    async def none(records: Any) -> None:
        """Nothing is carried here."""

    asyncio.run(listen(carried.context, events, dict.fromkeys(["lead", "contact", "comment"], none)))


def test_an_outdated_event_deletes_nothing(carried: Carried) -> None:
    carried.cloud.item("lead", 7)
    plant(carried, "lead", 7)
    plant(carried, "lead", 8)
    heard(carried, Events(Taken([Change("lead", "7", "deleted", None), Change("lead", "8", "deleted", None)])))
    assert sorted(carried.box.of("lead")) == [7]


def test_events_are_confirmed_when_they_are_done_and_not_before(carried: Carried) -> None:
    plant(carried, "lead", 7)
    events = Events(Taken([Change("lead", "7", "deleted", None)]))
    states = []
    carried.box.before = lambda *_: states.append(list(events.confirmed))
    heard(carried, events)
    assert states and not any(states)
    assert events.confirmed == list(events.parts)


def test_a_part_of_the_events_that_fails_is_not_confirmed(carried: Carried) -> None:
    plant(carried, "lead", 7)
    events = Events(Taken([Change("lead", "7", "deleted", None)]))

    def broken(method: str, parameters: Any) -> None:
        raise AccessError("NO_AUTH_FOUND", "expired", method)

    carried.box.before = broken
    with pytest.raises(AccessError):
        heard(carried, events)
    assert events.confirmed == []


def test_where_events_cannot_be_confirmed_the_last_one_is_remembered(carried: Carried) -> None:
    events = Events(Taken([], last=9), confirmable=False)
    heard(carried, events)
    heard(carried, events)
    assert (events.peeked, events.confirmed) == ([0, 0, 9], [])
