"""Activities: calls, mails, meetings and the like, with their files.

Source: apidocs.bitrix24.com, crm/timeline/activities/activity-base (a mail that is added with ``COMPLETED`` = N and
``DIRECTION`` = 2 is not sent; it is completed by an update). The activity of a task is carried with the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from encaja.carryover.mapping.entities import BY_TYPE
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.records import attachments
from encaja.carryover.records.base import LeftOutError, RecordKind
from encaja.carryover.source.origins import ORIGINATOR
from encaja.carryover.source.reader import Record
from encaja.rest.command import Command

MAIL = 4
_TASK_PROVIDERS = frozenset({"TASKS", "CRM_TASKS_TASK", "CRM_TASKS_TASK_COMMENT"})


class Activities(RecordKind):
    """Activities."""

    entity = "activity"
    method = "crm.activity"
    shape = {  # noqa: RUF012 - as declared in the base
        "TYPE_ID": "number", "PROVIDER_ID": "any", "PROVIDER_TYPE_ID": "any", "SUBJECT": "text", "DESCRIPTION": "text",
        "DESCRIPTION_TYPE": "number", "COMPLETED": "flag", "RESPONSIBLE_ID": "user", "PRIORITY": "number",
        "START_TIME": "moment", "END_TIME": "moment", "DEADLINE": "moment", "DIRECTION": "number", "LOCATION": "any",
        "NOTIFY_TYPE": "number", "NOTIFY_VALUE": "number",
    }  # fmt: skip

    def owners(self, record: Record) -> Iterable[tuple[str, str]]:
        """All records that it is bound to, and those whose telephone or mail it names."""
        pairs = [(record.fields.get("OWNER_TYPE_ID"), record.fields.get("OWNER_ID"))]
        pairs += [(item.get("entityTypeId"), item.get("entityId")) for item in _bindings(record)]
        pairs += [(item.get("ENTITY_TYPE_ID"), item.get("ENTITY_ID")) for item in _list(record, "COMMUNICATIONS")]
        for kind, key in pairs:
            if int(kind or 0) in BY_TYPE and int(key or 0):
                yield BY_TYPE[int(kind or 0)].entity, str(key)

    async def links(self, want: Wanted, record: Record) -> None:
        """Owner, bindings, communications and files."""
        if record.fields.get("PROVIDER_ID") in _TASK_PROVIDERS or int(record.fields.get("TYPE_ID") or 0) == 3:
            raise LeftOutError("is carried with its task")
        owner_type = int(record.fields.get("OWNER_TYPE_ID") or 0)
        if owner_type not in BY_TYPE:
            raise LeftOutError(f"belongs to a record of type {owner_type}, which is not carried")
        owner = self.linked(want, BY_TYPE[owner_type].entity, record.fields["OWNER_ID"])
        if owner is None:
            raise LeftOutError("what it belongs to is not in the box")
        want.raw |= {"OWNER_TYPE_ID": owner_type, "OWNER_ID": int(owner)}
        want.raw["BINDINGS"] = [
            {"OWNER_TYPE_ID": int(item["entityTypeId"]), "OWNER_ID": int(box)}
            for item in _bindings(record)
            if int(item["entityTypeId"]) in BY_TYPE
            and (box := self.linked(want, BY_TYPE[int(item["entityTypeId"])].entity, item["entityId"]))
        ]
        want.raw["COMMUNICATIONS"] = [
            {"TYPE": item.get("TYPE"), "VALUE": item.get("VALUE"), **self._whose(want, item)}
            for item in _list(record, "COMMUNICATIONS")
        ]

    def _whose(self, want: Wanted, item: dict[str, Any]) -> dict[str, int]:
        kind = int(item.get("ENTITY_TYPE_ID") or 0)
        box = self.linked(want, BY_TYPE[kind].entity, item.get("ENTITY_ID")) if kind in BY_TYPE else None
        return {"ENTITY_TYPE_ID": kind, "ENTITY_ID": int(box)} if box else {}

    def find(self, records: Sequence[Record]) -> list[Command]:
        """By the origin that it was given."""
        return [
            Command(
                "crm.activity.list",
                {
                    "filter": {"=ORIGINATOR_ID": ORIGINATOR, "=ORIGIN_ID": record.id},
                    "select": ["ID"],
                    "order": {"ID": "ASC"},
                    "start": -1,
                },
            )
            for record in records
        ]

    async def files(self, record: Record, want: Wanted) -> None:
        """Fetch the files of a record that is about to be sent."""
        described = attachments.described(record.fields.get("FILES"))
        if described:
            fetched = await attachments.fetch(self.context, described, want)
            want.raw["FILES"] = [{"fileData": file} for file in fetched]

    def add(self, record: Record, want: Wanted) -> Command:
        """With its origin; a mail as not completed, or it would be sent."""
        fields = {name: value for name, value in want.raw.items() if value not in ("", [])}
        if int(record.fields.get("TYPE_ID") or 0) == MAIL:
            fields["COMPLETED"] = "N"
        user, exact = self.context.translation.user(record.fields.get("AUTHOR_ID"))
        author = {"AUTHOR_ID": int(user)} if exact else {}
        return Command(
            "crm.activity.add", {"fields": {**fields, **author, "ORIGINATOR_ID": ORIGINATOR, "ORIGIN_ID": record.id}}
        )

    async def after(self, record: Record, box: str, want: Wanted) -> None:
        """Complete a mail."""
        if int(record.fields.get("TYPE_ID") or 0) == MAIL and want.values.get("COMPLETED"):
            await self.context.box.call("crm.activity.update", {"id": int(box), "fields": {"COMPLETED": "Y"}})


def _list(record: Record, name: str) -> list[dict[str, Any]]:
    value = record.fields.get(name) or []
    return [item for item in (value.values() if isinstance(value, dict) else value) if isinstance(item, dict)]


def _bindings(record: Record) -> list[dict[str, Any]]:
    return _list(record, "BINDINGS")
