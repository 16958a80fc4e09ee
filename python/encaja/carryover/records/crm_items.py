"""Leads, deals, contacts and companies: new ones are imported, changed ones are updated field by field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encaja.carryover.context import Context
from encaja.carryover.mapping.entities import BY_ENTITY, ItemKind
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.records.file_fields import carry_files
from encaja.carryover.records.imports import add, resolve
from encaja.carryover.records.updates import change
from encaja.carryover.source.reader import Record


async def carry(context: Context, kind: ItemKind, records: Sequence[Record]) -> None:
    """Carry records over: those that are new, and those that have changed since they were last carried."""
    await resolve(context, kind)
    links = context.map.find(kind.entity, [record.id for record in records])
    watermark = context.map.watermark(kind.entity)
    new: list[Record] = []
    known: list[tuple[Record, Link | None]] = []
    for record in records:
        link = links.get(record.id)
        context.note_straggler(record)
        if link is None and int(record.id) > watermark:
            new.append(record)
        elif link is None or link.state is State.DONE:
            known.append((record, link))
    await ensure(
        context, {pair for record in records for pair in context.translation.references(kind.entity, record.fields)}
    )
    await add(context, kind, new)
    await change(context, kind, known)
    await carry_files(context, kind, records)


async def ensure(context: Context, references: Iterable[tuple[str, str]]) -> None:
    """Carry records that others refer to and that are not in the box yet, however old they are."""
    missing: dict[str, list[str]] = {}
    for entity, identifier in references:
        if (entity, identifier) not in context.absent and context.map.box_id(entity, identifier) is None:
            missing.setdefault(entity, []).append(identifier)
    for entity, identifiers in missing.items():
        kind = BY_ENTITY[entity]
        states = context.map.find(entity, identifiers)
        wanted = [name for name in identifiers if name not in states or states[name].state is State.SENDING]
        context.absent |= {(entity, name) for name in wanted}  # requested once, whatever the result
        records = await context.reader.fetch(entity, wanted)
        if records:
            await carry(context, kind, sorted(records, key=lambda record: record.created))
        context.absent -= {(entity, record.id) for record in records}
