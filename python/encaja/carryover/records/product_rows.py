"""Product rows of leads and deals: a record's rows are one value, written whole.

Source: apidocs.bitrix24.com, crm/universal/product-rows (crm.item.productrow.set replaces all rows of a record).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from encaja.carryover.context import Work
from encaja.carryover.mapping.canonical import Canonical, canonical, fingerprints, shown, whole
from encaja.carryover.mapping.entities import BY_SHORT
from encaja.carryover.mapping.identity_map import Conflict, Link
from encaja.carryover.merge import decide
from encaja.carryover.source.reader import Record
from encaja.rest.client import AccessError, Answer, Command, RefusedError

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


async def carry_rows(work: Work, records: Sequence[Record]) -> None:
    """Write the rows of records where they differ."""
    links = work.map.find("product_rows", [record.id for record in records])
    todo: list[tuple[Record, str, str]] = []
    for record in records:
        short, _, key = record.id.partition(":")
        entity = BY_SHORT[short].entity
        link = links.get(record.id)
        box = work.map.box_id(entity, key)
        without = not record.fields["rows"] and int(key) > work.map.watermark(entity)  # a new one that never had any
        same = link is not None and whole(link.want) == whole(fingerprints({"rows": form(record.fields["rows"])}))
        asked = ("product_rows", record.id) in work.decided
        if box is not None and (asked or not same) and not (link is None and without):
            todo.append((record, short, box))
    commands = [
        Command("crm.item.productrow.list", {"filter": {"=ownerType": short, "=ownerId": int(box)}})
        for _, short, box in todo
    ]
    writes: list[_Write] = []
    found = await work.box.batch(commands)
    with work.map.transaction():
        for (record, short, box), answer in zip(todo, found, strict=True):
            if answer.error:
                raise answer.error
            there = form(answer.result["productRows"])
            if write := _compared(work, record, links.get(record.id), (short, box), there):
                writes.append(write)
    answers = await _set(work, [write.command for write in writes])
    with work.map.transaction():
        for write, answer in zip(writes, answers, strict=True):
            if answer.error is not None:
                what = f"the box refuses its product rows: {answer.error.what}"
                work.trouble(write.record, what, "it is tried again")
                continue
            _finish(work, write.record, write.owner, fingerprints({"rows": form(answer.result["productRows"])}))
            work.carried(write.record, "changed" if write.known else "new")


@dataclass(frozen=True)
class _Write:
    """Rows that are to be written; ``known`` where some were before."""

    record: Record
    owner: str
    command: Command
    known: bool


def _compared(work: Work, record: Record, link: Link | None, owner: tuple[str, str], there: Canonical) -> _Write | None:
    """Compare a record's rows with its counterpart's, note a conflict, and say what has to be written, if anything."""
    short, box = owner
    want, have = {"rows": form(record.fields["rows"])}, {"rows": there}
    before = dict(link.have) if link else fingerprints(have)
    found = decide(
        want, have, link.want if link else {}, before, rule=work.settings.conflicts, cloud_is_newer=True,
        answers=work.answers("product_rows", record.id, want, have),
    )  # fmt: skip
    if work.dry_run:
        if found.write:
            work.told("product_rows", "changed", record)
        return None
    for name, decided in found.conflicts.items():
        work.map.conflict(Conflict("product_rows", record.id, box, name, shown(want[name]), shown(have[name]), decided))
    if found.write:
        rows = [{name: row[name] for name in _FIELDS if row.get(name) is not None} for row in record.fields["rows"]]
        given = {"ownerType": short, "ownerId": int(box), "productRows": rows}
        return _Write(record, f"{short}:{box}", Command("crm.item.productrow.set", given), link is not None)
    _finish(work, record, f"{short}:{box}", {"rows": before["rows"]} if found.keep else fingerprints(have))
    return None


async def _set(work: Work, commands: Sequence[Command]) -> list[Answer]:
    """Write rows, of many records in a request; repeating it does no harm, for they are written whole."""
    answers: dict[int, Answer] = {}
    # A command of a batch takes so many variables, and cannot say that there are none.
    alone = [command for command in commands if not 0 < len(command.parameters["productRows"]) <= _ROWS]
    for command in alone:
        try:
            given = await work.box.call(command.method, command.parameters)
            answers[id(command)] = replace(given, command=command)
        except AccessError:
            raise
        except RefusedError as fault:
            answers[id(command)] = Answer(command, error=fault)
    for answer in await work.box.batch([command for command in commands if id(command) not in answers]):
        answers[id(answer.command)] = answer
    return [answers[id(command)] for command in commands]


def _finish(work: Work, record: Record, owner: str, have: dict[str, str]) -> None:
    want = fingerprints({"rows": form(record.fields["rows"])})
    work.map.done("product_rows", record.id, owner, want=want, have=have)
    work.map.applied("product_rows", record.id)
    work.map.cured("product_rows", record.id)
