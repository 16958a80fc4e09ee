"""Records that the cloud no longer has: found by identifiers and by offline events, and handled by rule.

Offline events also report changed comments, which no list shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import fingerprint
from encaja.carryover.mapping.entities import BY_ENTITY, ITEMS
from encaja.carryover.mapping.identity_map import Conflict, Link, State
from encaja.carryover.merge import RECORD
from encaja.carryover.records.base import RecordKind, rows_of
from encaja.carryover.records.kinds import record_kinds
from encaja.carryover.settings import Deletion
from encaja.carryover.source.offline_events import OfflineEvents, Taken
from encaja.carryover.source.origins import get_items
from encaja.carryover.source.reader import Reader, Record
from encaja.rest.command import Command
from encaja.rest.errors import AccessError, RefusedError

Carry = Callable[[Sequence[Record]], Awaitable[None]]
_READ = frozenset({*BY_ENTITY, "requisite", "bank_detail", "activity", "task", "comment"})


class Identifiers:
    """A set of identifiers, a bit each: a million take 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """Add one."""
        at = number >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1024 - len(self._bits)))
        self._bits[at] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] & (1 << (number & 7)))


async def _identifiers(reader: Reader, entity: str) -> Identifiers:
    """All identifiers that a portal has of a kind."""
    found = Identifiers()
    async for page in reader.identifiers(entity):
        for number in page:
            found.add(number)
    return found


async def sweep(context: Context) -> None:
    """Compare all identifiers, and apply the rule to what the cloud no longer has."""
    for kind in reversed(record_kinds(context)):
        try:
            await treat(context, kind.entity, await _gone(context, kind.entity))
        except AccessError:
            raise
        except RefusedError as fault:
            context.refused[kind.entity] = fault.what
    for item in reversed(ITEMS):
        await treat(context, item.entity, await _gone(context, item.entity))


async def _gone(context: Context, entity: str) -> list[str]:
    """Records that the box has from the cloud, and that the cloud has no longer."""
    watermark = context.map.watermark(entity)
    # The box first: what is deleted in the cloud in between is then found the next time, not overlooked.
    box = [number async for page in context.box_reader.identifiers(entity) for number in page if number <= watermark]
    cloud = await _identifiers(context.reader, entity)
    known = context.map.find(entity, [str(number) for number in box])
    gone = [str(number) for number in box if number not in cloud and _is_open(known.get(str(number)))]
    return gone + [
        link.cloud
        for link in context.map.links(entity, State.DONE)
        if int(link.cloud) > watermark and int(link.cloud) not in cloud
    ]


def _is_open(link: Link | None) -> bool:
    return link is None or link.state is State.DONE


async def treat(context: Context, entity: str, gone: Sequence[str]) -> None:
    """Apply the rule for deletions.

    Args:
        context: the carry-over.
        entity: kind of the records.
        gone: identifiers of records that the cloud no longer has.
    """
    links = context.map.find(entity, gone)
    watermark = context.map.watermark(entity)
    boxes = {
        name: links[name].box if name in links else name for name in gone if name in links or int(name) <= watermark
    }
    kinds = _kinds(context)
    rows = await (
        rows_of(kinds[entity], list(boxes.values()))
        if entity in kinds
        else get_items(context.box, BY_ENTITY[entity], list(boxes.values()))
    )
    for name in gone:
        row = rows.get(boxes.get(name, ""))
        if row is None:
            _mark(context, entity, name, State.GONE)
            continue
        changed = _changed_here(context, entity, links.get(name), row)
        if context.settings.deletions is not Deletion.CLOUD or changed:
            _keep(context, entity, name, boxes[name], changed=changed)
        elif context.dry_run or await _delete(context, entity, name, boxes[name]):
            context.tally.count("deleted", entity)


async def apply_answers(context: Context) -> None:
    """Apply decisions about records that one side deleted."""
    for (entity, name), items in context.decided.items():
        for item in items:
            if item.field != RECORD:
                continue
            if item.decision == "cloud":
                if not await _delete(context, entity, name, item.box):
                    continue
                context.tally.count("deleted", entity)
            with context.map.transaction():
                context.map.conflict(item)
                context.map.applied(entity, name)


def _kinds(context: Context) -> dict[str, RecordKind]:
    return {kind.entity: kind for kind in record_kinds(context)}


async def _delete(context: Context, entity: str, name: str, box: str) -> bool:
    """Delete a record of the box; False where it refuses, which is noted."""
    kinds = _kinds(context)
    if entity in kinds:
        command = kinds[entity].delete(box)
    else:
        command = Command("crm.item.delete", {"entityTypeId": BY_ENTITY[entity].type_id, "id": int(box)})
    try:
        await context.box.call(command.method, command.parameters)
    except RefusedError as fault:
        if await context.box_reader.existing(entity, [box]):
            what = f"the box refuses to delete it: {fault.what}"
            context.map.note_fault(entity, name, what, "delete it by hand")
            return False
    _mark(context, entity, name, State.GONE)
    return True


def _keep(context: Context, entity: str, name: str, box: str, *, changed: bool) -> None:
    if context.dry_run:
        return
    decision = "open" if context.settings.deletions is Deletion.ASK else "box"
    here = "changed" if changed else "there"
    context.map.conflict(Conflict(entity, name, box, RECORD, "deleted", here, decision))
    _mark(context, entity, name, State.KEPT, box)


def _mark(context: Context, entity: str, name: str, state: State, box: str = "") -> None:
    if not context.dry_run:
        context.map.mark(entity, name, state, box)
        context.map.clear_fault(entity, name)


def _changed_here(context: Context, entity: str, link: Link | None, row: dict[str, Any]) -> bool:
    """Whether a record was changed in the box since it was carried, or since the backup was restored."""
    if link is None:
        return context.touched(row)
    kinds = _kinds(context)
    if entity in kinds:
        have = kinds[entity].here(row, link.have)
    else:
        known = context.translation.box.fields[entity]
        have = context.translation.here(entity, row, [name for name in link.have if name in known])
    return any(fingerprint(value) != link.have[name] for name, value in have.items())


async def listen(context: Context, events: OfflineEvents, carriers: dict[str, Carry]) -> None:
    """Process the queue of offline events; each part is confirmed when done, so a killed process gets it again."""
    if not await events.confirmable():
        taken = await events.peek(int(context.map.note("heard", 0)))
        await _process(context, taken, carriers)
        context.map.remember("heard", taken.last)
        return
    for taken in await events.take():
        await _process(context, taken, carriers)
        await events.confirm(taken)


async def _process(context: Context, taken: Taken, carriers: dict[str, Carry]) -> None:
    deleted: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for change in taken.changes:
        (deleted if change.what == "deleted" else changed).setdefault(change.entity, []).append(change.id)
    for entity, names in changed.items():
        if entity in _READ and (records := await context.reader.fetch(entity, names)):
            await carriers[entity](records)
    known = {*BY_ENTITY, *_kinds(context)}
    for entity, names in deleted.items():
        # The event may be outdated: only what the cloud really no longer has is deleted.
        there = {record.id for record in await context.reader.fetch(entity, names)} if entity in _READ else set(names)
        gone = [name for name in dict.fromkeys(names) if name not in there]
        if entity in known:
            await treat(context, entity, gone)
