"""What changed in a portal since a time: read by modification time, or through the record that it belongs to.

REST lists some kinds of records by the time of their modification, others only by the record that they belong to. A
window is read by ascending identifier, so a record that changes meanwhile is at worst read again in the next window,
which has to overlap this one (reading by time alone loses rows at the edge).

Sources: apidocs.bitrix24.com, crm/universal (crm.item.list and its fields, ``contactIds``; crm.item.productrow.list
takes several owners in ``=ownerId``), crm/requisites, crm/timeline (activities by ``LAST_UPDATED``; comments by their
owner only), tasks (``CHANGED_DATE``; comments and checklists by their task only; no comments where the new task card is
in use).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from encaja.carryover.mapping.canonical import moment
from encaja.carryover.mapping.entities import BY_ENTITY, ITEMS
from encaja.rest.client import RestClient
from encaja.rest.command import BATCH, PAGE, Answer, Command
from encaja.rest.errors import AccessError
from encaja.rest.prefetch import ahead, grouped

_MULTI: Final = frozenset({"lead", "contact", "company"})
"""Those that have telephones, mails and the like; the documentation does not promise them in a list."""
REQUISITE: Final = 8
"""``ENTITY_TYPE_ID`` of a requisite, to which addresses belong."""
_TASK_FIELDS: Final = (
    "ID", "PARENT_ID", "TITLE", "DESCRIPTION", "MARK", "PRIORITY", "STATUS", "MULTITASK", "GROUP_ID", "STAGE_ID",
    "RESPONSIBLE_ID", "DATE_START", "DEADLINE", "START_DATE_PLAN", "END_DATE_PLAN", "CREATED_BY", "CREATED_DATE",
    "CHANGED_BY", "CHANGED_DATE", "CLOSED_BY", "CLOSED_DATE", "ACTIVITY_DATE", "FORUM_TOPIC_ID", "XML_ID",
    "COMMENTS_COUNT", "TIME_ESTIMATE",
    "ALLOW_CHANGE_DEADLINE", "TASK_CONTROL", "CHECKLIST", "ACCOMPLICES", "AUDITORS", "TAGS", "CHAT_ID",
    "UF_CRM_TASK", "UF_TASK_WEBDAV_FILES",
)  # fmt: skip

_AHEAD = 8  # pages on which further requests are under way at once
_ROW_OWNERS = 20  # whose rows, or addresses, one command asks for: they mostly fit on a page
_OWNERS: Final = {"product_rows": BATCH * _ROW_OWNERS, "address": BATCH * _ROW_OWNERS}
"""How many owners fill a request; of the other kinds a page does."""


@dataclass(frozen=True)
class Record:
    """One record of a portal.

    Args:
        entity: its kind, one of ``READ``.
        id: its identifier; of an address, its type and owner: ``1:8:17``.
        fields: as the portal gives them, with links: ``contactIds`` and ``companyIds`` of items, ``BINDINGS`` of
            activities, ``rows`` of ``product_rows``.
        modified: when it was last changed; for kinds without such a time, that of the record that it belongs to.
        created: when it was created, or the same.
    """

    entity: str
    id: str
    fields: dict[str, Any]
    modified: datetime
    created: datetime


@dataclass(frozen=True)
class _Timed:
    """A kind of record that is listed by the time of its modification."""

    method: str
    by: tuple[str, ...]
    id: str
    created: str
    modified: str
    select: tuple[str, ...] = ("*",)
    parameters: Mapping[str, Any] | None = None


def _item(type_id: int) -> _Timed:
    parameters = {"entityTypeId": type_id}
    return _Timed("crm.item.list", ("updatedTime",), "id", "createdTime", "updatedTime", ("*",), parameters)


_MODIFIED: Final = ("DATE_MODIFY", "DATE_CREATE")  # what was never changed has only the second
_TIMED: Final = {
    **{kind.entity: _item(kind.type_id) for kind in ITEMS},
    "requisite": _Timed("crm.requisite.list", _MODIFIED, "ID", "DATE_CREATE", "DATE_MODIFY", ("*", "UF_*")),
    "bank_detail": _Timed("crm.requisite.bankdetail.list", _MODIFIED, "ID", "DATE_CREATE", "DATE_MODIFY"),
    "activity": _Timed(
        "crm.activity.list", ("LAST_UPDATED",), "ID", "CREATED", "LAST_UPDATED", ("*", "COMMUNICATIONS", "FILES")
    ),
    "task": _Timed("tasks.task.list", ("CHANGED_DATE",), "id", "createdDate", "changedDate", _TASK_FIELDS),
}
BELONGING: Final = {
    "product_rows": ("lead", "deal"),
    "address": ("requisite", "lead"),
    "comment": ("lead", "deal", "contact", "company"),
    "task_comment": ("task",),
    "checklist": ("task",),
}
"""Kinds that are listed by what they belong to."""
READ: Final = (*_TIMED, *BELONGING)
"""All kinds, in the order in which they refer to each other."""


class Reader:
    """Reads a portal.

    Args:
        portal: the one to read.
    """

    def __init__(self, portal: RestClient) -> None:
        self._portal = portal

    async def changed(self, entity: str, since: datetime) -> AsyncIterator[list[Record]]:
        """Records created or changed since a time by the portal's clock, by ascending identifier.

        Args:
            entity: one of ``READ``.
            since: the time, with a zone.

        Yields:
            Up to 50 at a time; of kinds in ``BELONGING``, as many as their owners have.

        Raises:
            RefusedError: the portal will not list this.
            UnreachableError: the portal failed for as long as there was patience.
        """
        if entity in BELONGING:
            for owner in BELONGING[entity]:
                owners = grouped(self._active(entity, owner, since), _OWNERS.get(entity, 1))
                async for records in ahead(owners, lambda some: self.belonging(entity, some), _AHEAD):
                    if found := [record for record in records if entity != "comment" or record.created >= since]:
                        yield found
            return
        seen: set[str] = set()
        for field in _TIMED[entity].by:
            async for page in self._listed(entity, {f">={field}": since.isoformat(timespec="seconds")}):
                fresh = [record for record in page if record.id not in seen]
                if len(_TIMED[entity].by) > 1:
                    seen.update(record.id for record in fresh)
                if fresh:
                    yield fresh

    async def fetch(self, entity: str, identifiers: Sequence[str]) -> list[Record]:
        """Records by their identifiers; those that do not exist (any more) are left out.

        Args:
            entity: one that is listed by time, or ``comment``.
            identifiers: as in ``Record``.
        """
        names = list(dict.fromkeys(identifiers))
        if entity not in {"task", "comment"}:
            return await self._listed_by_identifier(entity, names)
        answers = await self._portal.batch([_get(entity, identifier) for identifier in names])
        await self._raise_unless_absent(entity, dict(zip(names, answers, strict=True)))
        rows = [row for answer in answers if answer.error is None and (row := _found(entity, answer.result))]
        return [_comment(row, None) if entity == "comment" else _record(entity, row) for row in rows]

    async def existing(self, entity: str, identifiers: Sequence[str]) -> set[str]:
        """Which records exist: lists say so, while a refusal for what does not exist has no code of its own.

        Args:
            entity: one that is listed by time; of comments, which no list has by identifier, none is found.
            identifiers: as in ``Record``.
        """
        if not identifiers or entity not in _TIMED:
            return set()
        if entity == "task":
            commands = [
                Command("tasks.task.list", {"filter": {"ID": int(name)}, "select": ["ID"], "start": -1})
                for name in identifiers
            ]
        else:
            commands = self._by_identifier(entity, identifiers, [_TIMED[entity].id])
        return {str(row[_TIMED[entity].id]) for row in await self._rows(commands)}

    async def _raise_unless_absent(self, entity: str, answers: Mapping[str, Answer]) -> None:
        """Raise what was refused about records that exist."""
        refused = {name: answer.error for name, answer in answers.items() if answer.error}
        there = await self.existing(entity, list(refused))
        for name, error in refused.items():
            if name in there or isinstance(error, AccessError):
                raise error

    async def _listed_by_identifier(self, entity: str, identifiers: Sequence[str]) -> list[Record]:
        rows = await self._rows(self._by_identifier(entity, identifiers, _TIMED[entity].select))
        found = {record.id: record for record in (_record(entity, row) for row in rows)}
        return await self._with_links(entity, [found[name] for name in identifiers if name in found])

    @staticmethod
    def _by_identifier(entity: str, identifiers: Sequence[str], select: Sequence[str]) -> list[Command]:
        """List records by identifier, a page of them per command."""
        timed = _TIMED[entity]
        parts = [identifiers[at : at + PAGE] for at in range(0, len(identifiers), PAGE)]
        given = {**(timed.parameters or {}), "select": list(select), "order": {timed.id: "ASC"}, "start": -1}
        return [Command(timed.method, {**given, "filter": {f"@{timed.id}": list(map(int, part))}}) for part in parts]

    async def _rows(self, commands: Sequence[Command]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for answer in await self._portal.batch(commands):
            if answer.error:
                raise answer.error
            result = answer.result
            rows += (result.get("items") or result.get("tasks") or []) if isinstance(result, dict) else result
        return rows

    async def belonging(self, entity: str, owners: Sequence[Record]) -> list[Record]:
        """What belongs to records.

        Args:
            entity: one of ``BELONGING``.
            owners: all of one kind.
        """
        if not owners:
            return []
        readers: dict[str, Callable[[Sequence[Record]], Any]] = {
            "product_rows": self._product_rows,
            "address": self._addresses,
            "comment": self._comments,
            "task_comment": self._task_comments,
            "checklist": self._checklists,
        }
        found: list[Record] = await readers[entity](owners)
        return found

    async def identifiers(self, entity: str) -> AsyncIterator[list[int]]:
        """All identifiers of a kind that is listed by time, for finding deletions."""
        timed = _TIMED[entity]
        key = timed.id.upper() if entity == "task" else timed.id
        async for page in self._portal.rows(timed.method, select=[key], parameters=timed.parameters):
            yield [int(row[timed.id]) for row in page]

    async def _listed(self, entity: str, filters: Mapping[str, Any]) -> AsyncIterator[list[Record]]:
        timed = _TIMED[entity]
        pages = self._portal.rows(timed.method, filter=filters, select=timed.select, parameters=timed.parameters)
        async for records in ahead(
            pages, lambda page: self._with_links(entity, [_record(entity, row) for row in page]), _AHEAD
        ):
            yield records

    async def _active(self, entity: str, owner: str, since: datetime) -> AsyncIterator[list[Record]]:
        """Records to which something of a kind may have been added since a time."""
        moment = since.isoformat(timespec="seconds")
        timed = _TIMED[owner]
        if entity == "task_comment":
            # A comment leaves CHANGED_DATE as it is; tasks are sorted by their last activity, but not filtered.
            async for tasks in self._recent_tasks(since):
                yield tasks
            return
        select = [timed.id, timed.created, timed.modified]
        filters: list[dict[str, Any]] = [{f">={field}": moment} for field in timed.by]
        if entity == "comment":
            either = {"logic": "OR", "0": filters[0], "1": {">=lastActivityTime": moment}}
            filters = [{"0": either}]
        if owner == "task":
            select = [name.upper() for name in ("id", "created_date", "changed_date")]
        seen: set[str] = set()
        for wanted in filters:
            pages = self._portal.rows(timed.method, filter=wanted, select=select, parameters=timed.parameters)
            async for page in pages:
                fresh = [record for row in page if (record := _record(owner, row)).id not in seen]
                if len(filters) > 1:
                    seen.update(record.id for record in fresh)
                if fresh:
                    yield fresh

    async def _recent_tasks(self, since: datetime) -> AsyncIterator[list[Record]]:
        start: int | None = 0
        seen: set[str] = set()
        while start is not None:
            parameters = {
                "order": {"ACTIVITY_DATE": "DESC", "ID": "DESC"},
                "select": ["ID", "CREATED_DATE", "CHANGED_DATE", "ACTIVITY_DATE"],
                "start": start,
            }
            answer = await self._portal.call("tasks.task.list", parameters)
            rows = answer.result["tasks"]
            recent = [row for row in rows if (moment(row.get("activityDate")) or since) >= since]
            tasks = [_record("task", row) for row in recent if str(row["id"]) not in seen]
            seen.update(task.id for task in tasks)
            if tasks:
                yield tasks
            start = answer.next if len(recent) == len(rows) else None

    async def _with_links(self, entity: str, records: list[Record]) -> list[Record]:
        """Add what a list lacks: telephones and mails, further contacts and companies, bindings of an activity."""
        if entity in _MULTI:
            lacking = [record for record in records if "fm" not in record.fields]
            given = {"entityTypeId": BY_ENTITY[entity].type_id}
            for record, answer in await self._each(
                lacking, lambda record: Command("crm.item.get", {**given, "id": int(record.id)})
            ):
                record.fields["fm"] = answer.result["item"].get("fm") or []
        if entity in {"lead", "deal", "contact"}:
            many, one, other = (
                ("companyIds", "companyId", "company")
                if entity == "contact"
                else ("contactIds", "contactId", "contact")
            )
            method = f"crm.{entity}.{other}.items.get"
            lacking = [record for record in records if many not in record.fields]
            asked = [record for record in lacking if int(record.fields.get(one) or 0)]
            for record in lacking:
                record.fields[many] = []
            for record, answer in await self._each(asked, lambda record: Command(method, {"id": int(record.id)})):
                record.fields[many] = [int(link[f"{other.upper()}_ID"]) for link in answer.result]
        elif entity == "activity":
            bindings = await self._each(
                records, lambda record: Command("crm.activity.binding.list", {"activityId": int(record.id)})
            )
            for record, answer in bindings:
                record.fields["BINDINGS"] = answer.result
        return records

    async def _each(
        self, records: Iterable[Record], command: Callable[[Record], Command]
    ) -> list[tuple[Record, Answer]]:
        """Send a command for each record; records deleted meanwhile are left out."""
        asked = list(records)
        answers = await self._portal.batch([command(record) for record in asked])
        given = dict(zip([record.id for record in asked], answers, strict=True))
        if asked:
            await self._raise_unless_absent(asked[0].entity, given)
        return [(record, answer) for record, answer in zip(asked, answers, strict=True) if answer.error is None]

    async def _product_rows(self, owners: Sequence[Record]) -> list[Record]:
        short = BY_ENTITY[owners[0].entity].short
        rows: dict[str, list[dict[str, Any]]] = {owner.id: [] for owner in owners}
        parts = [owners[at : at + _ROW_OWNERS] for at in range(0, len(owners), _ROW_OWNERS)]
        pending = [([int(owner.id) for owner in part], 0) for part in parts]
        while pending:
            filters = [{"=ownerType": short, "=ownerId": ids, ">id": after} for ids, after in pending]
            commands = [
                Command("crm.item.productrow.list", {"filter": one, "order": {"id": "ASC"}, "start": -1})
                for one in filters
            ]
            asked, pending = pending, []
            for (ids, _), answer in zip(asked, await self._portal.batch(commands), strict=True):
                if answer.error:
                    raise answer.error
                page = answer.result["productRows"]
                for row in page:
                    rows[str(row["ownerId"])].append(row)
                if len(page) == PAGE:
                    pending.append((ids, int(page[-1]["id"])))
        found = []
        for owner in owners:
            ordered = sorted(rows[owner.id], key=lambda row: (int(row.get("sort") or 0), int(row["id"])))
            fields = {"ownerType": short, "ownerId": int(owner.id), "rows": ordered}
            found.append(Record("product_rows", f"{short}:{owner.id}", fields, owner.modified, owner.created))
        return found

    async def _addresses(self, owners: Sequence[Record]) -> list[Record]:
        kind = REQUISITE if owners[0].entity == "requisite" else BY_ENTITY[owners[0].entity].type_id
        by_id = {owner.id: owner for owner in owners}
        ids = list(by_id)
        pending = [(ids[at : at + _ROW_OWNERS], 0) for at in range(0, len(ids), _ROW_OWNERS)]
        found: dict[str, Record] = {}
        while pending:
            order = {"ENTITY_ID": "ASC", "TYPE_ID": "ASC"}
            filters = {"ENTITY_TYPE_ID": kind}
            commands = [
                Command("crm.address.list", {"filter": {**filters, "@ENTITY_ID": part}, "order": order, "start": start})
                for part, start in pending
            ]
            asked, pending = pending, []
            for (part, _), answer in zip(asked, await self._portal.batch(commands), strict=True):
                if answer.error:
                    raise answer.error
                for row in answer.result:
                    owner = by_id[str(row["ENTITY_ID"])]
                    identifier = f"{row['TYPE_ID']}:{kind}:{row['ENTITY_ID']}"
                    found[identifier] = Record("address", identifier, row, owner.modified, owner.created)
                if answer.next:
                    pending.append((part, answer.next))
        return list(found.values())

    async def _comments(self, owners: Sequence[Record]) -> list[Record]:
        kind = owners[0].entity
        pending = {owner.id: (owner, 0) for owner in owners}
        found: list[Record] = []
        while pending:
            asked = list(pending.values())
            commands = []
            for owner, start in asked:
                filters = {"ENTITY_TYPE": kind, "ENTITY_ID": int(owner.id)}
                given = {"filter": filters, "order": {"ID": "ASC"}, "start": start}
                commands.append(Command("crm.timeline.comment.list", given))
            pending = {}
            answers = await self._portal.batch(commands)
            await self._raise_unless_absent(
                kind, {owner.id: answer for (owner, _), answer in zip(asked, answers, strict=True)}
            )
            for (owner, _), answer in zip(asked, answers, strict=True):
                if answer.error:
                    continue
                found += [_comment(row, owner) for row in answer.result]
                if answer.next:
                    pending[owner.id] = (owner, answer.next)
        return found

    async def _task_comments(self, owners: Sequence[Record]) -> list[Record]:
        answers = await self._each(
            owners, lambda task: Command("task.commentitem.getlist", {"TASKID": int(task.id), "ORDER": {"ID": "asc"}})
        )
        return [
            Record("task_comment", str(row["ID"]), {**row, "TASK_ID": task.id}, at, at)
            for task, answer in answers
            for row in answer.result
            for at in [moment(row.get("POST_DATE")) or task.modified]
        ]

    async def _checklists(self, owners: Sequence[Record]) -> list[Record]:
        answers = await self._each(owners, lambda task: Command("task.checklistitem.getlist", {"TASKID": int(task.id)}))
        return [
            Record("checklist", str(row["ID"]), {**row, "TASK_ID": task.id}, task.modified, task.created)
            for task, answer in answers
            for row in sorted(answer.result, key=lambda row: (int(row.get("SORT_INDEX") or 0), int(row["ID"])))
        ]


def _record(entity: str, row: dict[str, Any]) -> Record:
    timed = _TIMED[entity]
    created = moment(row.get(timed.created))
    modified = moment(row.get(timed.modified)) or created
    if modified is None:
        modified = datetime.fromtimestamp(0, UTC)
    return Record(entity, str(row[timed.id]), row, modified, created or modified)


def _comment(row: dict[str, Any], owner: Record | None) -> Record:
    at = moment(row.get("CREATED")) or (owner.modified if owner else datetime.fromtimestamp(0, UTC))
    return Record("comment", str(row["ID"]), row, at, at)


def _get(entity: str, identifier: str) -> Command:
    if entity == "task":
        return Command("tasks.task.get", {"taskId": int(identifier), "select": list(_TASK_FIELDS)})
    return Command("crm.timeline.comment.get", {"id": int(identifier)})


def _found(entity: str, result: Any) -> dict[str, Any] | None:
    """The record in the answer of a ``get``; a task that does not exist is an empty list."""
    key = "task" if entity == "task" else ""
    row = result.get(key) if key and isinstance(result, dict) else result
    return row if isinstance(row, dict) and row else None
