"""Records that the cloud no longer has: found by comparing identifiers, and treated by rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import fingerprint
from encaja.carryover.mapping.entities import BY_ENTITY, ITEMS, ItemKind
from encaja.carryover.mapping.identity_map import Conflict, Link, State
from encaja.carryover.merge import RECORD
from encaja.carryover.records.base import Part, rows_of
from encaja.carryover.records.kinds import parts_of
from encaja.carryover.settings import Deletion
from encaja.carryover.source.offline_events import OfflineEvents, Taken
from encaja.carryover.source.origins import get_items
from encaja.carryover.source.reader import Reader, Record, is_absent
from encaja.rest.command import Command
from encaja.rest.errors import AccessError, RefusedError

Carry = Callable[[Sequence[Record]], Awaitable[None]]
_READ = frozenset({*BY_ENTITY, "requisite", "bank_detail", "activity", "task", "comment"})


class Identifiers:
    """A set of identifiers, a bit each: a million take 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """Put one in."""
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
    """Compare all identifiers, and treat what the cloud no longer has."""
    for part in reversed(parts_of(context)):
        try:
            await treat_parts(context, part, await _gone(context, part.entity))
        except AccessError:
            raise
        except RefusedError as fault:
            context.refused[part.entity] = fault.what
    for kind in reversed(ITEMS):
        await treat(context, kind, await _gone(context, kind.entity))


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


async def treat(context: Context, kind: ItemKind, gone: Sequence[str]) -> None:
    """Treat records of the cloud that are no longer there, by rule.

    Args:
        context: the carry-over.
        kind: of the records.
        gone: their identifiers in the cloud.
    """
    links = context.map.find(kind.entity, gone)
    watermark = context.map.watermark(kind.entity)
    boxes = {
        name: links[name].box if name in links else name for name in gone if name in links or int(name) <= watermark
    }
    there = await get_items(context.box, kind, list(boxes.values()))
    for name in gone:
        item = there.get(boxes.get(name, ""))
        if item is None:
            _mark(context, kind.entity, [name], State.GONE)
            continue
        link = links.get(name)
        touched = _changed_here(context, kind, link, item)
        if context.settings.deletions is Deletion.CLOUD and not touched:
            if context.dry_run:
                context.tally.count("deleted", kind.entity)
                continue
            answer = await _delete(context, kind, boxes[name])
            if answer:
                context.map.note_fault(
                    kind.entity, name, f"the box refuses to delete it: {answer}", "delete it by hand"
                )
                continue
            _mark(context, kind.entity, [name], State.GONE)
            context.tally.count("deleted", kind.entity)
            continue
        if not context.dry_run:
            _keep(context, kind.entity, name, boxes[name], touched=touched)


async def treat_parts(context: Context, part: Part, gone: Sequence[str]) -> None:
    """Treat requisites, activities and tasks that the cloud no longer has, by rule."""
    links = context.map.find(part.entity, gone)
    watermark = context.map.watermark(part.entity)
    boxes = {
        name: links[name].box if name in links else name for name in gone if name in links or int(name) <= watermark
    }
    rows = await rows_of(part, list(boxes.values()))
    for name in gone:
        row = rows.get(boxes.get(name, ""))
        if row is None:
            _mark(context, part.entity, [name], State.GONE)
            continue
        link = links.get(name)
        touched = link is not None and any(
            fingerprint(value) != link.have[field] for field, value in part.here(row, link.have).items()
        )
        if context.settings.deletions is Deletion.CLOUD and not touched:
            if not context.dry_run:
                command = part.delete(boxes[name])
                try:
                    await context.box.call(command.method, command.parameters)
                except RefusedError as fault:
                    if not is_absent(fault):
                        context.map.note_fault(
                            part.entity, name, f"the box refuses to delete it: {fault.what}", "delete it by hand"
                        )
                        continue
                _mark(context, part.entity, [name], State.GONE)
            context.tally.count("deleted", part.entity)
        elif not context.dry_run:
            _keep(context, part.entity, name, boxes[name], touched=touched)


async def apply_answers(context: Context) -> None:
    """Do what persons decided about records that one side deleted."""
    parts = {part.entity: part for part in parts_of(context)}
    for (entity, name), items in context.decided.items():
        for item in (item for item in items if item.field == RECORD):
            if item.decision == "cloud":
                if entity in parts:
                    command = parts[entity].delete(item.box)
                else:
                    kind = BY_ENTITY[entity]
                    command = Command("crm.item.delete", {"entityTypeId": kind.type_id, "id": int(item.box)})
                try:
                    await context.box.call(command.method, command.parameters)
                except RefusedError as fault:
                    if not is_absent(fault):
                        context.map.note_fault(
                            entity, name, f"the box refuses to delete it: {fault.what}", "delete it there"
                        )
                        continue
                context.tally.count("deleted", entity)
                _mark(context, entity, [name], State.GONE)
            with context.map.transaction():
                context.map.conflict(item)
                context.map.applied(entity, name)


def _keep(context: Context, entity: str, name: str, box: str, *, touched: bool) -> None:
    decision = "open" if context.settings.deletions is Deletion.ASK else "box"
    here = "changed" if touched else "there"
    context.map.conflict(Conflict(entity, name, box, RECORD, "deleted", here, decision))
    _mark(context, entity, [name], State.KEPT, box)


def _mark(context: Context, entity: str, names: Iterable[str], state: State, box: str = "") -> None:
    if context.dry_run:
        return
    for name in names:
        context.map.mark(entity, name, state, box)
        context.map.clear_fault(entity, name)


def _changed_here(context: Context, kind: ItemKind, link: Link | None, item: dict[str, object]) -> bool:
    if link is None or not link.have:
        return link is None and context.touched(item)
    have = context.translation.here(
        kind.entity, item, [name for name in link.have if name in context.translation.box.fields[kind.entity]]
    )
    return any(fingerprint(value) != link.have[name] for name, value in have.items())


async def _delete(context: Context, kind: ItemKind, box: str) -> str:
    try:
        await context.box.call("crm.item.delete", {"entityTypeId": kind.type_id, "id": int(box)})
    except RefusedError as fault:
        return "" if is_absent(fault) else fault.what
    return ""


async def listen(context: Context, events: OfflineEvents, carriers: dict[str, Carry]) -> None:
    """Deal with what is in the queue; what is dealt with is confirmed, so that a killed process gets it again."""
    if not await events.confirmable():
        taken = await events.peek(int(context.map.note("heard", 0)))
        await _deal(context, taken, carriers)
        context.map.remember("heard", taken.last)
        return
    for taken in await events.take():
        await _deal(context, taken, carriers)
        await events.confirm(taken)


async def _deal(context: Context, taken: Taken, carriers: dict[str, Carry]) -> None:
    deleted: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for change in taken.changes:
        (deleted if change.what == "deleted" else changed).setdefault(change.entity, []).append(change.id)
    for entity, names in changed.items():
        if entity in _READ and (records := await context.reader.fetch(entity, names)):
            await carriers[entity](records)
    parts = {part.entity: part for part in parts_of(context)}
    for entity, names in deleted.items():
        # An event may be older than what is there now: only what the cloud really has no longer is deleted.
        there = {record.id for record in await context.reader.fetch(entity, names)} if entity in _READ else set(names)
        gone = [name for name in dict.fromkeys(names) if name not in there]
        if entity in BY_ENTITY:
            await treat(context, BY_ENTITY[entity], gone)
        elif entity in parts:
            await treat_parts(context, parts[entity], gone)
