"""Product rows of leads and deals: a record's rows are one value, written whole.

Source: apidocs.bitrix24.com, crm/universal/product-rows (crm.item.productrow.set replaces all rows of a record).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import Canonical, canonical, fingerprints
from encaja.carryover.mapping.entities import BY_SHORT
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import Pair, Write, converge, is_due
from encaja.carryover.source.reader import Record
from encaja.rest.command import Answer, Command
from encaja.rest.errors import AccessError, RefusedError

ENTITY = "product_rows"
_FIELDS = {
    "productId": "number", "productName": "any", "price": "number", "quantity": "number", "discountTypeId": "number",
    "discountRate": "number", "discountSum": "number", "taxRate": "number", "taxIncluded": "flag",
    "measureCode": "number", "measureName": "any",
}  # fmt: skip


_ROWS = 70
"""Rows of a command in a batch: PHP takes a thousand variables of one, and a row has up to eleven."""


def form(rows: Sequence[dict[str, Any]]) -> Canonical:
    """Rows in canonical form, in their order."""
    return [{name: canonical(row.get(name), kind) for name, kind in _FIELDS.items()} for row in rows] or None


async def carry_rows(context: Context, records: Sequence[Record]) -> None:
    """Write the rows of records where they differ."""
    links = context.map.find(ENTITY, [record.id for record in records])
    todo: list[tuple[Record, Wanted, str]] = []
    for record in records:
        short, _, key = record.id.partition(":")
        entity = BY_SHORT[short].entity
        link = links.get(record.id)
        box = context.map.box_id(entity, key)
        want = Wanted({"rows": form(record.fields["rows"])})
        never_any = link is None and not record.fields["rows"] and int(key) > context.map.watermark(entity)
        if box is not None and not never_any and is_due(context, record, want, link):
            todo.append((record, want, f"{short}:{box}"))
    here = await _rows_of(context, [box for _, _, box in todo])
    pairs = []
    for record, want, box in todo:
        link, have = links.get(record.id), {"rows": form(here[box])}
        base = link.have if link else fingerprints(have)
        pairs.append(Pair(record, box, want, have, link, base, is_new=link is None))
    await converge(context, pairs, partial(_write, context))


async def _rows_of(context: Context, boxes: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Rows of records of the box, by their owners; ``D:12`` is a deal."""
    owners: dict[str, list[Record]] = {}
    for box in boxes:
        short, _, key = box.partition(":")
        entity = BY_SHORT[short].entity
        owners.setdefault(entity, []).append(Record(entity, key, {}, context.since, context.since))
    found = [await context.box_reader.belonging(ENTITY, some) for some in owners.values()]
    return {record.id: record.fields["rows"] for some in found for record in some}


async def _write(context: Context, writes: list[Write]) -> list[Mapping[str, Canonical] | None]:
    commands = []
    for one in writes:
        rows = one.pair.record.fields["rows"]
        given = [{name: row[name] for name in _FIELDS if row.get(name) is not None} for row in rows]
        commands.append(Command("crm.item.productrow.set", _owner(one.pair.box) | {"productRows": given}))
    found: list[Mapping[str, Canonical] | None] = []
    for one, answer in zip(writes, await _set(context, commands), strict=True):
        if answer.error is not None:
            what = f"the box refuses its product rows: {answer.error.what}"
            context.note_fault(one.pair.record, what, "it is retried")
        found.append(None if answer.error else {"rows": form(answer.result["productRows"])})
    return found


def _owner(box: str) -> dict[str, Any]:
    """Whose rows are meant."""
    short, _, key = box.partition(":")
    return {"ownerType": short, "ownerId": int(key)}


async def _set(context: Context, commands: Sequence[Command]) -> list[Answer]:
    """Write the rows of many records in a request; safe to repeat, since they are written whole."""
    answers: dict[int, Answer] = {}
    # A command of a batch takes that many variables, and cannot express an empty list.
    alone = [command for command in commands if not 0 < len(command.parameters["productRows"]) <= _ROWS]
    for command in alone:
        try:
            given = await context.box.call(command.method, command.parameters)
            answers[id(command)] = replace(given, command=command)
        except AccessError:
            raise
        except RefusedError as fault:
            answers[id(command)] = Answer(command, error=fault)
    for answer in await context.box.batch([command for command in commands if id(command) not in answers]):
        answers[id(answer.command)] = answer
    return [answers[id(command)] for command in commands]
