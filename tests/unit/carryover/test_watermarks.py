"""Up to which identifier both portals have the same records: everything that is carried or proved stands on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.source.watermarks import _PAGES, find_watermarks
from encaja.errors import EncajaError
from encaja.rest.command import Answer, Command
from encaja.rest.errors import RefusedError

AT = "2026-11-20T10:00:00+00:00"


class Portal:
    """Lists the newest first, fifty at a time; ``rows`` are its records by kind and identifier."""

    where = "https://box.test"

    def __init__(self, **rows: dict[int, dict[str, Any]]) -> None:
        self.rows, self.requests = rows, 0
        self.refuses: set[str] = set()

    def _kind(self, command: Command) -> str:
        types = {4: "company", 3: "contact", 1: "lead", 2: "deal"}
        if "entityTypeId" in command.parameters:
            return types[command.parameters["entityTypeId"]]
        return {
            "crm.activity.list": "activity",
            "crm.requisite.list": "requisite",
            "crm.requisite.bankdetail.list": "bank_detail",
            "tasks.task.list": "task",
        }[command.method]

    async def batch(self, commands: Sequence[Command]) -> list[Answer]:
        self.requests += 1
        return [self._answer(command) for command in commands]

    def _answer(self, command: Command) -> Answer:
        kind = self._kind(command)
        if kind in self.refuses:
            return Answer(command, error=RefusedError("", "no such kind", command.method))
        found = sorted(self.rows.get(kind, {}).items(), reverse=True)
        for name, value in command.parameters["filter"].items():
            if name.startswith("<"):
                found = [(number, row) for number, row in found if number < value]
            else:
                found = [(number, row) for number, row in found if number in value]
        page = [{**row, "id": number, "ID": number} for number, row in found[:50]]
        if command.method == "crm.item.list":
            return Answer(command, {"items": page})
        return Answer(command, {"tasks": page} if kind == "task" else page)


@pytest.fixture
def identities(tmp_path: Path) -> Iterator[IdentityMap]:
    with IdentityMap(tmp_path) as opened:
        yield opened


def lead(created: str = AT, by: int = 1) -> dict[str, Any]:
    return {"createdTime": created, "createdBy": by}


def found(identities: IdentityMap, cloud: Portal, box: Portal) -> dict[str, int]:
    one: Any = cloud
    other: Any = box
    asyncio.run(find_watermarks(one, other, identities))
    return {kind: identities.watermark(kind) for kind in ("company", "lead", "deal", "activity", "task")}


def test_it_is_the_newest_record_that_both_have(identities: IdentityMap) -> None:
    box = Portal(lead={number: lead() for number in range(1, 101)} | {101: lead(by=2), 102: lead()})
    cloud = Portal(lead={number: lead() for number in range(1, 102)})
    assert found(identities, cloud, box) == {"company": 0, "lead": 100, "deal": 0, "activity": 0, "task": 0}


@pytest.mark.parametrize(
    ("in_box", "same"),
    [
        (lead(), True),
        (lead("2026-11-20T11:00:00+01:00"), True),
        (lead("2026-11-20T10:00:00+03:00"), True),  # the same clock on the wall, of a database in another zone
        (lead("2026-11-20T10:00:01+00:00"), False),
        (lead(by=2), False),
    ],
)
def test_one_record_is_known_by_its_time_and_its_author(
    identities: IdentityMap, in_box: dict[str, Any], same: bool
) -> None:
    box = Portal(lead={7: lead(), 8: in_box})
    cloud = Portal(lead={7: lead(), 8: lead()})
    assert found(identities, cloud, box)["lead"] == (8 if same else 7)


def test_records_made_in_the_box_may_be_pages_of_them(identities: IdentityMap) -> None:
    own = {number: lead(by=9) for number in range(101, 280)}
    box = Portal(lead={number: lead() for number in range(1, 101)} | own)
    cloud = Portal(lead={number: lead() for number in range(1, 200)})
    assert found(identities, cloud, box)["lead"] == 100


def test_each_kind_has_its_own(identities: IdentityMap) -> None:
    activity = {"CREATED": AT, "AUTHOR_ID": 1, "TYPE_ID": 2}
    task = {"createdDate": AT, "createdBy": 1}
    box = Portal(activity={5: activity, 6: activity | {"TYPE_ID": 1}}, task={9: task}, deal={3: lead()})
    cloud = Portal(activity={5: activity, 6: activity}, task={9: task}, deal={3: lead(), 4: lead()})
    assert found(identities, cloud, box) == {"company": 0, "lead": 0, "deal": 3, "activity": 5, "task": 9}


def test_what_is_known_is_not_asked_again(identities: IdentityMap) -> None:
    box = Portal(lead={7: lead()})
    assert found(identities, Portal(lead={7: lead()}), box)["lead"] == 7
    asked = box.requests
    box.rows["lead"][8] = lead()
    assert found(identities, Portal(lead={7: lead(), 8: lead()}), box)["lead"] == 7
    assert box.requests == asked


def test_a_box_of_another_cloud_is_told(identities: IdentityMap) -> None:
    box = Portal(lead={number: lead(by=2) for number in range(1, 50 * _PAGES + 60)})
    cloud = Portal(lead={number: lead() for number in range(1, 50 * _PAGES + 60)})
    with pytest.raises(EncajaError, match=rf"none of the newest {50 * _PAGES} of the box \(lead\) is from this cloud"):
        found(identities, cloud, box)
    assert identities.note("watermark:lead") is None


def test_a_kind_that_a_portal_does_not_have_is_left_out_and_leads_it_must_have(identities: IdentityMap) -> None:
    box, cloud = Portal(lead={7: lead()}), Portal(lead={7: lead()})
    box.refuses = {"task"}
    assert found(identities, cloud, box)["lead"] == 7
    assert identities.note("watermark:task") is None, "it is asked again the next time"
    cloud.refuses = {"deal"}
    box.rows["deal"] = {1: lead()}
    identities.remember("watermark:deal", None)
    box.refuses = {"deal"}
    with pytest.raises(RefusedError, match="no such kind"):
        found(identities, cloud, box)
