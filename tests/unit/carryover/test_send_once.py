"""Marks and barriers of sending, with the connection cut right there."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.entities import LEAD
from encaja.carryover.mapping.identity_map import IdentityMap, State
from encaja.carryover.records import crm_items
from encaja.carryover.records.base import carry
from encaja.carryover.records.comments import carry_checklists, carry_comments, carry_task_comments
from encaja.carryover.records.imports import resolve
from encaja.carryover.records.kinds import record_kinds
from encaja.carryover.records.send_once import resolve_unconfirmed, send_once
from encaja.carryover.source.origins import ORIGINATOR
from encaja.carryover.source.reader import Record
from encaja.rest.command import Command, UncertainError
from support.crm_portals import AFTER, BEFORE, NOON, Carried
from support.virtual_time import clock, run

LEAD_101 = Record("lead", "101", {}, NOON, NOON)
ADD = Command("crm.activity.add", {"fields": {}})


@pytest.fixture
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Carried]:
    monkeypatch.setattr(time, "time", _now)
    with IdentityMap(tmp_path) as identities:
        yield Carried(tmp_path, identities, patience=60)


def _now() -> float:
    try:
        return clock()
    except RuntimeError:  # no loop runs
        return 1000.0


def seen(folder: Path, entity: str) -> dict[str, State]:
    """The states that another process sees: what is committed."""
    with IdentityMap(folder, writer=False) as other:
        return {link.cloud: link.state for link in other.links(entity)}


def lost(*methods: str) -> Any:
    """A hook: the connection breaks at these methods."""

    def hook(method: str, parameters: Mapping[str, Any]) -> None:
        if method in methods:
            raise UncertainError("no answer", "box", [Command(method, parameters)])

    return hook


def test_the_mark_is_durable_before_anything_is_sent(carried: Carried, tmp_path: Path) -> None:
    states = []
    carried.box.before = lambda *_: states.append(seen(tmp_path, "lead"))
    answer = run(send_once(carried.context, LEAD_101, ADD))
    assert answer is not None and answer.result == 101
    assert states == [{"101": State.SENDING}]


def test_a_refused_record_loses_its_mark_and_an_unanswered_one_keeps_it(carried: Carried) -> None:
    carried.box.refuses = {"crm.activity.add"}
    assert run(send_once(carried.context, LEAD_101, ADD)) is None
    assert carried.map.find("lead", ["101"]) == {}
    [fault] = carried.map.faults()
    assert "refuses" in fault.what
    carried.box.refuses = set()
    carried.box.after = lost("crm.activity.add")
    assert run(send_once(carried.context, LEAD_101, ADD)) is None
    assert carried.map.find("lead", ["101"])["101"].state is State.SENDING
    [fault] = carried.map.faults()
    assert "connection was lost" in fault.what


def test_what_may_still_be_worked_on_is_looked_for_until_the_patience_is_over(carried: Carried) -> None:
    async def scene() -> tuple[float, float, list[float]]:
        carried.map.sending("lead", [("101", ""), ("102", "")])
        at, looked = clock(), []

        async def adopt(names: list[str]) -> None:
            assert set(names) <= {"101", "102"}
            looked.append(clock() - at)
            if clock() - at > 30 and "102" in names:  # the box was slow
                carried.map.done("lead", "102", "205")

        await resolve_unconfirmed(carried.context, "lead", adopt)
        return at, clock() - at, looked

    _, seconds, looked = run(scene())
    assert 60 <= seconds < 62 and looked[-1] >= 60, "it was looked for once more when the patience was over"
    found = carried.map.find("lead", ["101", "102"])
    assert {name: link.state for name, link in found.items()} == {"102": State.DONE}


def test_what_is_waited_for_is_told_until_it_is_over(carried: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(carried.box, "on_wait", told.append)

    async def scene() -> None:
        carried.map.sending("lead", [("101", ""), ("102", "")])

        async def adopt(_: list[str]) -> None:
            """Finds nothing."""

        await resolve_unconfirmed(carried.context, "lead", adopt)

    run(scene())
    assert told[-1] == "" and len(told) > 2
    assert all("2 records whose connection was lost" in text for text in told[:-1])


def test_the_patience_begins_with_the_last_that_was_sent(carried: Carried) -> None:
    async def scene() -> float:
        carried.map.sending("lead", [("101", "")])
        began = clock()

        async def adopt(names: list[str]) -> None:
            if names == ["101"] and clock() - began > 40:
                carried.map.sending("lead", [("102", "")])

        await resolve_unconfirmed(carried.context, "lead", adopt)
        return clock() - began

    assert 100 <= run(scene()) < 102


def test_nothing_is_waited_for_once_all_is_found(carried: Carried) -> None:
    async def scene() -> float:
        carried.map.sending("lead", [("101", "")])
        began = clock()

        async def adopt(names: list[str]) -> None:
            carried.map.done("lead", "101", "205")

        await resolve_unconfirmed(carried.context, "lead", adopt)
        return clock() - began

    assert run(scene()) < 1


def comment(number: int, created: str = AFTER) -> dict[str, Any]:
    return {
        "ID": number, "ENTITY_TYPE": "lead", "ENTITY_ID": 7, "COMMENT": "hello", "AUTHOR_ID": 2, "CREATED": created,
    }  # fmt: skip


def record(entity: str, row: dict[str, Any]) -> Record:
    return Record(entity, str(row["ID"]), row, NOON, NOON)


def test_a_comment_whose_answer_was_lost_is_looked_for_only_when_the_box_has_ended(carried: Carried) -> None:
    async def scene() -> None:
        carried.both("lead", 7, 7)
        carried.map.sending("comment", [("11", "")])
        at = clock()

        def late(method: str, parameters: Mapping[str, Any]) -> None:
            if clock() - at >= 60:
                carried.box.of("comment").setdefault(501, comment(501))

        carried.box.before = late
        await carry_comments(carried.context, [record("comment", comment(11))])

    run(scene())
    assert carried.box.log == [], "it is in the box already"
    assert carried.map.box_id("comment", "11") == "501"


def test_equal_comments_are_as_many_in_the_box_as_in_the_cloud(carried: Carried) -> None:
    carried.both("lead", 7, 7)
    carried.box.of("comment")[501] = comment(501)  # the first was sent before
    run(carry_comments(carried.context, [record("comment", comment(number)) for number in (11, 12, 13)]))
    assert sorted(carried.box.of("comment")) == [501, 502, 503]
    assert [carried.map.box_id("comment", str(number)) for number in (11, 12, 13)] == ["501", "502", "503"]
    run(carry_comments(carried.context, [record("comment", comment(number)) for number in (11, 12, 13)]))
    assert len(carried.box.of("comment")) == 3


def test_a_comment_with_the_same_words_by_another_is_another(carried: Carried) -> None:
    carried.both("lead", 7, 7)
    carried.box.of("comment")[501] = comment(501) | {"AUTHOR_ID": 1, "CREATED": BEFORE}
    run(carry_comments(carried.context, [record("comment", comment(11))]))
    assert carried.map.box_id("comment", "11") == "502"


def test_the_mark_of_a_comment_is_durable_before_it_is_sent(carried: Carried, tmp_path: Path) -> None:
    carried.both("lead", 7, 7)
    states = []

    def look(method: str, parameters: Mapping[str, Any]) -> None:
        if method == "crm.timeline.comment.add":
            states.append(seen(tmp_path, "comment"))

    carried.box.before = look
    run(carry_comments(carried.context, [record("comment", comment(11))]))
    assert states == [{"11": State.SENDING}]


def test_a_tasks_comment_and_checklist_are_looked_for_only_when_the_box_has_ended(carried: Carried) -> None:
    remark = {"ID": 11, "TASK_ID": 7, "POST_MESSAGE": "hello", "AUTHOR_ID": 2, "POST_DATE": AFTER}
    item = {"ID": 21, "TASK_ID": 7, "TITLE": "buy", "IS_COMPLETE": "N", "SORT_INDEX": 1, "PARENT_ID": 0}

    async def scene() -> None:
        carried.map.sending("task_comment", [("11", "")])
        carried.map.sending("checklist", [("21", "")])
        at = clock()

        def late(method: str, parameters: Mapping[str, Any]) -> None:
            if clock() - at >= 60:
                carried.box.of("task_comment").setdefault(501, remark | {"ID": 501})
                carried.box.of("checklist").setdefault(601, item | {"ID": 601})

        carried.box.before = late
        await carry_checklists(carried.context, [record("checklist", item)])
        assert clock() - at >= 60
        await carry_task_comments(carried.context, [record("task_comment", remark)])

    run(scene())
    assert carried.box.log == []


def test_the_mark_of_a_checklists_item_is_durable_before_it_is_sent(carried: Carried, tmp_path: Path) -> None:
    item = {"ID": 21, "TASK_ID": 7, "TITLE": "buy", "IS_COMPLETE": "N", "SORT_INDEX": 1, "PARENT_ID": 0}
    states = []

    def look(method: str, parameters: Mapping[str, Any]) -> None:
        if method == "task.checklistitem.add":
            states.append(seen(tmp_path, "checklist"))

    carried.box.before = look
    run(carry_checklists(carried.context, [record("checklist", item)]))
    assert states == [{"21": State.SENDING}]
    assert carried.map.find("checklist", ["21"]) == {}


def leads(carried: Carried, *numbers: int, **fields: Any) -> list[Record]:
    for number in numbers:
        carried.cloud.item("lead", number, **fields)
    return run(carried.context.reader.fetch("lead", [str(number) for number in numbers]))


def test_every_import_is_marked_durably_before_it_is_sent(carried: Carried, tmp_path: Path) -> None:
    sent = []

    def look(method: str, parameters: Mapping[str, Any]) -> None:
        if method == "crm.item.batchImport":
            states = seen(tmp_path, "lead")
            sent.append([states.get(str(one["originId"])) for one in parameters["data"]])

    carried.box.before = look
    run(crm_items.carry(carried.context, LEAD, leads(carried, *range(101, 146), title="x")))
    assert sent == [[State.SENDING] * 20, [State.SENDING] * 20, [State.SENDING] * 5]
    assert {link.state for link in carried.map.links("lead")} == {State.DONE}


class FullDisk:
    """The identity map's connection, whose disk takes nothing more from the n-th write on."""

    def __init__(self, connection: Any, left: int) -> None:
        self._connection, self.left = connection, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        self._write(sql)
        return self._connection.execute(sql, *values)

    def executemany(self, sql: str, values: Any) -> Any:
        self._write(sql)
        return self._connection.executemany(sql, values)

    def _write(self, sql: str) -> None:
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "REPLACE", "COMMIT")):
            self.left -= 1
            if self.left <= 0:
                raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.fault("disk full", "carry-over", "at every write of the identity map")
def test_a_disk_that_is_full_at_any_write_costs_no_record_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", _now)
    full = 0
    for left in range(1, 300):
        with IdentityMap(tmp_path / f"{left}") as identities:
            carried = Carried(tmp_path / f"{left}", identities, patience=60)
            records = leads(carried, *range(101, 126), title="x")
            connection = identities._db
            identities._db = FullDisk(connection, left)  # type: ignore[assignment]
            with suppress(sqlite3.OperationalError):
                run(crm_items.carry(carried.context, LEAD, records))
            is_full = identities._db.left <= 0  # type: ignore[attr-defined]
            identities._db = connection
        with IdentityMap(tmp_path / f"{left}") as again:  # by another process
            later = Carried(tmp_path / f"{left}", again, patience=60)
            later.cloud.rows_of, later.box.rows_of = carried.cloud.rows_of, carried.box.rows_of
            run(crm_items.carry(later.context, LEAD, records))
            origins = [row["originId"] for row in later.box.of("lead").values()]
            assert sorted(origins) == [str(number) for number in range(101, 126)], left
            assert len({link.box for link in again.links("lead", State.DONE)}) == 25, left
        if not is_full:
            break
        full += 1
    assert full > 5, "it writes more often than that: the writes are not counted"


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.fault("answer lost", "carry-over", "to an import of many records, done or not")
def test_an_import_whose_answer_was_lost_is_neither_lost_nor_doubled(carried: Carried, arrived: bool) -> None:
    records = leads(carried, *range(101, 146), title="x")
    if arrived:
        carried.box.after = lost("crm.item.batchImport")
    else:
        carried.box.before = lost("crm.item.batchImport")
    run(crm_items.carry(carried.context, LEAD, records))
    assert len(carried.box.of("lead")) == (45 if arrived else 0)
    carried.box.after = carried.box.before = lost()
    run(crm_items.carry(carried.context, LEAD, records))
    origins = [row["originId"] for row in carried.box.of("lead").values()]
    assert sorted(origins) == [str(number) for number in range(101, 146)]
    assert len({link.box for link in carried.map.links("lead", State.DONE)}) == 45


@pytest.mark.fault("kill -9: host tool", "carry-over", "between a record and its note")
def test_a_killed_process_left_a_record_in_the_box_that_the_map_does_not_know(carried: Carried) -> None:
    carried.box.item("lead", 205, title="x", originatorId=ORIGINATOR, originId="101")
    run(crm_items.carry(carried.context, LEAD, leads(carried, 101, title="x")))
    assert list(carried.box.of("lead")) == [205]
    assert carried.map.box_id("lead", "101") == "205"


def test_a_double_in_the_box_is_a_fault_of_its_record(carried: Carried) -> None:
    for box in (205, 206):
        carried.box.item("lead", box, title="x", originatorId=ORIGINATOR, originId="101")
    carried.map.sending("lead", [("101", "")])
    run(resolve(carried.context, LEAD))
    [fault] = carried.map.faults()
    assert "is in the box twice: 205 and 206" in fault.what


def test_of_equal_twins_of_another_system_each_has_its_own_counterpart(carried: Carried) -> None:
    twins = leads(carried, 101, 102, title="x", originatorId="1C", originId="9")
    carried.box.item("lead", 205, title="x", originatorId="1C", originId="9")
    carried.box.item("lead", 204, title="x", originatorId="1C", originId="9", createdTime=BEFORE)
    run(crm_items.carry(carried.context, LEAD, twins))
    assert carried.map.box_id("lead", "101") == "205"
    assert carried.map.box_id("lead", "102") == "206"
    assert sorted(carried.box.of("lead")) == [204, 205, 206]


def test_an_activity_in_the_box_is_found_by_its_mark_and_is_no_one_elses(carried: Carried) -> None:
    for portal in (carried.cloud, carried.box):
        portal.item("company", 1)
    fields = {"SUBJECT": "Call", "TYPE_ID": 2, "OWNER_TYPE_ID": 4, "OWNER_ID": 1, "CREATED": AFTER}
    kind = record_kinds(carried.context)[2]
    records = [Record("activity", str(number), fields | {"ID": number}, NOON, NOON) for number in (101, 102)]
    carried.box.plant("activity", 205, **fields, ORIGINATOR_ID=ORIGINATOR, ORIGIN_ID="101")
    states = []

    def look(method: str, parameters: Mapping[str, Any]) -> None:
        if method == "crm.activity.add":
            states.append(carried.map.find("activity", ["102"])["102"].state)

    carried.box.before = look
    run(carry(kind, records))
    assert [carried.map.box_id("activity", name) for name in ("101", "102")] == ["205", "206"]
    assert states == [State.SENDING]
    assert carried.map.times_to_set()[0][:2] == ("activity", "206")
