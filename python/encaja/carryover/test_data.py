"""Records made by tests and rehearsals: marked by their origin, and removed by it."""

from __future__ import annotations

from typing import Any

from encaja.carryover.mapping.entities import ITEMS
from encaja.carryover.source.origins import ORIGINATOR, TESTS, get_items
from encaja.carryover.source.reader import Reader
from encaja.errors import ConfigurationError
from encaja.rest.client import RestClient
from encaja.rest.errors import RefusedError


async def tag(box: RestClient, records: list[tuple[str, int]]) -> dict[str, Any]:
    """Mark records of the box as test data.

    Args:
        box: the portal.
        records: kinds and identifiers in the box.

    Raises:
        ConfigurationError: one does not exist, or was carried over and so is no test data; then none is marked.
    """
    faults, todo = [], []
    kinds = {kind.entity: kind for kind in ITEMS}
    for entity, number in records:
        if entity not in kinds:
            faults.append(f"no kind {entity!r}: use {', '.join(kinds)}")
            continue
        item = (await get_items(box, kinds[entity], [str(number)])).get(str(number))
        if item is None:
            faults.append(f"no {entity} {number}")
        elif item.get("originatorId") == ORIGINATOR:
            faults.append(f"{entity} {number} was carried over from the cloud")
        else:
            todo.append((kinds[entity], number))
    if faults:
        raise ConfigurationError("; ".join(faults), box.where, "nothing was marked")
    for kind, number in todo:
        await box.call(
            "crm.item.update",
            {"entityTypeId": kind.type_id, "id": number, "fields": {"originatorId": TESTS, "originId": str(number)}},
        )
    return {"kind": "test-data", "tagged": [f"{kind.entity} {number}" for kind, number in todo]}


async def forget(box: RestClient) -> dict[str, Any]:
    """Delete the records of the box that are marked as test data; their activities and comments go with them."""
    removed: dict[str, int] = {}
    faults: list[str] = []
    for kind in reversed(ITEMS):
        found: list[int] = []
        filters, given = {"=originatorId": TESTS}, {"entityTypeId": kind.type_id}
        async for page in box.rows("crm.item.list", filter=filters, select=["id", "originatorId"], parameters=given):
            # A portal that ignores a filter returns everything, so each row is checked.
            found += [int(row["id"]) for row in page if row.get("originatorId") == TESTS]
        for number in found:
            try:
                await box.call("crm.item.delete", {"entityTypeId": kind.type_id, "id": number})
            except RefusedError as fault:
                if await Reader(box).existing(kind.entity, [str(number)]):
                    faults.append(f"{kind.entity} {number}: {fault.what}")
                    continue
            removed[kind.entity] = removed.get(kind.entity, 0) + 1
    return {"kind": "test-data", "removed": removed, "faults": faults}
