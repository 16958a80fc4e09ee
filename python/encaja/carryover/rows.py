"""Product rows of leads and deals: a record's rows are one value, written whole.

Source: apidocs.bitrix24.com, crm/universal/product-rows (crm.item.productrow.set replaces all rows of a record).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from encaja.carryover.changes import decide
from encaja.carryover.entities import BY_SHORT
from encaja.carryover.identity import Conflict, Link
from encaja.carryover.prints import Canonical, canonical, fingerprints, shown, whole
from encaja.carryover.readers import Record
from encaja.carryover.rest import Command, RefusedError
from encaja.carryover.work import Work

_FIELDS = {
    "productId": "number", "productName": "any", "price": "number", "quantity": "number", "discountTypeId": "number",
    "discountRate": "number", "discountSum": "number", "taxRate": "number", "taxIncluded": "flag",
    "measureCode": "number", "measureName": "any",
}  # fmt: skip


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
    for (record, short, box), answer in zip(todo, await work.box.batch(commands), strict=True):
        if answer.error:
            raise answer.error
        await _converge(work, record, links.get(record.id), (short, box), form(answer.result["productRows"]))


async def _converge(work: Work, record: Record, link: Link | None, owner: tuple[str, str], there: Canonical) -> None:
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
        return
    for name, decided in found.conflicts.items():
        work.map.conflict(Conflict("product_rows", record.id, box, name, shown(want[name]), shown(have[name]), decided))
    if found.write:
        rows = [{name: row[name] for name in _FIELDS if row.get(name) is not None} for row in record.fields["rows"]]
        given = {"ownerType": short, "ownerId": int(box), "productRows": rows}
        try:
            answer = await work.box.call("crm.item.productrow.set", given)
        except RefusedError as fault:
            work.trouble(record, f"the box refuses its product rows: {fault.what}", "it is tried again")
            return
        have = {"rows": form(answer.result["productRows"])}
        work.carried(record, "changed" if link else "new")
    hashes = {"rows": before["rows"]} if found.keep else fingerprints(have)
    with work.map.transaction():
        work.map.done("product_rows", record.id, f"{short}:{box}", want=fingerprints(want), have=hashes)
        work.map.applied("product_rows", record.id)
        work.map.cured("product_rows", record.id)
