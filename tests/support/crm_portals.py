"""Two portals in memory, and the carry-over between them: what a proof, a rule or a mark is tested against.

They list, read and write as REST does, but are called directly: nothing is sent. What a test plants in a portal's
``rows`` is what that portal has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.entities import BY_TYPE, ITEMS
from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.mapping.translation import Field, Rewriter, Side, Translation
from encaja.carryover.settings import make_settings
from encaja.carryover.source.origins import ORIGINATOR
from encaja.rest.command import Answer, Command
from encaja.rest.errors import RefusedError

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
RESTORED = "2026-11-26T11:00:00"
BEFORE, AFTER = "2026-11-26T10:00:00+00:00", "2026-11-26T13:00:00+00:00"
"""Before the backup, and in the window."""
PAGE = 50
_HOOKS = {"cloud_webhook": "https://cloud.test/rest/1/cloud/", "box_webhook": "https://box.test/rest/1/box/"}
_PEOPLE = {"1": {"NAME": "A", "EMAIL": "a@x.test"}, "2": {"NAME": "B", "EMAIL": "b@x.test"}}
_LISTS = {
    "crm.requisite": "requisite",
    "crm.requisite.bankdetail": "bank_detail",
    "crm.activity": "activity",
}


class CrmPortal:
    """One portal. ``rows`` are its records by kind and identifier; ``log`` is what it was asked to write."""

    def __init__(self, name: str) -> None:
        self.where = f"https://{name}.test"
        self.rows_of: dict[str, dict[int, dict[str, Any]]] = {}
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.before: Callable[[str, Mapping[str, Any]], None] = lambda *_: None
        """Called before anything is done; what it raises is the answer."""
        self.after: Callable[[str, Mapping[str, Any]], None] = lambda *_: None
        """Called when it is done; what it raises takes the place of the answer."""
        self.refuses: set[str] = set()
        """Methods that are refused."""
        self.refuses_item: Callable[[Mapping[str, Any]], str] = lambda _: ""
        """Why an item of an import is refused (``CODE: text``); empty where it is not."""

    def on_wait(self, what: str) -> None:
        """Nobody looks."""

    def of(self, entity: str) -> dict[int, dict[str, Any]]:
        """Its records of a kind."""
        return self.rows_of.setdefault(entity, {})

    def item(self, entity: str, number: int, **fields: Any) -> dict[str, Any]:
        """Plant a lead, deal, contact or company; it was made and changed in the window unless told otherwise."""
        made = {"id": number, "createdTime": AFTER, "updatedTime": AFTER, "title": "", "assignedById": 1, "fm": []}
        self.of(entity)[number] = made | {"contactIds": [], "companyIds": [], "originatorId": "", "originId": ""}
        self.of(entity)[number] |= fields
        return self.of(entity)[number]

    def plant(self, entity: str, number: int, **fields: Any) -> dict[str, Any]:
        """Plant a record of another kind."""
        name = "id" if entity == "task" else "ID"
        self.of(entity)[number] = {name: number, **fields}
        return self.of(entity)[number]

    # As RestClient has it

    async def call(self, method: str, parameters: Mapping[str, Any] | None = None, *, safe: bool = True) -> Answer:
        given = dict(parameters or {})
        makes = method.endswith((".add", ".batchImport"))
        assert not (safe and makes), f"{method} would be sent twice when its answer is lost"
        self.before(method, given)
        if method in self.refuses:
            raise RefusedError("", "no", method)
        answer = Answer(Command(method, given), self._do(method, given))
        self.after(method, given)
        return answer

    async def batch(self, commands: Sequence[Command], **_: Any) -> list[Answer]:
        answers = []
        for command in commands:
            try:
                found = await self.call(command.method, command.parameters)
                answers.append(Answer(command, found.result, found.total, found.next))
            except RefusedError as fault:
                answers.append(Answer(command, error=fault))
        return answers

    async def rest_of(self, first: Answer, key: str = "") -> list[dict[str, Any]]:
        return list(first.result[key] if key else first.result)

    async def rows(
        self,
        method: str,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        parameters: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> AsyncIterator[list[dict[str, Any]]]:
        self.before(method, parameters or {})
        if method in self.refuses:
            raise RefusedError("", "no", method)
        found = self._listed(method, {**(parameters or {}), "filter": filter or {}})
        for at in range(0, len(found), PAGE):
            yield found[at : at + PAGE]

    def _do(self, method: str, given: dict[str, Any]) -> Any:
        noun, _, verb = method.rpartition(".")
        if verb in {"add", "update", "delete", "batchImport", "complete", "renew"}:
            self.log.append((method, given))
        if method == "crm.type.list":
            return {"types": []}
        if noun == "crm.item":
            return self._item(verb, given)
        if noun == "crm.timeline.comment" or noun == "task.commentitem" or noun == "task.checklistitem":
            return self._belonging(noun, verb, given)
        if method.endswith(".items.get") or method == "crm.activity.binding.list":
            return []
        if noun == "tasks.task":
            if verb == "list":
                return {"tasks": self._listed(method, given)}
            return {"task": self._one("task", verb, int(given["taskId"]), given)}
        if noun in _LISTS:
            number = int(given.get("id") or 0)
            return (
                self._listed(method, given)[:PAGE] if verb == "list" else self._one(_LISTS[noun], verb, number, given)
            )
        raise RefusedError("ERROR_METHOD_NOT_FOUND", "Method not found!", method)

    def _listed(self, method: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        noun = method.removesuffix(".list")
        if noun == "crm.item":
            kind = BY_TYPE.get(int(given["entityTypeId"]))
            entity = kind.entity if kind else ""
        else:
            entity = "task" if noun == "tasks.task" else _LISTS[noun]
        found = [dict(row) for _, row in sorted(self.of(entity).items())]
        return [row for row in found if all(_fits(row, name, value) for name, value in given.get("filter", {}).items())]

    def _item(self, verb: str, given: dict[str, Any]) -> Any:
        if verb == "list":
            return {"items": self._listed("crm.item.list", given)[:PAGE]}
        kind = BY_TYPE[int(given["entityTypeId"])]
        if verb == "batchImport":
            return {"items": [self._imported(kind.entity, one) for one in given["data"]]}
        number = int(given["id"])
        if number not in self.of(kind.entity):
            raise RefusedError("NOT_FOUND", "not found", f"crm.item.{verb}")
        if verb == "delete":
            del self.of(kind.entity)[number]
            return []
        if verb == "update":
            self.of(kind.entity)[number] |= given["fields"]
        return {"item": dict(self.of(kind.entity)[number])}

    def _imported(self, entity: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        if why := self.refuses_item(fields):
            code, _, text = why.partition(": ")
            return {"error": code, "error_description": text}
        return {"item": {"id": self._made(entity, fields)}}

    def _made(self, entity: str, fields: Mapping[str, Any]) -> int:
        number = max(self.of(entity), default=100) + 1
        self.item(entity, number, **fields)
        return number

    def _one(self, entity: str, verb: str, number: int, given: Mapping[str, Any]) -> Any:
        there = self.of(entity)
        if verb == "add":
            number = max(there, default=100) + 1
            self.plant(entity, number, **given["fields"])
            return number
        if number not in there:
            raise RefusedError("", "Not found", entity)
        if verb == "delete":
            del there[number]
            return True
        if verb == "update":
            there[number] |= given["fields"]
        return dict(there[number])

    def _belonging(self, noun: str, verb: str, given: Mapping[str, Any]) -> Any:
        entity = {"crm.timeline.comment": "comment", "task.commentitem": "task_comment"}.get(noun, "checklist")
        there = self.of(entity)
        if verb == "add":
            number = max(there, default=500) + 1
            fields = dict(given.get("fields") or given["FIELDS"])
            fields |= {"TASK_ID": given["TASKID"]} if "TASKID" in given else {"CREATED": AFTER}
            self.plant(entity, number, **fields)
            return number
        if verb == "get":
            if int(given["id"]) not in there:
                raise RefusedError("", "Not found", noun)
            return dict(there[int(given["id"])])
        if "TASKID" in given:
            return [dict(row) for row in there.values() if str(row["TASK_ID"]) == str(given["TASKID"])]
        wanted = given["filter"]
        return [
            dict(row)
            for row in there.values()
            if (row["ENTITY_TYPE"], str(row["ENTITY_ID"])) == (wanted["ENTITY_TYPE"], str(wanted["ENTITY_ID"]))
        ]


def _fits(row: Mapping[str, Any], name: str, value: Any) -> bool:
    if isinstance(value, Mapping):  # of the window: one of two times
        return any(_fits(row, *next(iter(one.items()))) for key, one in value.items() if key != "logic")
    if name.startswith("@"):
        return str(row.get(name[1:])) in {str(one) for one in value}
    if name.startswith(">="):
        camel = name[2:].lower().replace("_d", "D")  # of tasks: filtered by CHANGED_DATE, given as changedDate
        text = row.get(name[2:]) or row.get(camel) or ""
        return bool(text) and datetime.fromisoformat(str(text)) >= datetime.fromisoformat(str(value))
    return str(row.get(name.removeprefix("="))) == str(value)


def _side() -> Side:
    about = {
        "title": Field("text", "title", dynamic=False),
        "opportunity": Field("number", "opportunity", dynamic=False),
        "opened": Field("flag", "opened", dynamic=False),
        "assignedById": Field("user", "assignedById", dynamic=False),
        "stageId": Field("status", "stageId", dynamic=False, dictionary="STATUS"),
        "begindate": Field("day", "begindate", dynamic=False),
        "ufCrmAt": Field("moment", "At", dynamic=True),
        "ufCrmTags": Field("text", "Tags", dynamic=True, multiple=True),
        "ufCrmPlan": Field("file", "Plan", dynamic=True),
        "fm": Field("multi", "fm", dynamic=False),
    }
    return Side(
        users=dict(_PEOPLE),
        statuses={"STATUS": {"NEW": "New", "WON": "Won"}},
        fields={kind.entity: dict(about) for kind in ITEMS},
    )


class Carried:
    """The two portals, and a context between them. Records up to 100 came with the backup."""

    def __init__(self, folder: Path, identities: IdentityMap, **settings: Any) -> None:
        self.cloud, self.box, self.map = CrmPortal("cloud"), CrmPortal("box"), identities
        for kind in (*(kind.entity for kind in ITEMS), "requisite", "bank_detail", "activity", "task"):
            identities.remember(f"watermark:{kind}", 100)
        made = make_settings({**_HOOKS, "state": str(folder), "since": NOON.isoformat(), **settings}, "job")
        sides = _side(), _side()
        translation = Translation(*sides, Rewriter(("cloud.test",), "https://box.test"), identities.box_id, "1")
        cloud: Any = self.cloud
        box: Any = self.box
        nothing = timedelta()
        self.context = Context(
            made, cloud, box, identities, translation, nothing, nothing, since=NOON, restored=RESTORED
        )

    def both(self, entity: str, cloud: int, box: int, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Plant a record in both portals, the same on both sides; a new one has its origin."""
        origin = {"originatorId": ORIGINATOR, "originId": str(cloud)} if cloud > 100 else {}
        return self.cloud.item(entity, cloud, **fields), self.box.item(entity, box, **(fields | origin))
