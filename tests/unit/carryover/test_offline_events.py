"""Offline events: bound once, taken with a reservation, and never lost when a process dies in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.source.offline_events import EVENTS, Change, OfflineEvents, Taken
from support.fake_cloud import FakeCloud
from support.virtual_time import run


class Queue:
    """The queue of an application."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.rows: list[dict[str, Any]] = []
        self.bound: list[str] = []
        self._process = 0
        cloud.methods |= {
            "event.offline.get": self.get,
            "event.offline.list": lambda p: [row for row in self.rows if int(row["ID"]) > self._after(p)],
            "event.offline.clear": self.clear,
            "event.get": lambda _: [{"event": name, "offline": 1} for name in self.bound],
            "event.bind": self.bind,
        }

    def happen(self, name: str, data: Any) -> None:
        number = str(len(self.rows) + 1)
        self.rows.append(
            {"ID": number, "EVENT_NAME": name, "EVENT_DATA": data, "MESSAGE_ID": number, "PROCESS_ID": "",
             "TIMESTAMP_X": "2026-11-26T10:00:00+00:00"}
        )  # fmt: skip

    @staticmethod
    def _after(given: dict[str, Any]) -> int:
        return int(given.get("filter", {}).get(">ID") or 0)

    def get(self, given: dict[str, Any]) -> dict[str, Any]:
        assert given["clear"] == 0
        process = given.get("process_id", "")
        rows = [row for row in self.rows if row["PROCESS_ID"] == process][: given["limit"]]
        if not process and rows:
            self._process += 1
            process = f"process{self._process}"
            for row in rows:
                row["PROCESS_ID"] = process
        return {"process_id": process or None, "events": [dict(row) for row in rows]}

    def clear(self, given: dict[str, Any]) -> bool:
        self.rows = [row for row in self.rows if row["PROCESS_ID"] != given["process_id"]]
        return True

    def bind(self, given: dict[str, Any]) -> Any:
        if given["event"] == "ONCRMREQUISITEADD":
            return {"error": "ERROR_EVENT_NOT_FOUND", "error_description": "Event not found"}
        self.bound.append(given["event"])
        return True


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def queue(cloud: FakeCloud) -> Queue:
    return Queue(cloud)


def use(cloud: FakeCloud, folder: Path, scene: Callable[[OfflineEvents], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with cloud.portal(folder) as portal:
            return await scene(OfflineEvents(portal))

    return run(whole())


def test_events_are_bound_once_and_what_a_portal_lacks_is_reported(
    cloud: FakeCloud, queue: Queue, tmp_path: Path
) -> None:
    lacking = use(cloud, tmp_path, lambda events: events.bind())
    assert list(lacking) == ["ONCRMREQUISITEADD"]
    assert set(queue.bound) == set(EVENTS) - {"ONCRMREQUISITEADD"}
    before = len(queue.bound)
    use(cloud, tmp_path, lambda events: events.bind())
    assert len(queue.bound) == before


def test_changes_are_read_whatever_form_their_data_has(cloud: FakeCloud, queue: Queue, tmp_path: Path) -> None:
    queue.happen("ONCRMLEADDELETE", {"FIELDS": {"ID": "7"}})
    queue.happen("ONTASKDELETE", {"FIELDS_BEFORE": {"ID": 8}, "FIELDS_AFTER": "undefined"})
    queue.happen("ONTASKCOMMENTADD", {"FIELDS_BEFORE": "undefined", "FIELDS_AFTER": {"ID": 9, "TASK_ID": 8}})
    queue.happen("ONCRMTIMELINECOMMENTDELETE", {"ID": 10})
    queue.happen("ONCRMADDRESSUNREGISTER", {"FIELDS": {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": 17}})
    queue.happen("ONCRMDEALADD", False)
    queue.happen("ONSOMETHINGELSE", {"FIELDS": {"ID": 1}})
    [taken] = use(cloud, tmp_path, lambda events: events.take())
    assert [(change.entity, change.id, change.what, change.owner) for change in taken.changes] == [
        ("lead", "7", "deleted", ""),
        ("task", "8", "deleted", ""),
        ("task_comment", "9", "added", "8"),
        ("comment", "10", "deleted", ""),
        ("address", "1:8:17", "deleted", ""),
    ]


@pytest.mark.fault("kill -9: host tool", "carry-over", "between taking events and confirming them")
def test_what_was_taken_but_not_confirmed_is_taken_again(cloud: FakeCloud, queue: Queue, tmp_path: Path) -> None:
    queue.happen("ONCRMLEADDELETE", {"FIELDS": {"ID": "1"}})
    [first] = use(cloud, tmp_path, lambda events: events.take())
    queue.happen("ONCRMLEADDELETE", {"FIELDS": {"ID": "2"}})

    async def after_a_crash(events: OfflineEvents) -> list[Taken]:
        taken = await events.take()
        for part in taken:
            await events.confirm(part)
        assert await events.take() == []
        return taken

    again = use(cloud, tmp_path, after_a_crash)
    assert again[0] == first
    assert [change.id for part in again for change in part.changes] == ["1", "2"]
    assert queue.rows == []


def test_queue_without_confirmation_is_read_behind_the_last_event(
    cloud: FakeCloud, queue: Queue, tmp_path: Path
) -> None:
    cloud.methods["feature.get"] = lambda p: {"value": "N" if p["CODE"] == "rest_offline_extended" else "Y"}
    queue.happen("ONCRMLEADADD", {"FIELDS": {"ID": "1"}})
    queue.happen("ONCRMLEADUPDATE", {"FIELDS": {"ID": "1"}})

    async def scene(events: OfflineEvents) -> list[Change]:
        assert not await events.confirmable()
        first = await events.peek()
        queue.happen("ONCRMLEADDELETE", {"FIELDS": {"ID": "1"}})
        second = await events.peek(first.last)
        assert (first.last, second.last, (await events.peek(second.last)).last) == (2, 3, 3)
        return first.changes + second.changes

    assert [change.what for change in use(cloud, tmp_path, scene)] == ["added", "changed", "deleted"]
    assert len(queue.rows) == 3
