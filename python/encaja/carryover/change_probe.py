"""The change probe: one request asks for every kind whether anything changed, and only what did is read.

A cloud allows two requests a second in the long run, so a probe that finds nothing must not cost more than one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import moment
from encaja.carryover.mapping.entities import BY_ENTITY, ITEMS
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.records import crm_items
from encaja.carryover.records.base import RecordKind
from encaja.carryover.records.base import carry as carry_records
from encaja.carryover.records.comment_activity import CommentBatch, active
from encaja.carryover.records.comments import carry_checklists, carry_comments, carry_task_comments
from encaja.carryover.records.kinds import record_kinds
from encaja.carryover.records.product_rows import carry_rows
from encaja.carryover.records.requisites import carry_addresses
from encaja.carryover.source.reader import BELONGING, Record
from encaja.rest.command import Command
from encaja.rest.errors import AccessError, RefusedError
from encaja.rest.prefetch import ahead, buffered, concurrently, grouped

_OWNERS = 1000
"""Records that are carried together, and whose rows and addresses fill a request."""
_COMMENTS_AHEAD = 4
"""Concurrent requests for comments: enough for the cloud's limits, few enough not to hold up the others."""
_COMMENTS_KEPT = 400
"""Pages of records whose comments are kept until the records themselves are in the box."""
_SAME_SECOND = timedelta(seconds=2)
"""Times are in seconds: what was carried so soon after its modification may have been modified again."""


def _probes(since: datetime) -> dict[str, list[Command]]:
    """By kind: commands that find something where it changed."""
    at = since.isoformat(timespec="seconds")

    def listing(method: str, field: str, key: str = "ID", **more: Any) -> Command:
        return Command(method, {"filter": {f">={field}": at}, "select": [key], "start": -1, **more})

    found: dict[str, list[Command]] = {}
    for kind in ITEMS:
        item = partial(listing, "crm.item.list", key="id", entityTypeId=kind.type_id)
        found[kind.entity] = [item("updatedTime")]
        found[f"comment:{kind.entity}"] = [item("lastActivityTime")]
    for entity, method in (("requisite", "crm.requisite.list"), ("bank_detail", "crm.requisite.bankdetail.list")):
        found[entity] = [listing(method, "DATE_MODIFY"), listing(method, "DATE_CREATE")]
    found["activity"] = [listing("crm.activity.list", "LAST_UPDATED")]
    found["task"] = [listing("tasks.task.list", "CHANGED_DATE")]
    latest = {"order": {"ACTIVITY_DATE": "DESC"}, "select": ["ID", "ACTIVITY_DATE"], "start": -1}
    found["task_comment"] = [Command("tasks.task.list", latest)]
    return found


_Carry = Callable[[list[Record]], Awaitable[None]]


class ChangeProbe:
    """Finds and carries what changed in the cloud.

    Args:
        context: the carry-over.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    async def carry_changes(self, since: datetime) -> None:
        """Carry everything that changed since a time by the cloud's clock.

        Raises:
            AccessError, UnreachableError: the cloud cannot be read.
        """
        changed = await self._changed(since)
        commented = [entity for entity in BY_ENTITY if f"comment:{entity}" in changed]
        # Comments take by far the most requests: they are read while everything else is being written.
        async with buffered(self._comments(commented, since), _COMMENTS_KEPT) as comments:
            for kind in ITEMS:
                if kind.entity in changed:
                    await self._items(kind.entity, since)
            await self._other_kinds(changed, since)
            async for batch in comments:
                await carry_comments(self.context, batch.records)
                batch.remember(self.context)

    async def _other_kinds(self, changed: set[str], since: datetime) -> None:
        requisites, bank_details, activities, tasks = record_kinds(self.context)
        if "requisite" in changed:
            owners = await self._records(requisites, since)
            await self._belonging("address", owners, partial(carry_addresses, self.context))
        if "bank_detail" in changed:
            await self._records(bank_details, since)
        if "activity" in changed:
            await self._records(activities, since)
        if "task" in changed:
            owners = await self._records(tasks, since)
            await self._belonging("checklist", owners, partial(carry_checklists, self.context))
        if "task_comment" in changed:
            async for records in self.context.reader.changed("task_comment", since):
                await carry_task_comments(self.context, records)

    async def _changed(self, since: datetime) -> set[str]:
        probes = _probes(since)
        commands = [(entity, command) for entity, some in probes.items() for command in some]
        answers = await self.context.cloud.batch([command for _, command in commands])
        found = set()
        for (entity, _), answer in zip(commands, answers, strict=True):
            if isinstance(answer.error, AccessError):
                raise answer.error
            if answer.error:
                # Where the probe is refused, the reader says why.
                self.context.refused.setdefault(entity.partition(":")[0], answer.error.what)
                continue
            rows = answer.result
            if isinstance(rows, dict):
                rows = rows.get("items", rows.get("tasks"))
            if entity == "task_comment":
                rows = [row for row in rows[:1] if (moment(row.get("activityDate")) or since) >= since]
            if rows:
                found.add(entity)
                self.context.refused.pop(entity.partition(":")[0], None)
        return found

    async def _items(self, entity: str, since: datetime) -> None:
        dependents: dict[str, _Carry] = {}
        if entity in BELONGING["product_rows"]:
            dependents["product_rows"] = partial(carry_rows, self.context)
        if entity == "lead":
            dependents["address"] = partial(carry_addresses, self.context)
        async for records in grouped(self.context.reader.changed(entity, since), _OWNERS):
            fresh = self._fresh(records)
            owners = [_slim(record) for record in fresh]
            async with AsyncExitStack() as stack:
                reading = [
                    (await stack.enter_async_context(concurrently(self._read_belonging(name, owners))), carry)
                    for name, carry in dependents.items()
                ]
                await crm_items.carry(self.context, BY_ENTITY[entity], fresh)
                for task, carry in reading:
                    await carry(await task)

    async def _records(self, kind: RecordKind, since: datetime) -> list[Record]:
        owners: list[Record] = []
        try:
            async for page in self.context.reader.changed(kind.entity, since):
                fresh = self._fresh(page)
                await carry_records(kind, fresh)
                owners += [_slim(record) for record in fresh]
        except AccessError:
            raise
        except RefusedError as fault:
            self.context.refused[kind.entity] = fault.what
        return owners

    async def _belonging(self, entity: str, owners: Sequence[Record], carry: _Carry) -> None:
        for at in range(0, len(owners), _OWNERS):
            await carry(await self._read_belonging(entity, owners[at : at + _OWNERS]))

    async def _read_belonging(self, entity: str, owners: Sequence[Record]) -> list[Record]:
        try:
            return await self.context.reader.belonging(entity, owners)
        except AccessError:
            raise
        except RefusedError as fault:
            self.context.refused[entity] = fault.what
            return []

    async def _comments(self, entities: Sequence[str], since: datetime) -> AsyncIterator[CommentBatch]:
        for entity in entities:
            batches = active(self.context, entity, {">=lastActivityTime": since.isoformat(timespec="seconds")})
            read = ahead(batches, lambda batch: batch.read(self.context, since), _COMMENTS_AHEAD)
            async with aclosing(read):
                async for batch in read:
                    if batch.owners:
                        yield batch

    def _fresh(self, page: Sequence[Record]) -> list[Record]:
        """Records that were not carried since they were last modified."""
        if not page:
            return []
        links = self.context.map.find(page[0].entity, [record.id for record in page])
        return [record for record in page if not self._is_carried(record, links.get(record.id))]

    def _is_carried(self, record: Record, link: Link | None) -> bool:
        if link is None or link.state is not State.DONE or link.modified != record.modified.isoformat():
            return False
        return self.context.in_cloud(link.sent) >= record.modified + _SAME_SECOND


def _slim(record: Record) -> Record:
    return Record(record.entity, record.id, {}, record.modified, record.created)
