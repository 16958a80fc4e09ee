from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from encaja.carryover.mapping.entities import LEAD
from encaja.carryover.records.updates import _multi, command_of, multi_fields, send_updates
from encaja.rest.command import Answer, UncertainError
from encaja.rest.errors import AccessError, RefusedError
from support.fake_cloud import FakeCloud
from support.virtual_time import run


def send(box: FakeCloud, folder: Path, fields: list[dict[str, Any]]) -> list[Answer]:
    async def scene() -> list[Answer]:
        async with box.portal(folder) as portal:
            context: Any = SimpleNamespace(box=portal)
            return await send_updates(context, [command_of(LEAD, str(n), one) for n, one in enumerate(fields)])

    return run(scene())


@pytest.fixture
def box() -> FakeCloud:
    box = FakeCloud()
    box.methods["crm.item.update"] = lambda given: (
        {"error": "E", "error_description": "no"} if str(given["id"]) == "3" else {"item": {"id": int(given["id"])}}
    )
    return box


def test_updates_go_fifty_at_a_time_and_answers_keep_their_order(box: FakeCloud, tmp_path: Path) -> None:
    answers = send(box, tmp_path, [{"title": "a"} if number != 7 else {"contactIds": []} for number in range(120)])
    assert [answer.result["item"]["id"] for answer in answers if not answer.error] == [n for n in range(120) if n != 3]
    assert answers[3].error
    alone = [given for _, given in box.log if isinstance(given["fields"], dict) and "contactIds" in given["fields"]]
    assert alone == [{"entityTypeId": 1, "id": 7, "fields": {"contactIds": []}}], "a query cannot say an empty list"


def test_one_whose_end_is_not_known_is_not_sent_again(box: FakeCloud, tmp_path: Path) -> None:
    sent: list[int] = []

    def lost(request: httpx.Request) -> httpx.Response:
        sent.append(len(json.loads(request.content)["cmd"]))
        raise httpx.ReadTimeout("slow")

    box.faults.append(lost)
    answers = send(box, tmp_path, [{"title": "a"}] * 60)
    assert sent == [50]
    assert [bool(answer.error) for answer in answers] == [True] * 50 + [False] * 10
    assert len(box.log) == 10


def test_an_answer_that_came_before_the_connection_was_lost_is_believed() -> None:
    class Box:
        """Answers the first of a batch and is cut off."""

        async def batch(self, commands: Any, *, safe: bool) -> list[Answer]:
            assert not safe
            raise UncertainError("cut", "box", commands[1:], [Answer(commands[0], {"item": {"id": 1}})])

    context: Any = SimpleNamespace(box=Box())
    first, second = run(send_updates(context, [command_of(LEAD, str(n), {"title": "a"}) for n in (1, 2)]))
    assert (first.result, first.error) == ({"item": {"id": 1}}, None)
    assert second.error is not None and second.error.what == "cut"


def test_a_refusal_of_one_leaves_the_others_and_one_of_the_caller_ends_all() -> None:
    class Box:
        """Refuses what is sent alone."""

        fault: RefusedError = RefusedError("", "no", "crm.item.update")

        async def call(self, *_: Any, **__: Any) -> Answer:
            raise self.fault

        async def batch(self, commands: Any, **_: Any) -> list[Answer]:
            return [Answer(command, {"item": {}}) for command in commands]

    context: Any = SimpleNamespace(box=Box())
    commands = [command_of(LEAD, "1", {"contactIds": []}), command_of(LEAD, "2", {"title": "a"})]
    assert [bool(answer.error) for answer in run(send_updates(context, commands))] == [True, False]
    context.box.fault = AccessError("NO_AUTH_FOUND", "expired", "crm.item.update")
    with pytest.raises(AccessError):
        run(send_updates(context, commands))


def test_multi_fields_are_added_and_removed_by_what_they_say() -> None:
    here = [
        {"id": 15, "typeId": "PHONE", "valueType": "WORK", "value": "1"},
        {"id": 16, "typeId": "PHONE", "valueType": "WORK", "value": "2"},
    ]
    wanted = [
        {"typeId": "PHONE", "valueType": "WORK", "value": "2"},
        {"typeId": "EMAIL", "valueType": "HOME", "value": "a@x.test"},
    ]
    assert _multi(wanted, here) == {
        "n0": {"typeId": "EMAIL", "valueType": "HOME", "value": "a@x.test"},
        "15": {"id": 15, "typeId": "PHONE", "value": ""},
    }


def test_an_import_takes_multi_fields_by_kind() -> None:
    phones = [{"id": n, "typeId": "PHONE", "valueType": "WORK", "value": str(n)} for n in (1, 2)]
    mail = {"id": 3, "typeId": "EMAIL", "valueType": "HOME", "value": "a@x.test"}
    assert multi_fields([*phones, mail]) == {
        "PHONE": [{"VALUE": "1", "VALUE_TYPE": "WORK"}, {"VALUE": "2", "VALUE_TYPE": "WORK"}],
        "EMAIL": [{"VALUE": "a@x.test", "VALUE_TYPE": "HOME"}],
    }
    assert multi_fields([]) == {}
