"""Product rows of leads and deals: a record's rows are one value, written whole.

Source: apidocs.bitrix24.com, crm/universal/product-rows (crm.item.productrow.set replaces all rows of a record).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from encaja.carryover.changes import decide
from encaja.carryover.entities import BY_SHORT
from encaja.carryover.identity import Conflict
from encaja.carryover.items import ensure
from encaja.carryover.prints import Canonical, canonical, fingerprints, shown, whole
from encaja.carryover.readers import Record
from encaja.carryover.rest import RefusedError
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
    owners = {(BY_SHORT[record.id.partition(":")[0]].entity, record.id.partition(":")[2]) for record in records}
    await ensure(work, owners)
    for record in records:
        short, _, key = record.id.partition(":")
        box = work.map.box_id(BY_SHORT[short].entity, key)
        want = {"rows": form(record.fields["rows"])}
        link = links.get(record.id)
        if box is None or (link and whole(link.want) == whole(fingerprints(want))):
            continue
        there = await work.box.call("crm.item.productrow.list", {"filter": {"=ownerType": short, "=ownerId": int(box)}})
        have = {"rows": form(there.result["productRows"])}
        before = dict(link.have) if link else fingerprints(have)
        found = decide(want, have, link.want if link else {}, before, rule=work.settings.conflicts, cloud_is_newer=True)
        if work.dry_run:
            if found.write:
                work.told("product_rows", "changed", record)
            continue
        for name, decided in found.conflicts.items():
            work.map.conflict(
                Conflict("product_rows", record.id, box, name, shown(want[name]), shown(have[name]), decided)
            )
        if found.write:
            rows = [
                {name: row.get(name) for name in _FIELDS if row.get(name) is not None} for row in record.fields["rows"]
            ]
            given = {"ownerType": short, "ownerId": int(box), "productRows": rows}
            try:
                answer = await work.box.call("crm.item.productrow.set", given)
            except RefusedError as fault:
                work.trouble(record, f"the box refuses its product rows: {fault.what}", "it is tried again")
                continue
            have = {"rows": form(answer.result["productRows"])}
            work.carried(record, "changed" if link else "new")
        hashes = {"rows": before["rows"]} if found.keep else fingerprints(have)
        work.map.done("product_rows", record.id, f"{short}:{box}", want=fingerprints(want), have=hashes)
        work.map.cured("product_rows", record.id)
