"""Leads, deals, contacts and companies: new ones are imported, changed ones are updated field by field.

Sources: apidocs.bitrix24.com, crm/universal/import (20 at most, ascending ``createdTime``, no automation rules),
crm/universal/crm-item-update (keys of ``fm``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from encaja.carryover.changes import Decision, decide
from encaja.carryover.entities import BY_ENTITY, ItemKind
from encaja.carryover.identity import Conflict, Link, State
from encaja.carryover.lookup import ORIGINATOR, find_by_own_origin, find_carried, get_items, own_origin
from encaja.carryover.mapping import Wanted
from encaja.carryover.prints import fingerprints, shown, wall_clock, whole
from encaja.carryover.readers import Record, moment
from encaja.carryover.rest import Answer, Command, RefusedError, UncertainError
from encaja.carryover.work import Work

BATCH = 20
"""Items of one import. Source: crm/universal/import/crm-item-batch-import."""
_TIMES = ("createdTime", "updatedTime", "movedTime")


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
    await _add(work, kind, new)
    await _change(work, kind, known)


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


async def settle(work: Work, kind: ItemKind) -> None:
    """Find out about records that were being sent when a connection or a process ended.

    They are looked for in the box until they are found, or until the box can no longer be working on them.
    """
    while waiting := list(work.map.links(kind.entity, State.SENDING)):
        await _adopt(work, kind, [link.cloud for link in waiting], {})
        latest = max((link.sent for link in work.map.links(kind.entity, State.SENDING)), default=0.0)
        if latest + work.settings.patience < time.time():
            work.map.unsent(kind.entity, [link.cloud for link in waiting])
            return
        await asyncio.sleep(0.25)


async def _adopt(work: Work, kind: ItemKind, identifiers: list[str], records: dict[str, Record]) -> set[str]:
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


async def _add(work: Work, kind: ItemKind, records: Sequence[Record]) -> None:
    """Import new records, the oldest first."""
    ordered = sorted(records, key=lambda record: (record.created, int(record.id)))
    by_id = {record.id: record for record in ordered}
    known = work.map.find(kind.entity, list(by_id))  # what a reference brought along meanwhile
    by_id = {name: record for name, record in by_id.items() if name not in known}
    there = await _adopt(work, kind, list(by_id), by_id) if by_id else set()
    fresh = [record for name, record in by_id.items() if name not in there]
    if there:
        links = work.map.find(kind.entity, list(there))
        await _change(work, kind, [(by_id[name], links[name]) for name in there])
    for at in range(0, len(fresh), BATCH):
        await _import(work, kind, fresh[at : at + BATCH])


async def _import(work: Work, kind: ItemKind, records: Sequence[Record]) -> None:
    """Import up to 20 records, and read them back."""
    wanted = {record.id: work.translation.wanted(kind.entity, record.fields) for record in records}
    payload = [_payload(work, record, wanted[record.id]) for record in records]
    if work.dry_run:
        for record in records:
            work.told(kind.entity, "new", record)
            want = fingerprints(wanted[record.id].values)
            work.map.done(kind.entity, record.id, "-1", want=want)  # of a map that is thrown away
        return
    results = await _send(work, kind, records, payload)
    refused = [number for number, result in enumerate(results) if _is_time(result)]
    if refused:
        # Something newer is in the box already, or its clock is behind: REST takes no time then.
        again = [records[number] for number in refused]
        bare = [{k: v for k, v in payload[number].items() if k not in _TIMES} for number in refused]
        for number, result in zip(refused, await _send(work, kind, again, bare), strict=True):
            results[number] = result
    imported: dict[str, str] = {}
    # In one transaction: what a kill takes from the map is found again in the box, by its origin.
    with work.map.transaction():
        for number, (record, result) in enumerate(zip(records, results, strict=True)):
            if result is None:
                continue
            if "error" in result:
                work.map.unsent(kind.entity, [record.id])
                what = f"{result['error']}: {result.get('error_description', '')}".strip(": ")
                work.trouble(record, f"the box refuses it: {what}", "mend it in the cloud; it is tried again")
                continue
            box = str(result["item"]["id"])
            imported[record.id] = box
            work.map.done(kind.entity, record.id, box)
            if number in refused:
                work.map.unkept(kind.entity, box, work.times_of(record), str(payload[number].get("createdBy", "")))
    await _read_back(work, kind, [record for record in records if record.id in imported], wanted, imported)


def _payload(work: Work, record: Record, wanted: Wanted) -> dict[str, Any]:
    fields = {name: value for name, value in wanted.raw.items() if value not in ("", [])}
    created = work.times_of(record)
    updated = record.fields.get("updatedTime")
    fields["createdTime"] = created
    if updated and (record.modified >= record.created):
        fields["updatedTime"] = updated
        moved = moment(record.fields.get("movedTime"))
        if moved and record.created <= moved <= record.modified:
            fields["movedTime"] = record.fields["movedTime"]
    for name in ("createdBy", "updatedBy", "movedBy"):
        if record.fields.get(name):
            user, exact = work.translation.user(record.fields[name])
            if exact or name == "createdBy":
                fields[name] = int(user)
            if not exact and name == "createdBy":
                who = work.translation.user_name(record.fields[name])
                wanted.problems.append(f"its author {who} is not in the box")
    origin = own_origin(record.fields)
    fields["originatorId"], fields["originId"] = origin or (ORIGINATOR, record.id)
    return fields


async def _send(
    work: Work, kind: ItemKind, records: Sequence[Record], payload: Sequence[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """Send one import; None for a record that turned out to be in the box."""
    work.map.sending(kind.entity, [(record.id, record.modified.isoformat()) for record in records])
    try:
        answer = await work.box.call(
            "crm.item.batchImport", {"entityTypeId": kind.type_id, "data": list(payload)}, safe=False
        )
    except UncertainError:
        await settle(work, kind)
        left = work.map.find(kind.entity, [record.id for record in records])
        for record in records:
            if record.id not in left:
                work.trouble(record, "the connection was lost before the box had it", "it is sent again")
        return [None] * len(records)
    results: list[dict[str, Any] | None] = list(answer.result["items"])
    if len(results) != len(records):
        await settle(work, kind)
        return [None] * len(records)
    return results


def _is_time(result: dict[str, Any] | None) -> bool:
    text = str((result or {}).get("error_description", ""))
    return bool(result) and "error" in (result or {}) and any(name in text for name in _TIMES)


async def _read_back(
    work: Work, kind: ItemKind, records: Sequence[Record], wanted: dict[str, Wanted], box: dict[str, str]
) -> None:
    """Remember what imported records are like in the box; what the import did not take is written once more."""
    there = await get_items(work.box, kind, list(box.values()))
    again: list[tuple[Record, dict[str, Any]]] = []
    have = {}
    for record in records:
        item = there.get(box[record.id])
        if item is None:
            continue
        have[record.id] = work.translation.here(kind.entity, item, wanted[record.id].values)
        lacking = [name for name, value in wanted[record.id].values.items() if value != have[record.id][name]]
        if lacking:
            again.append((record, _update(wanted[record.id], lacking, item)))
    commands = [_command(kind, box[record.id], fields) for record, fields in again]
    for (record, _), answer in zip(again, await _updated(work, commands), strict=True):
        if answer.error is None:
            item = answer.result["item"]
            have[record.id] = work.translation.here(kind.entity, item, wanted[record.id].values)
    with work.map.transaction():
        for record in records:
            if record.id not in have:
                continue
            want = wanted[record.id]
            _finish(work, record, box[record.id], want, fingerprints(have[record.id]))
            work.carried(record, "new")


async def _change(work: Work, kind: ItemKind, known: Sequence[tuple[Record, Link | None]]) -> None:
    """Update records that are in the box already, where the cloud has changed them."""
    changed: list[tuple[Record, Link | None, Wanted]] = []
    for record, link in known:
        want = work.translation.wanted(kind.entity, record.fields)
        if link is None or whole(fingerprints(want.values)) != whole(link.want):
            changed.append((record, link, want))
        elif not want.problems and not want.missing:
            work.map.cured(kind.entity, record.id)
    boxes = {record.id: (link.box if link else record.id) for record, link, _ in changed}
    there = await get_items(work.box, kind, list(boxes.values()))
    writes: list[_Write] = []
    with work.map.transaction():
        for record, link, want in changed:
            item = there.get(boxes[record.id])
            if item is None:
                _deleted_in_the_box(work, record, boxes[record.id])
            elif write := _compared(work, kind, record, want, link=link, item=item):
                writes.append(write)
    answers = await _updated(work, [write.command for write in writes])
    with work.map.transaction():
        for write, answer in zip(writes, answers, strict=True):
            if answer.error is not None:
                work.trouble(write.record, f"the box refuses the change: {answer.error.what}", "it is tried again")
                continue
            have = fingerprints(work.translation.here(kind.entity, answer.result["item"], write.want.values))
            written = write.command.parameters["fields"]
            base = {name: text if name in written else write.base[name] for name, text in have.items()}
            _finish(work, write.record, boxes[write.record.id], write.want, base)
            work.carried(write.record, "changed")


@dataclass(frozen=True)
class _Write:
    """An update that is to be sent, and what is to be remembered of the fields that the box keeps."""

    record: Record
    want: Wanted
    base: dict[str, str]
    command: Command


def decision(
    work: Work, want: Wanted, have: dict[str, Any], record: Record, *, link: Link | None, item: dict[str, Any]
) -> Decision:
    """What to do about a record that is on both sides, field by field."""
    base_have = _base(work, link, have, item)
    return decide(
        want.values,
        have,
        link.want if link else {},
        base_have,
        rule=work.settings.conflicts,
        cloud_is_newer=work.cloud_is_newer(record, item),
    )


def _base(work: Work, link: Link | None, have: dict[str, Any], item: dict[str, Any]) -> dict[str, str] | None:
    if link is not None:
        return dict(link.have)
    return None if work.touched(item) else fingerprints(have)


def _compared(
    work: Work, kind: ItemKind, record: Record, want: Wanted, *, link: Link | None, item: dict[str, Any]
) -> _Write | None:
    """Compare a record with its counterpart, note conflicts, and say what has to be written, if anything."""
    have = work.translation.here(kind.entity, item, want.values)
    found = decision(work, want, have, record, link=link, item=item)
    box = str(item["id"])
    if work.dry_run:
        if found.write:
            work.told(kind.entity, "changed", record, found.write)
        return None
    for name, decided in found.conflicts.items():
        values = shown(want.values[name]), shown(have[name])
        work.map.conflict(Conflict(kind.entity, record.id, box, name, *values, decided))
    work.map.settled(kind.entity, record.id, found.same)
    before = _base(work, link, have, item) or {}
    # What the box keeps stays a change of the box's, also next time.
    base = {name: before.get(name, "?") if name in found.keep else text for name, text in fingerprints(have).items()}
    if found.write:
        return _Write(record, want, base, _command(kind, box, _update(want, found.write, item)))
    _finish(work, record, box, want, base)
    return None


def _finish(work: Work, record: Record, box: str, want: Wanted, have: dict[str, str]) -> None:
    """Write a record's new base down, and whatever is still the matter with it."""
    work.map.done(
        record.entity, record.id, box, want=fingerprints(want.values), have=have, modified=record.modified.isoformat()
    )
    work.complete(record, want)


def _deleted_in_the_box(work: Work, record: Record, box: str) -> None:
    work.map.conflict(Conflict(record.entity, record.id, box, "(record)", "changed", "deleted", "box"))
    work.map.mark(record.entity, record.id, State.KEPT, box)


def _update(want: Wanted, names: Sequence[str], item: dict[str, Any]) -> dict[str, Any]:
    fields = {name: want.raw[name] for name in names if name != "fm"}
    if "fm" in names:
        fields["fm"] = _multi(want.raw["fm"] or [], item.get("fm") or [])
    return fields


def _multi(wanted: Any, here: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Multi-fields as an update takes them: new ones as ``n0`` …, those to go by identifier without a value."""

    def key(value: dict[str, Any]) -> tuple[str, str, str]:
        return str(value.get("typeId")), str(value.get("valueType")), str(value.get("value", "")).strip()

    have = {key(value) for value in here}
    goal = {key(value) for value in wanted}
    fields: dict[str, Any] = {}
    for number, (type_id, value_type, value) in enumerate(sorted(goal - have)):
        fields[f"n{number}"] = {"typeId": type_id, "valueType": value_type, "value": value}
    for item in here:
        if key(item) not in goal:
            fields[str(item["id"])] = {"id": item["id"], "typeId": item["typeId"], "value": ""}
    return fields


def _command(kind: ItemKind, box: str, fields: dict[str, Any]) -> Command:
    return Command("crm.item.update", {"entityTypeId": kind.type_id, "id": int(box), "fields": fields})


async def _updated(work: Work, commands: Sequence[Command]) -> list[Answer]:
    """Send updates. One whose end is not known is compared anew in the next round, so none is repeated blindly."""
    answers: list[Answer] = []
    for command in commands:
        try:
            answers.append(await work.box.call(command.method, command.parameters, safe=False))
        except UncertainError as fault:
            answers.append(Answer(command, error=RefusedError("", fault.what, command.method)))
        except RefusedError as fault:
            answers.append(Answer(command, error=fault))
    return answers
