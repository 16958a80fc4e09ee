"""What is read as changed: times, links, what belongs to what, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.canonical import moment
from encaja.carryover.source.reader import Reader, Record
from encaja.rest.errors import RefusedError
from support.fake_cloud import FakeCloud
from support.virtual_time import run

SINCE = datetime(2026, 11, 26, 10, 0, 0, tzinfo=UTC)


def deal(number: int, minutes: int = 1, **more: Any) -> dict[str, Any]:
    at = (SINCE + timedelta(minutes=minutes)).isoformat()
    return {"id": number, "title": f"deal {number}", "createdTime": at, "updatedTime": at, "contactId": 0, **more}


class Items:
    """crm.item.list of a fake portal."""

    @staticmethod
    def _newer(row: dict[str, Any], filters: dict[str, Any]) -> bool:
        times = [
            (moment(row.get(field)), moment(filters.get(f">={field}"))) for field in ("updatedTime", "lastActivityTime")
        ]
        return all(since is None or (at is not None and at >= since) for at, since in times)

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, given: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(given)
        filters = given.get("filter", {})
        found = self.rows
        either = [filters["0"][number] for number in "01"] if "0" in filters else [filters]
        found = [row for row in found if any(self._newer(row, one) for one in either)]
        after, upto = int(filters.get(">id") or 0), int(filters.get("<=id") or 10**9)
        found = sorted((row for row in found if after < row["id"] <= upto), key=lambda row: row["id"])
        return {"items": [dict(row) for row in (found[::-1] if given["order"]["id"] == "DESC" else found)[:50]]}


def read(cloud: FakeCloud, folder: Path, scene: Callable[[Reader], Any]) -> Any:
    async def all_of_it() -> Any:
        async with cloud.portal(folder) as portal:
            found = scene(Reader(portal))
            if hasattr(found, "__aiter__"):
                return [record async for page in found for record in page]
            return await found

    return run(all_of_it())


def test_changed_items_come_with_their_links_and_times(tmp_path: Path) -> None:
    cloud = FakeCloud()
    items = Items(deal(1, -5), deal(2, contactId=7), deal(3), deal(4, contactId=8, contactIds=[8, 9]))
    cloud.methods["crm.item.list"] = items
    cloud.methods["crm.deal.contact.items.get"] = lambda _: [{"CONTACT_ID": 7}, {"CONTACT_ID": "70"}]
    records = read(cloud, tmp_path, lambda reader: reader.changed("deal", SINCE))
    assert [(record.entity, record.id) for record in records] == [("deal", "2"), ("deal", "3"), ("deal", "4")]
    assert [record.fields["contactIds"] for record in records] == [[7, 70], [], [8, 9]]
    assert records[0].created == records[0].modified == SINCE + timedelta(minutes=1)
    assert items.asked[0]["entityTypeId"] == "2"
    assert moment(items.asked[0]["filter"][">=updatedTime"]) == SINCE
    asked = [method for method, _ in cloud.log if method != "crm.item.list"]
    assert asked == ["crm.deal.contact.items.get"], "only where a list leaves it out and there can be some"


def test_requisite_that_was_made_and_changed_comes_once(tmp_path: Path) -> None:
    cloud = FakeCloud()
    made = {"ID": "1", "DATE_CREATE": "2026-11-26T11:00:00+01:00", "DATE_MODIFY": ""}
    both = {"ID": "2", "DATE_CREATE": "2026-11-26T11:00:00+01:00", "DATE_MODIFY": "2026-11-26T11:30:00+01:00"}

    def listed(given: dict[str, Any]) -> list[dict[str, Any]]:
        rows = [both] if ">=DATE_MODIFY" in given["filter"] else [made, both]
        return FakeCloud.listed(rows, given)

    cloud.methods["crm.requisite.list"] = listed
    records = read(cloud, tmp_path, lambda reader: reader.changed("requisite", SINCE))
    assert sorted(record.id for record in records) == ["1", "2"]
    assert {record.id: record.modified for record in records} == {
        "1": SINCE, "2": SINCE + timedelta(minutes=30),
    }  # fmt: skip


def test_comments_of_records_with_a_new_activity_are_read_page_by_page(tmp_path: Path) -> None:
    cloud = FakeCloud()
    old, busy = deal(1, -60), deal(2, -60, lastActivityTime=(SINCE + timedelta(minutes=5)).isoformat())
    cloud.methods["crm.item.list"] = lambda given: (
        Items(old, busy)(given) if given["entityTypeId"] == "2" else {"items": []}
    )
    comments = [
        {"ID": str(n), "ENTITY_ID": "2", "COMMENT": f"c{n}", "CREATED": (SINCE + timedelta(minutes=n - 3)).isoformat()}
        for n in range(1, 61)
    ]
    asked: list[Any] = []

    def listed(given: dict[str, Any]) -> dict[str, Any]:
        asked.append((given["filter"]["ENTITY_TYPE"], given["filter"]["ENTITY_ID"], int(given["start"])))
        return {"result": comments[int(given["start"]) :][:50]}

    cloud.methods["crm.timeline.comment.list"] = lambda given: listed(given)["result"]
    cloud.next["crm.timeline.comment.list"] = lambda given: 50 if int(given["start"]) == 0 else None
    records = read(cloud, tmp_path, lambda reader: reader.changed("comment", SINCE))
    assert asked == [("deal", "2", 0), ("deal", "2", 50)]
    assert [record.id for record in records] == [str(n) for n in range(3, 61)], "those of the backup are not reported"


def test_product_rows_of_a_page_of_deals_take_one_request(tmp_path: Path) -> None:
    cloud = FakeCloud()
    rows = [{"id": n, "ownerId": 1 + n % 3, "sort": 30 - n} for n in range(1, 11)]
    seen: list[dict[str, Any]] = []

    def listed(given: dict[str, Any]) -> dict[str, Any]:
        seen.append(given["filter"])
        return {"productRows": [row for row in rows if row["id"] > int(given["filter"].get(">id") or 0)]}

    cloud.methods["crm.item.productrow.list"] = listed
    owners = [Record("deal", str(n), {}, SINCE, SINCE) for n in range(1, 5)]
    records = read(cloud, tmp_path, lambda reader: reader.belonging("product_rows", owners))
    assert [(record.id, [row["id"] for row in record.fields["rows"]]) for record in records] == [
        ("D:1", [9, 6, 3]), ("D:2", [10, 7, 4, 1]), ("D:3", [8, 5, 2]), ("D:4", []),
    ]  # fmt: skip
    assert seen[0]["=ownerId"] == {"0": "1", "1": "2", "2": "3", "3": "4"}
    assert seen[0]["=ownerType"] == "D"


def test_records_that_have_gone_meanwhile_are_left_out(tmp_path: Path) -> None:
    cloud = FakeCloud()
    asked: list[dict[str, Any]] = []

    def listed(given: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(given)
        return [{"ID": key, "CREATED": SINCE.isoformat()} for key in given["filter"]["@ID"].values() if key != "2"]

    cloud.methods["crm.activity.list"] = listed
    cloud.methods["crm.activity.binding.list"] = lambda _: [{"entityTypeId": 2, "entityId": 5}]
    records = read(cloud, tmp_path, lambda reader: reader.fetch("activity", ["1", "2", "3"]))
    assert [record.id for record in records] == ["1", "3"]
    assert records[0].fields["BINDINGS"] == [{"entityTypeId": 2, "entityId": 5}]
    assert asked[0]["order"] == {"ID": "ASC"}


@pytest.mark.parametrize("text", ["Not found", "No se ha encontrado", "Nicht gefunden"])
def test_what_is_gone_is_told_by_a_list_and_not_by_a_text(tmp_path: Path, text: str) -> None:
    cloud = FakeCloud()
    there = {"1", "3"}

    def refused(given: dict[str, Any]) -> Any:
        return [] if given["TASKID"] == "1" else {"error": "", "error_description": text}

    def listed(given: dict[str, Any]) -> dict[str, Any]:
        return {"tasks": [{"id": given["filter"]["ID"]}] if given["filter"]["ID"] in there else []}

    cloud.methods |= {"task.checklistitem.getlist": refused, "tasks.task.list": listed}
    owners = [Record("task", key, {}, SINCE, SINCE) for key in "123"]
    with pytest.raises(RefusedError, match=text):
        read(cloud, tmp_path, lambda reader: reader.belonging("checklist", owners))
    there.discard("3")
    assert read(cloud, tmp_path, lambda reader: reader.belonging("checklist", owners)) == []


def test_what_the_portal_refuses_is_not_taken_for_nothing(tmp_path: Path) -> None:
    cloud = FakeCloud()
    cloud.methods["task.commentitem.getlist"] = lambda _: {"error": "ERROR_CORE", "error_description": "new task card"}
    cloud.methods["tasks.task.list"] = lambda _: {"tasks": [{"id": "1"}]}
    with pytest.raises(RefusedError, match="new task card"):
        owner = Record("task", "1", {}, SINCE, SINCE)
        read(cloud, tmp_path, lambda reader: reader.belonging("task_comment", [owner]))


def test_tasks_with_a_new_comment_are_found_by_their_last_activity(tmp_path: Path) -> None:
    cloud = FakeCloud()
    rows = [
        {
            "id": str(n),
            "createdDate": "2026-01-01T00:00:00+00:00",
            "changedDate": "2026-01-01T00:00:00+00:00",
            "activityDate": (SINCE - timedelta(minutes=n - 60)).isoformat(),
        }
        for n in range(1, 131)
    ]
    cloud.methods["tasks.task.list"] = lambda p: {"tasks": rows[int(p["start"]) :][:50]}
    cloud.next["tasks.task.list"] = lambda p: int(p["start"]) + 50 if int(p["start"]) < 100 else None
    cloud.methods["task.commentitem.getlist"] = lambda p: [
        {"ID": p["TASKID"], "POST_DATE": SINCE.isoformat(), "POST_MESSAGE": "x"}
    ]
    records = read(cloud, tmp_path, lambda reader: reader.changed("task_comment", SINCE))
    assert [record.id for record in records] == [str(n) for n in range(1, 61)]
    assert sum(method == "tasks.task.list" for method, _ in cloud.log) == 2, "the third page is older"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-26T11:00:00+01:00", SINCE),
        ("2026-11-26 10:00:00", SINCE),
        ("", None),
        (None, None),
        (False, None),
        ("yesterday", None),
    ],
)
def test_times_are_read_with_their_zone(text: Any, expected: datetime | None) -> None:
    assert moment(text) == expected


def test_items_are_fetched_a_page_per_command_in_the_order_asked_for(tmp_path: Path) -> None:
    cloud = FakeCloud()
    rows = {number: deal(number, contactIds=[]) for number in range(1, 200) if number != 77}

    def listed(given: dict[str, Any]) -> dict[str, Any]:
        wanted = [int(number) for number in given["filter"]["@id"].values()]
        assert len(wanted) <= 50
        return {"items": [rows[number] for number in sorted(wanted) if number in rows]}

    cloud.methods["crm.item.list"] = listed
    asked = [str(number) for number in (*range(120, 0, -1), 77, 5)]
    records = read(cloud, tmp_path, lambda reader: reader.fetch("deal", asked))
    assert [record.id for record in records] == [str(number) for number in range(120, 0, -1) if number != 77]
    assert len(cloud.log) == 3


def test_telephones_that_a_list_leaves_out_are_asked_for(tmp_path: Path) -> None:
    cloud = FakeCloud()
    phone = [{"id": 1, "typeId": "PHONE", "value": "+34"}]
    cloud.methods["crm.item.list"] = lambda _: {"items": [deal(1, contactIds=[]), deal(2, contactIds=[], fm=[])]}
    cloud.methods["crm.item.get"] = lambda given: {"item": deal(int(given["id"]), fm=phone)}
    records = read(cloud, tmp_path, lambda reader: reader.fetch("lead", ["1", "2"]))
    assert [record.fields["fm"] for record in records] == [phone, []]
    assert [given["id"] for method, given in cloud.log if method == "crm.item.get"] == ["1"]
