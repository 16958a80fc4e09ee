"""New records of crm.item.*: imported, the oldest first, and read back while the next ones are being sent.

Records that are in the box already are found by their origin before anything is sent a second time.

Source: apidocs.bitrix24.com, crm/universal/import (20 at most, ascending ``createdTime``, no automation rules). What an
import refuses has a code; its text is in the language of the webhook's user, with titles of fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import fingerprints, moment
from encaja.carryover.mapping.entities import ItemKind
from encaja.carryover.mapping.identity_map import State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import finish
from encaja.carryover.records.send_once import resolve_unconfirmed
from encaja.carryover.records.updates import change, command_of, multi_fields, send_updates, update_of
from encaja.carryover.source.origins import ORIGINATOR, find_by_own_origin, find_carried, get_items, own_origin
from encaja.carryover.source.reader import Record
from encaja.rest.command import UncertainError

BATCH = 20
"""Items of one import. Source: crm/universal/import/crm-item-batch-import."""
_TOGETHER = 5 * BATCH  # records that are read back at once
_NOT_VALID = "CRM_FIELD_ERROR_VALUE_NOT_VALID"
_TIMES = ("createdTime", "updatedTime", "movedTime")


async def add(context: Context, kind: ItemKind, records: Sequence[Record]) -> None:
    """Import new records, the oldest first; those that turn out to be in the box already are compared."""
    ordered = sorted(records, key=lambda record: (record.created, int(record.id)))
    by_id = {record.id: record for record in ordered}
    known = context.map.find(kind.entity, list(by_id))  # carried meanwhile, as references of others
    by_id = {name: record for name, record in by_id.items() if name not in known}
    there = await adopt(context, kind, list(by_id), by_id) if by_id else set()
    if there:
        links = context.map.find(kind.entity, list(there))
        await change(context, kind, [(by_id[name], links[name]) for name in there])
    fresh = [record for name, record in by_id.items() if name not in there]
    wanted = {record.id: context.translation.wanted(kind.entity, record.fields) for record in fresh}
    if context.dry_run:
        for record in fresh:
            context.note_preview(kind.entity, "new", record)
            want = fingerprints(wanted[record.id].values)
            context.map.done(kind.entity, record.id, "-1", want=want)  # in a copy of the map, which is discarded
        return
    reading: asyncio.Task[None] | None = None
    unread = {record.id for record in fresh}
    try:
        for at in range(0, len(fresh), _TOGETHER):
            part = fresh[at : at + _TOGETHER]
            imported = await _import(context, kind, part, wanted)
            if reading:
                await reading
            arrived = [record for record in part if record.id in imported]
            unread -= imported.keys()
            reading = asyncio.create_task(_read_back(context, kind, arrived, wanted, imported))
        if reading:
            await reading
    finally:
        if reading and not reading.done():
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    # What arrived although its answer was lost has been found by its origin.
    found = context.map.find(kind.entity, list(unread)).items()
    await change(context, kind, [(by_id[name], link) for name, link in found if link.state is State.DONE])


async def resolve(context: Context, kind: ItemKind) -> None:
    """Look up records that were being sent when a connection or a process ended."""
    await resolve_unconfirmed(context, kind.entity, lambda names: adopt(context, kind, names, {}))


async def adopt(context: Context, kind: ItemKind, identifiers: list[str], records: dict[str, Record]) -> set[str]:
    """Link records that are in the box already, as their origin shows."""
    unknown = [name for name in identifiers if name not in records]
    if unknown:
        records = records | {record.id: record for record in await context.reader.fetch(kind.entity, unknown)}
    foreign = {name: origin for name in identifiers if name in records and (origin := own_origin(records[name].fields))}
    found = await find_carried(context.box, kind, [name for name in identifiers if name not in foreign])
    adopted: dict[str, str] = {name: str(items[0]["id"]) for name, items in found.items()}
    rows = await find_by_own_origin(context.box, kind, list(foreign.values())) if foreign else []
    sent = {name: context.in_box(link.sent) for name, link in context.map.find(kind.entity, list(foreign)).items()}
    for name, items in zip(foreign, rows, strict=True):
        for item in items:
            box = str(item["id"])
            at = moment(item.get("createdTime"))
            # Its time of creation is the cloud's, or that of the import where the box did not take it.
            same = not context.created_differs(records[name], item) or bool(at and name in sent and at >= sent[name])
            if same and context.map.cloud_id(kind.entity, box) is None and box not in adopted.values():
                adopted[name] = box
                break
    with context.map.transaction():
        for name, box in adopted.items():
            # Without hashes, so that all differences are written when the record is carried.
            context.map.done(kind.entity, name, box)
    for name, items in found.items():
        for double in items[1:]:
            context.map.note_fault(
                kind.entity, name, f"is in the box twice: {items[0]['id']} and {double['id']}", "delete one"
            )
    return set(adopted)


async def _import(
    context: Context, kind: ItemKind, records: Sequence[Record], wanted: Mapping[str, Wanted]
) -> dict[str, str]:
    """Import records, and return the identifiers in the box of those that have arrived."""
    imported: dict[str, str] = {}
    parts = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    _mark(context, kind, parts[0])
    for part, following in zip(parts, [*parts[1:], []], strict=True):
        payload = [_payload(context, record, wanted[record.id]) for record in part]
        results = await _send(context, kind, part, payload)
        refused = [number for number, result in enumerate(results) if result and result.get("error") == _NOT_VALID]
        if refused:
            # A value is not taken: mostly a time, since the box has something newer or its clock is behind. The record
            # gets in without, and its time of creation is set in the database.
            again = [part[number] for number in refused]
            bare = [{k: v for k, v in payload[number].items() if k not in _TIMES} for number in refused]
            for number, result in zip(refused, await _send(context, kind, again, bare), strict=True):
                results[number] = result
        # One commit for what has arrived and what is sent next: what a kill takes from the map is found in the box by
        # its origin.
        with context.map.transaction():
            for number, (record, result) in enumerate(zip(part, results, strict=True)):
                if (box := _noted(context, kind, record, result)) is None:
                    continue
                imported[record.id] = box
                if number in refused:
                    author = str(payload[number].get("createdBy", ""))
                    context.map.note_time(kind.entity, box, context.times_of(record), author)
            _mark(context, kind, following)
    return imported


def _mark(context: Context, kind: ItemKind, records: Sequence[Record]) -> None:
    """Mark durably that records are about to be sent."""
    if records:
        context.map.sending(kind.entity, [(record.id, record.modified.isoformat()) for record in records])


def _noted(context: Context, kind: ItemKind, record: Record, result: dict[str, Any] | None) -> str | None:
    """Remember the result of a record, and return its identifier in the box; None where it did not arrive."""
    if result is None:
        return None
    if "error" in result:
        context.map.unsent(kind.entity, [record.id])
        what = f"{result['error']}: {result.get('error_description', '')}".strip(": ")
        context.note_fault(record, f"the box refuses it: {what}", "fix it in the cloud; it is retried")
        return None
    box = str(result["item"]["id"])
    context.map.done(kind.entity, record.id, box)
    return box


def _payload(context: Context, record: Record, wanted: Wanted) -> dict[str, Any]:
    fields = {name: value for name, value in wanted.raw.items() if value not in ("", [])}
    fields |= multi_fields(fields.pop("fm", ()))
    created = context.times_of(record)
    updated = record.fields.get("updatedTime")
    fields["createdTime"] = created
    if updated and (record.modified >= record.created):
        fields["updatedTime"] = updated
        moved = moment(record.fields.get("movedTime"))
        if moved and record.created <= moved <= record.modified:
            fields["movedTime"] = record.fields["movedTime"]
    for name in ("createdBy", "updatedBy", "movedBy"):
        if record.fields.get(name):
            user, exact = context.translation.user(record.fields[name])
            if exact or name == "createdBy":
                fields[name] = int(user)
            if not exact and name == "createdBy":
                who = context.translation.user_name(record.fields[name])
                wanted.problems.append(f"its author {who} is not in the box")
    origin = own_origin(record.fields)
    fields["originatorId"], fields["originId"] = origin or (ORIGINATOR, record.id)
    return fields


async def _send(
    context: Context, kind: ItemKind, records: Sequence[Record], payload: Sequence[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """Send one import of marked records; None for a record without a result, which was looked up in the box."""
    try:
        answer = await context.box.call(
            "crm.item.batchImport", {"entityTypeId": kind.type_id, "data": list(payload)}, safe=False
        )
    except UncertainError:
        await resolve(context, kind)
        left = context.map.find(kind.entity, [record.id for record in records])
        for record in records:
            if record.id not in left:
                context.note_fault(record, "the connection was lost before the box had it", "it is sent again")
        return [None] * len(records)
    items = answer.result["items"]
    results: list[dict[str, Any] | None] = list(items.values() if isinstance(items, dict) else items)
    if len(results) != len(records):
        await resolve(context, kind)
        return [None] * len(records)
    return results


async def _read_back(
    context: Context, kind: ItemKind, records: Sequence[Record], wanted: Mapping[str, Wanted], box: Mapping[str, str]
) -> None:
    """Remember imported records as the box has them; what the import did not take is written again."""
    there = await get_items(context.box, kind, [box[record.id] for record in records])
    again = []
    have = {}
    for record in records:
        item = there.get(box[record.id])
        if item is None:
            continue
        want = wanted[record.id]
        have[record.id] = context.translation.here(kind.entity, item, want.values)
        lacking = [name for name, value in want.values.items() if value != have[record.id][name]]
        if lacking:
            again.append((record, command_of(kind, box[record.id], update_of(want, lacking, item))))
    for (record, _), answer in zip(again, await send_updates(context, [command for _, command in again]), strict=True):
        if answer.error is None:
            item = answer.result["item"]
            have[record.id] = context.translation.here(kind.entity, item, wanted[record.id].values)
    with context.map.transaction():
        for record in records:
            if record.id in have:
                context.note_created(record, there[box[record.id]])
                finish(context, record, box[record.id], wanted[record.id], fingerprints(have[record.id]))
                context.count(record, "new")
