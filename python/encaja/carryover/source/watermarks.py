"""Watermarks: by kind, the highest identifier of the backup, up to which both portals mean the same record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encaja.carryover.mapping.canonical import moment, wall_clock
from encaja.carryover.mapping.entities import BY_ENTITY, ITEMS
from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.errors import EncajaError
from encaja.rest.client import RestClient
from encaja.rest.command import Answer, Command

_PAGES = 20


@dataclass(frozen=True, eq=False)
class _Listing:
    """How a kind of record is listed: method, key of the rows, identifier in filters and in rows, time of creation.

    ``fixed`` are further fields that never change, which distinguish records of the same second.
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


async def find_watermarks(cloud: RestClient, box: RestClient, identities: IdentityMap) -> None:
    """Find and remember the watermarks that are not known yet.

    A dump is no snapshot, and a date no exact border, so the records are compared: the watermark is the newest record
    of the box that the cloud has with the same identifier, time of creation and author. Newer ones were made in the
    box.

    Raises:
        EncajaError: nothing in the box is from this cloud.
    """
    wanted = [listing for listing in _LISTINGS if identities.note(f"watermark:{listing.entity}") is None]
    below = dict.fromkeys(wanted, 0)
    for _ in range(_PAGES):
        if not below:
            return
        pages = await _pages(box, [(of, {f"<{of.by}": start} if start else {}) for of, start in below.items()])
        for of in [of for of, page in pages.items() if not page]:
            identities.remember(f"watermark:{of.entity}", 0)
            del pages[of]
        numbers = {of: [int(row[of.key]) for row in page] for of, page in pages.items()}
        there = await _pages(
            cloud, [(of, {f"{'@' if of.by == 'id' else ''}{of.by}": found}) for of, found in numbers.items()]
        )
        below = {}
        for of, rows in there.items():
            same = {int(row[of.key]): row for row in rows}
            known = [
                number
                for number, row in zip(numbers[of], pages[of], strict=True)
                if number in same and _same(same[number], row, of)
            ]
            if known:
                identities.remember(f"watermark:{of.entity}", known[0])
            else:
                below[of] = numbers[of][-1]
    if below:
        raise EncajaError(
            f"none of the newest {50 * _PAGES} of the box ({next(iter(below)).entity}) is from this cloud",
            box.where,
            "check that both webhooks are of the right portals, and that the backup is restored",
        )


async def _pages(portal: RestClient, asked: Sequence[tuple[_Listing, dict[str, Any]]]) -> dict[_Listing, list[Any]]:
    """The newest rows of several kinds, by one request; a kind that the portal does not have is left out.

    Raises:
        RefusedError: it is one that every portal has.
    """
    commands = [
        Command(of.method, {**of.parameters, "order": {of.by: "DESC"}, "start": -1, "filter": filters})
        for of, filters in asked
    ]
    found = {}
    for (of, _), answer in zip(asked, await portal.batch(commands), strict=True):
        if answer.error is None:
            found[of] = _rows(answer, of)
        elif of.entity in BY_ENTITY:
            raise answer.error
    return found


def _rows(answer: Answer, of: _Listing) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.result[of.rows] if of.rows else answer.result
    return found


def _same(cloud: Mapping[str, Any], box: Mapping[str, Any], of: _Listing) -> bool:
    """Whether two records are one: made at the same time, or shown so by databases in other time zones."""
    made = cloud[of.created], box[of.created]
    at_once = moment(made[0]) == moment(made[1]) or wall_clock(made[0]) == wall_clock(made[1])
    return at_once and all(str(cloud.get(name)) == str(box.get(name)) for name in of.fixed)
