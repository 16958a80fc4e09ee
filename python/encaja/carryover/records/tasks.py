"""Tasks, their comments and checklists.

Source: apidocs.bitrix24.com, tasks (``XML_ID`` is free; ``UF_CRM_TASK`` names records as ``L_12``), tasks/comment-item
(author and date are taken along) and tasks/checklist-item. The new task card keeps comments in a chat, which REST does
not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from encaja.carryover.mapping.canonical import Canonical
from encaja.carryover.mapping.entities import BY_ENTITY
from encaja.carryover.mapping.translation import Wanted, short_name
from encaja.carryover.records.base import RecordKind
from encaja.carryover.source.origins import ORIGINATOR
from encaja.carryover.source.reader import Record
from encaja.rest.command import Answer, Command

_NAMES = {
    "title": "TITLE", "description": "DESCRIPTION", "priority": "PRIORITY", "status": "STATUS", "mark": "MARK",
    "responsibleId": "RESPONSIBLE_ID", "createdBy": "CREATED_BY", "deadline": "DEADLINE", "groupId": "GROUP_ID",
    "startDatePlan": "START_DATE_PLAN", "endDatePlan": "END_DATE_PLAN", "accomplices": "ACCOMPLICES",
    "auditors": "AUDITORS", "ufCrmTask": "UF_CRM_TASK", "parentId": "PARENT_ID",
}  # fmt: skip


class Tasks(RecordKind):
    """Tasks."""

    entity = "task"
    method = "tasks.task"
    shape = {  # noqa: RUF012 - as declared in the base
        "title": "text", "description": "text", "priority": "number", "status": "number", "mark": "any",
        "responsibleId": "user", "createdBy": "user", "deadline": "moment", "groupId": "number",
        "startDatePlan": "moment", "endDatePlan": "moment", "accomplices": "users", "auditors": "users",
    }  # fmt: skip

    def owners(self, record: Record) -> Iterable[tuple[str, str]]:
        """The records of the CRM that it is about."""
        return [pair for text in record.fields.get("ufCrmTask") or [] if (pair := short_name(str(text)))]

    async def links(self, want: Wanted, record: Record) -> None:
        """The task above it, and records of the CRM."""
        parent = str(record.fields.get("parentId") or "")
        if parent not in {"", "0"} and (box := self.linked(want, "task", parent)):
            want.raw["parentId"], want.values["parentId"] = int(box), box
        about = []
        for text in record.fields.get("ufCrmTask") or []:
            pair = short_name(str(text))
            box = self.linked(want, *pair) if pair else None
            if pair and box:
                about.append(f"{BY_ENTITY[pair[0]].short}_{box}")
        if about:
            want.raw["ufCrmTask"], want.values["ufCrmTask"] = about, sorted(about)

    def here(self, row: Any, names: Iterable[str]) -> dict[str, Canonical]:
        """A task of the box in canonical form."""
        found = super().here(row, names)
        if found.get("ufCrmTask"):
            found["ufCrmTask"] = sorted(map(str, row["ufCrmTask"]))
        return found

    def find(self, records: Sequence[Record]) -> list[Command]:
        """By the mark that it was given, or by its own."""
        return [
            Command(
                "tasks.task.list",
                {
                    "filter": {"XML_ID": _mark(record)},
                    "select": ["ID", "XML_ID"],
                    "order": {"ID": "ASC"},
                    "start": -1,
                },
            )
            for record in records
        ]

    def found(self, answer: Answer) -> list[str]:
        """Identifiers."""
        return [str(row["id"]) for row in answer.result["tasks"]]

    def add(self, record: Record, want: Wanted) -> Command:
        """With its mark, author and date."""
        fields = {_NAMES[name]: value for name, value in want.raw.items() if value not in ("", [])}
        created = {"CREATED_DATE": record.fields.get("createdDate")}
        return Command("tasks.task.add", {"fields": {**fields, **created, "XML_ID": _mark(record)}})

    def made(self, answer: Answer) -> str:
        """The identifier."""
        return str(answer.result["task"]["id"])

    def get(self, box: str) -> Command:
        """By identifier."""
        return Command("tasks.task.get", {"taskId": int(box), "select": ["*", "UF_CRM_TASK"]})

    def row(self, answer: Answer) -> dict[str, Any]:
        """The task."""
        return dict(answer.result["task"]) if answer.result else {}

    def update(self, box: str, fields: dict[str, Any]) -> Command:
        """Fields that changed."""
        return Command(
            "tasks.task.update", {"taskId": int(box), "fields": {_NAMES[name]: value for name, value in fields.items()}}
        )

    def delete(self, box: str) -> Command:
        """By identifier."""
        return Command("tasks.task.delete", {"taskId": int(box)})


def _mark(record: Record) -> str:
    return str(record.fields.get("xmlId") or f"{ORIGINATOR}:{record.id}")
