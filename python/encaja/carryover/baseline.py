"""What the backup brought: the highest identifier of each kind up to which both portals mean the same record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from encaja.carryover.entities import BY_ENTITY, ITEMS
from encaja.carryover.identity import IdentityMap
from encaja.carryover.prints import wall_clock
from encaja.carryover.readers import moment
from encaja.carryover.rest import Answer, Portal, RefusedError
from encaja.errors import EncajaError

_PAGES = 20


@dataclass(frozen=True)
class _Listing:
    """How a kind of record is listed: method, key of the rows, identifier in filters and in rows, time of creation.

    Beside the time, ``fixed`` are the fields that nobody changes later, by which two records of one second are told
    apart.
    """

    entity: str
    method: str
    rows: str
    by: str
    key: str
    created: str
    fixed: tuple[str, ...]
    parameters: Mapping[str, Any]


_LISTINGS = (
    *(
        _Listing(
            kind.entity, "crm.item.list", "items", "id", "id", "createdTime", ("createdBy",),
            {"entityTypeId": kind.type_id, "select": ["id", "createdTime", "createdBy"]},
        )
        for kind in ITEMS
    ),
    _Listing(
        "activity", "crm.activity.list", "", "ID", "ID", "CREATED", ("AUTHOR_ID", "TYPE_ID"),
        {"select": ["ID", "CREATED", "AUTHOR_ID", "TYPE_ID"]},
    ),
    _Listing(
        "requisite", "crm.requisite.list", "", "ID", "ID", "DATE_CREATE", ("ENTITY_TYPE_ID", "ENTITY_ID"),
        {"select": ["ID", "DATE_CREATE", "ENTITY_TYPE_ID", "ENTITY_ID"]},
    ),
    _Listing(
        "bank_detail", "crm.requisite.bankdetail.list", "", "ID", "ID", "DATE_CREATE", ("ENTITY_ID",),
        {"select": ["ID", "DATE_CREATE", "ENTITY_ID"]},
    ),
    _Listing(
        "task", "tasks.task.list", "tasks", "ID", "id", "createdDate", ("createdBy",),
        {"select": ["ID", "CREATED_DATE", "CREATED_BY"]},
    ),
)  # fmt: skip


async def find_watermarks(cloud: Portal, box: Portal, identities: IdentityMap) -> None:
    """Find and remember the watermarks that are not known yet.

    A dump is no snapshot and a date is no border, so the records themselves are compared: the newest record of the
    box that the cloud has under the same identifier with the same time of creation and author. What is newer was made
    in the box.

    Raises:
        EncajaError: nothing in the box is from this cloud.
    """
    for listing in _LISTINGS:
        if identities.note(f"watermark:{listing.entity}") is None:
            try:
                found = await _search(cloud, box, listing)
            except RefusedError:
                if listing.entity in BY_ENTITY:
                    raise
                continue  # a portal without this kind of record; reading it says so
            identities.remember(f"watermark:{listing.entity}", found)


async def _search(cloud: Portal, box: Portal, of: _Listing) -> int:
    below = 0
    for _ in range(_PAGES):
        older = {f"<{of.by}": below} if below else {}
        page = _rows(
            await box.call(of.method, {**of.parameters, "order": {of.by: "DESC"}, "start": -1, "filter": older}), of
        )
        if not page:
            return 0
        numbers = [int(row[of.key]) for row in page]
        same = {f"{'@' if of.by == 'id' else ''}{of.by}": numbers}
        answer = await cloud.call(of.method, {**of.parameters, "start": -1, "filter": same})
        there = {int(row[of.key]): row for row in _rows(answer, of)}
        for number, row in zip(numbers, page, strict=True):
            if number in there and _same(there[number], row, of):
                return number
        below = numbers[-1]
    raise EncajaError(
        f"none of the newest {50 * _PAGES} of the box ({of.entity}) is from this cloud",
        box.where,
        "see that both webhooks are of the right portals, and that the backup is restored",
    )


def _rows(answer: Answer, of: _Listing) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.result[of.rows] if of.rows else answer.result
    return found


def _same(cloud: Mapping[str, Any], box: Mapping[str, Any], of: _Listing) -> bool:
    """Whether two records are one, made at the same moment (or shown so by databases in other time zones)."""
    made = cloud[of.created], box[of.created]
    at_once = moment(made[0]) == moment(made[1]) or wall_clock(made[0]) == wall_clock(made[1])
    return at_once and all(str(cloud.get(name)) == str(box.get(name)) for name in of.fixed)
