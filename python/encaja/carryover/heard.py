"""What the cloud's offline events tell beyond what reading shows: deletions at once, and changed comments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from encaja.carryover import deletions
from encaja.carryover.context import Work
from encaja.carryover.mapping.entities import BY_ENTITY
from encaja.carryover.records.kinds import parts_of
from encaja.carryover.source.offline_events import OfflineEvents, Taken
from encaja.carryover.source.reader import Record

Carry = Callable[[Sequence[Record]], Awaitable[None]]
_READ = frozenset({*BY_ENTITY, "requisite", "bank_detail", "activity", "task", "comment"})


async def listen(work: Work, events: OfflineEvents, carriers: dict[str, Carry]) -> None:
    """Deal with what is in the queue; what is dealt with is confirmed, so that a killed process gets it again."""
    if not await events.confirmable():
        taken = await events.peek(int(work.map.note("heard", 0)))
        await _deal(work, taken, carriers)
        work.map.remember("heard", taken.last)
        return
    for taken in await events.take():
        await _deal(work, taken, carriers)
        await events.confirm(taken)


async def _deal(work: Work, taken: Taken, carriers: dict[str, Carry]) -> None:
    deleted: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for change in taken.changes:
        (deleted if change.what == "deleted" else changed).setdefault(change.entity, []).append(change.id)
    for entity, names in changed.items():
        if entity in _READ and (records := await work.reader.fetch(entity, names)):
            await carriers[entity](records)
    parts = {part.entity: part for part in parts_of(work)}
    for entity, names in deleted.items():
        # An event may be older than what is there now: only what the cloud really has no longer is deleted.
        there = {record.id for record in await work.reader.fetch(entity, names)} if entity in _READ else set(names)
        gone = [name for name in dict.fromkeys(names) if name not in there]
        if entity in BY_ENTITY:
            await deletions.treat(work, BY_ENTITY[entity], gone)
        elif entity in parts:
            await deletions.treat_parts(work, parts[entity], gone)
