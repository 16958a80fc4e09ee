"""Files in fields: marked before they are written, compared by what they were, and nobody's to be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.carryover.mapping.canonical import fingerprints
from encaja.carryover.mapping.entities import LEAD
from encaja.carryover.mapping.identity_map import IdentityMap, State
from encaja.carryover.records.file_fields import ENTITY, carry_files, identifiers
from encaja.rest.command import Command, UncertainError
from encaja.rest.errors import RefusedError
from support.crm_portals import Carried

KEY = "lead:101:ufCrmPlan"


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    with IdentityMap(tmp_path) as identities:
        made = Carried(tmp_path, identities)
        made.both("lead", 101, 205)
        made.map.done("lead", "101", "205")
        made.cloud.of("lead")[101]["ufCrmPlan"] = {"id": 9, "urlMachine": "/file/9"}

        async def fetch(address: str, target: Path, **_: Any) -> Any:
            target.write_bytes(f"content of {address}".encode())
            return SimpleNamespace(name="plan.pdf", size=target.stat().st_size)

        made.cloud.fetch = fetch  # type: ignore[attr-defined]
        yield made


def carry(carried: Carried) -> None:
    records = asyncio.run(carried.context.reader.fetch("lead", ["101"]))
    asyncio.run(carry_files(carried.context, LEAD, records))


def state(carried: Carried) -> State | None:
    link = carried.map.find(ENTITY, [KEY]).get(KEY)
    return link.state if link else None


def takes(carried: Carried, number: int) -> None:
    """The box stores what is written into the field as a file with this identifier."""
    update = carried.box._item

    def store(verb: str, given: dict[str, Any]) -> Any:
        if verb == "update" and given["fields"].get("ufCrmPlan"):
            given = {**given, "fields": {"ufCrmPlan": {"id": number}}}
        return update(verb, given)

    carried.box._item = store  # type: ignore[method-assign]


def test_identifiers_are_what_is_compared() -> None:
    assert identifiers({"id": 9}) == ["9"]
    assert identifiers([{"ID": 9}, {"id": "10"}, "x", {}]) == ["9", "10"]
    assert identifiers([]) is identifiers("") is identifiers(None) is None


def test_files_are_marked_before_they_are_written_and_remembered_with_both_sides(carried: Carried) -> None:
    takes(carried, 77)
    seen: list[State | None] = []

    def look(method: str, _: Mapping[str, Any]) -> None:
        if method == "crm.item.update":
            seen.append(state(carried))

    carried.box.before = look
    carry(carried)
    assert seen == [State.SENDING]
    [sent] = [given for method, given in carried.box.log if method == "crm.item.update"]
    assert sent["id"] == 205 and sent["fields"]["ufCrmPlan"][0] == "plan.pdf"
    link = carried.map.find(ENTITY, [KEY])[KEY]
    assert (link.state, link.want, link.have) == (
        State.DONE, fingerprints({"files": ["9"]}), fingerprints({"files": ["77"]}),
    )  # fmt: skip
    carried.box.log.clear()
    carry(carried)
    assert carried.box.log == [], "the same files are not sent twice"


def test_a_lost_answer_leaves_the_mark_and_the_files_are_written_again(carried: Carried) -> None:
    takes(carried, 77)

    def lost(method: str, given: Mapping[str, Any]) -> None:
        if method == "crm.item.update":
            raise UncertainError("no answer", "box", [Command(method, given)])

    carried.box.after = lost
    carry(carried)
    assert state(carried) is State.SENDING
    assert [fault.cloud for fault in carried.map.faults()] == [KEY]
    carried.box.after = lambda *_: None
    carry(carried)
    assert state(carried) is State.DONE
    assert carried.map.faults() == []


def test_what_the_box_refuses_and_what_the_cloud_does_not_give_is_a_fault(carried: Carried) -> None:
    carried.box.refuses = {"crm.item.update"}
    carry(carried)
    [fault] = carried.map.faults()
    assert "refuses the files" in fault.what

    async def gone(*_: Any, **__: Any) -> Any:
        raise RefusedError("", "HTTP 404", "download")

    carried.box.refuses, carried.cloud.fetch = set(), gone  # type: ignore[attr-defined]
    carry(carried)
    [fault] = carried.map.faults()
    assert "file 9 could not be fetched: HTTP 404" in fault.what
    assert carried.box.of("lead")[205].get("ufCrmPlan") is None


def test_a_file_that_was_changed_in_the_box_stays_unless_the_cloud_changed_it_too(carried: Carried) -> None:
    takes(carried, 77)
    carry(carried)
    carried.box.of("lead")[205]["ufCrmPlan"] = {"id": 78}
    carried.box.log.clear()
    carry(carried)
    assert carried.box.log == []
    carried.cloud.of("lead")[101]["ufCrmPlan"] = {"id": 10, "urlMachine": "/file/10"}
    carry(carried)
    assert [one.decision for one in carried.map.conflicts()] == ["cloud"]


def test_nothing_is_fetched_for_a_record_that_is_not_in_the_box(carried: Carried) -> None:
    carried.map.mark("lead", "101", State.GONE)
    carry(carried)
    assert (carried.box.log, state(carried)) == ([], None)
