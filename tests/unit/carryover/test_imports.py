"""Imports: what is sent, in which order, and what becomes of an item that the box refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.canonical import fingerprints
from encaja.carryover.mapping.entities import LEAD
from encaja.carryover.mapping.identity_map import IdentityMap, State
from encaja.carryover.records import crm_items
from encaja.carryover.records.imports import add, adopt
from encaja.carryover.source.origins import ORIGINATOR
from encaja.carryover.source.reader import Record
from support.crm_portals import AFTER, BEFORE, Carried


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    with IdentityMap(tmp_path) as identities:
        yield Carried(tmp_path, identities)


def at(hour: int, minute: int = 0) -> str:
    return f"2026-11-26T{hour}:{minute:02}:00+00:00"


def records(carried: Carried, *numbers: int) -> list[Record]:
    return asyncio.run(carried.context.reader.fetch("lead", [str(number) for number in numbers]))


def imported(carried: Carried) -> list[list[dict[str, Any]]]:
    return [list(given["data"]) for method, given in carried.box.log if method == "crm.item.batchImport"]


def carry(carried: Carried, *numbers: int) -> list[dict[str, Any]]:
    """Carry leads; what was imported, one after another."""
    asyncio.run(crm_items.carry(carried.context, LEAD, records(carried, *numbers)))
    return [one for part in imported(carried) for one in part]


def test_items_go_the_oldest_first_twenty_at_a_time(carried: Carried) -> None:
    numbers = list(range(101, 146))
    for number in numbers:
        carried.cloud.item("lead", number, createdTime=at(20, (146 - number) // 2), updatedTime=at(21))
    sent = carry(carried, *numbers)
    assert [len(part) for part in imported(carried)] == [20, 20, 5]
    order = [(one["createdTime"], int(one["originId"])) for one in sent]
    assert order == sorted(order)


def test_an_item_has_its_times_authors_and_origin(carried: Carried) -> None:
    given: dict[str, Any] = {"createdTime": at(13), "updatedTime": at(15), "movedTime": at(14)}
    given |= dict.fromkeys(("createdBy", "updatedBy", "movedBy"), 2)
    carried.cloud.item("lead", 101, title="t", **given)
    [sent] = carry(carried, 101)
    assert {name: sent[name] for name in given} == given
    assert (sent["originatorId"], sent["originId"], sent["title"]) == (ORIGINATOR, "101", "t")
    assert "opportunity" not in sent, "what is empty is not sent"


@pytest.mark.parametrize(("moved", "kept"), [(at(12, 59), False), (at(13), True), (at(15), True), (at(15, 1), False)])
def test_a_stage_was_reached_within_an_items_life(carried: Carried, moved: str, kept: bool) -> None:
    carried.cloud.item("lead", 101, createdTime=at(13), updatedTime=at(15), movedTime=moved)
    [sent] = carry(carried, 101)
    assert (sent.get("movedTime") == moved) is kept


def test_an_item_that_was_changed_before_it_was_made_has_no_time_of_a_change(carried: Carried) -> None:
    carried.cloud.item("lead", 101, createdTime=at(15), updatedTime=at(13))
    [sent] = carry(carried, 101)
    assert "updatedTime" not in sent and sent["createdTime"] == at(15)


def test_an_author_without_a_counterpart_is_replaced_and_told_and_who_changed_it_left_out(carried: Carried) -> None:
    carried.cloud.item("lead", 101, createdBy=9, updatedBy=9)
    [sent] = carry(carried, 101)
    assert sent["createdBy"] == 1 and "updatedBy" not in sent
    [fault] = carried.map.faults()
    assert "its author #9 is not in the box" in fault.what


def test_the_origin_of_another_system_is_kept(carried: Carried) -> None:
    carried.cloud.item("lead", 101, originatorId="1C", originId="9")
    [sent] = carry(carried, 101)
    assert (sent["originatorId"], sent["originId"]) == ("1C", "9")
    assert carried.map.find("lead", ["101"])["101"].state is State.DONE


def test_an_item_that_the_box_refuses_is_a_fault_and_not_marked_and_the_others_arrive(carried: Carried) -> None:
    for number in (101, 102, 103):
        carried.cloud.item("lead", number, title=f"{number}")
    carried.box.refuses_item = lambda item: "E: no such field" if item["originId"] == "102" else ""
    carry(carried, 101, 102, 103)
    assert {link.cloud: link.state for link in carried.map.links("lead")} == {"101": State.DONE, "103": State.DONE}
    [fault] = carried.map.faults()
    assert (fault.cloud, fault.what) == ("102", "the box refuses it: E: no such field")
    assert carried.context.tally.new == {"lead": 2}
    carried.box.refuses_item = lambda _: ""
    carry(carried, 102)
    assert (carried.map.box_id("lead", "102") is not None, carried.map.faults()) == (True, [])


def test_an_item_whose_time_is_refused_is_sent_without_it_and_its_time_is_to_be_set(carried: Carried) -> None:
    for number in (101, 102):
        carried.cloud.item("lead", number, title=f"{number}", createdBy=2)
    carried.box.refuses_item = lambda item: (
        "CRM_FIELD_ERROR_VALUE_NOT_VALID: x" if item["originId"] == "102" and "createdTime" in item else ""
    )
    carry(carried, 101, 102)
    first, second = imported(carried)
    assert [one["originId"] for one in first] == ["101", "102"]
    assert [(one["originId"], "createdTime" in one, "updatedTime" in one) for one in second] == [("102", False, False)]
    box = carried.map.box_id("lead", "102")
    assert carried.map.times_to_set() == [("lead", box, AFTER, "2")]
    assert carried.map.faults() == []


def test_an_answer_with_another_number_of_items_is_no_answer(carried: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (101, 102):
        carried.cloud.item("lead", number, title=f"{number}")
    call = carried.box.call

    async def short(method: str, parameters: Any = None, *, safe: bool = True) -> Any:
        answer = await call(method, parameters, safe=safe)
        if method == "crm.item.batchImport":
            answer.result["items"].pop(0)
        return answer

    monkeypatch.setattr(carried.box, "call", short)
    carry(carried, 101, 102)
    found = {link.cloud: carried.box.of("lead")[int(link.box)]["title"] for link in carried.map.links("lead")}
    assert found == {"101": "101", "102": "102"}, "they were looked up by their origin, not taken by their place"


def test_what_the_import_did_not_take_is_written_again_and_remembered_as_the_box_has_it(carried: Carried) -> None:
    carried.cloud.item("lead", 101, title="t", stageId="WON")
    made = carried.box._made

    def lossy(entity: str, fields: Any) -> int:
        return made(entity, {**fields, "stageId": "NEW"})

    carried.box._made = lossy  # type: ignore[method-assign]
    carry(carried, 101)
    [update] = [given for method, given in carried.box.log if method == "crm.item.update"]
    assert update["fields"] == {"stageId": "WON"}
    link = carried.map.find("lead", ["101"])["101"]
    values = {"title": "t", "stageId": "WON", "assignedById": "1", "fm": None}
    assert {name: link.have[name] for name in values} == fingerprints(values)
    assert link.want == link.have


def test_a_dry_run_sends_nothing_and_lists_what_is_new(carried: Carried) -> None:
    carried.cloud.item("lead", 101, title="t")
    carried.context.dry_run = True
    assert carry(carried, 101) == []
    assert carried.box.log == []
    assert [(one["what"], one["cloud"]) for one in carried.context.preview] == [("new", "101")]
    assert carried.context.tally.new == {"lead": 1}


def test_one_that_was_carried_meanwhile_is_not_imported_again(carried: Carried) -> None:
    carried.cloud.item("lead", 101, title="t")
    carried.map.done("lead", "101", "205")
    asyncio.run(add(carried.context, LEAD, records(carried, 101)))
    assert imported(carried) == []


def test_a_deleted_or_kept_record_is_not_carried_again(carried: Carried) -> None:
    for number, state in ((101, State.GONE), (102, State.KEPT)):
        carried.cloud.item("lead", number, title="t")
        carried.map.mark("lead", str(number), state)
    assert carry(carried, 101, 102) == []


def test_a_foreign_twin_that_someone_else_is_or_that_was_made_at_another_time_is_not_adopted(carried: Carried) -> None:
    carried.cloud.item("lead", 101, originatorId="1C", originId="9")
    carried.box.item("lead", 205, originatorId="1C", originId="9", createdTime=BEFORE)
    carried.box.item("lead", 206, originatorId="1C", originId="9")
    carried.map.done("lead", "77", "206")
    assert asyncio.run(adopt(carried.context, LEAD, ["101"], {})) == set()
    carried.box.item("lead", 207, originatorId="1C", originId="9")
    assert asyncio.run(adopt(carried.context, LEAD, ["101"], {})) == {"101"}
    assert carried.map.box_id("lead", "101") == "207"
    assert carried.map.find("lead", ["101"])["101"].want == {}, "all differences are written when it is carried"
