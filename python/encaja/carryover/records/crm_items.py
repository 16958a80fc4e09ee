"""Leads, deals, contacts and companies: new ones are imported, changed ones are updated field by field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encaja.carryover.context import Work
from encaja.carryover.mapping.entities import BY_ENTITY, ItemKind
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.records.file_fields import carry_files
from encaja.carryover.records.imports import add, settle
from encaja.carryover.records.updates import change
from encaja.carryover.source.reader import Record


async def carry(work: Work, kind: ItemKind, records: Sequence[Record]) -> None:
    """Carry records over: those that are new, and those that have changed since they were last carried."""
    await settle(work, kind)
    links = work.map.find(kind.entity, [record.id for record in records])
    watermark = work.map.watermark(kind.entity)
    new: list[Record] = []
    known: list[tuple[Record, Link | None]] = []
    for record in records:
        link = links.get(record.id)
        work.straggles(record)
        if link is None and int(record.id) > watermark:
            new.append(record)
        elif link is None or link.state is State.DONE:
            known.append((record, link))
    await ensure(work, {pair for record in records for pair in work.translation.references(kind.entity, record.fields)})
    await add(work, kind, new)
    await change(work, kind, known)
    await carry_files(work, kind, records)


async def ensure(work: Work, references: Iterable[tuple[str, str]]) -> None:
    """Carry what others refer to and what is not in the box yet, however old it is."""
    missing: dict[str, list[str]] = {}
    for entity, identifier in references:
        if (entity, identifier) not in work.absent and work.map.box_id(entity, identifier) is None:
            missing.setdefault(entity, []).append(identifier)
    for entity, identifiers in missing.items():
        kind = BY_ENTITY[entity]
        states = work.map.find(entity, identifiers)
        wanted = [name for name in identifiers if name not in states or states[name].state is State.SENDING]
        work.absent |= {(entity, name) for name in wanted}  # whatever comes of it, it is asked for once
        records = await work.reader.fetch(entity, wanted)
        if records:
            await carry(work, kind, sorted(records, key=lambda record: record.created))
        work.absent -= {(entity, record.id) for record in records}
