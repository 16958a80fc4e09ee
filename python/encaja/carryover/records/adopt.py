"""Records that are in the box already: found by their origin, before anything is sent a second time."""

from __future__ import annotations

from encaja.carryover.context import Work
from encaja.carryover.mapping.canonical import wall_clock
from encaja.carryover.mapping.entities import ItemKind
from encaja.carryover.records.send_once import settle_all
from encaja.carryover.source.origins import find_by_own_origin, find_carried, own_origin
from encaja.carryover.source.reader import Record, moment


async def settle(work: Work, kind: ItemKind) -> None:
    """Find out about records that were being sent when a connection or a process ended."""
    await settle_all(work, kind.entity, lambda names: adopt(work, kind, names, {}))


async def adopt(work: Work, kind: ItemKind, identifiers: list[str], records: dict[str, Record]) -> set[str]:
    """Take records that are in the box already, as their origin shows, for what they are."""
    unknown = [name for name in identifiers if name not in records]
    if unknown:
        records = records | {record.id: record for record in await work.reader.fetch(kind.entity, unknown)}
    foreign = {name: origin for name in identifiers if name in records and (origin := own_origin(records[name].fields))}
    found = await find_carried(work.box, kind, [name for name in identifiers if name not in foreign])
    adopted: dict[str, str] = {name: str(items[0]["id"]) for name, items in found.items()}
    rows = await find_by_own_origin(work.box, kind, list(foreign.values())) if foreign else []
    for name, items in zip(foreign, rows, strict=True):
        created = work.times_of(records[name])
        for item in items:
            box = str(item["id"])
            same = moment(item.get("createdTime")) == moment(created) or wall_clock(item["createdTime"]) == created[:19]
            if same and work.map.cloud_id(kind.entity, box) is None and box not in adopted.values():
                adopted[name] = box
                break
    with work.map.transaction():
        for name, box in adopted.items():
            # Without hashes: whatever differs is written when the record comes by.
            work.map.done(kind.entity, name, box)
    for name, items in found.items():
        for double in items[1:]:
            work.map.trouble(
                kind.entity, name, f"is in the box twice: {items[0]['id']} and {double['id']}", "delete one"
            )
    return set(adopted)
