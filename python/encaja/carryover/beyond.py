"""What REST does not carry, with as many counts as the cloud gives.

Source: apidocs.bitrix24.com, crm/data-types (identifiers of types), crm/universal/user-defined-object-types
(crm.type.list).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from encaja.carryover.files import ENTITY as FILES
from encaja.carryover.rest import Answer, Command, Portal, RefusedError
from encaja.carryover.work import Work

_TYPES = {7: "quotes", 31: "invoices"}
_UNCOUNTED = {
    "messages of chats and open lines": "REST gives a chat only to its members",
    "history of records and of business processes": "REST does not write it",
    "files of the drive that hang from no record": "copy the folders",
    "photographs of contacts and logos of companies": "copy them by hand",
    "calendars, feed and mailboxes": "they are read anew from the backup or from their own servers",
}


async def not_carried(work: Work) -> list[dict[str, Any]]:
    """What is not carried, why, and how many there are in the window; a count of None is not known."""
    found: list[dict[str, Any]] = []
    types = dict(_TYPES)
    for number, title in (await _own_types(work.cloud)).items():
        types[number] = title
    for title, answer in zip(types.values(), await _counts(work, types), strict=True):
        # An error says that the portal has no such type.
        if answer.error is None and answer.total != 0:
            found.append(_row(title, "not carried by this kit: export and import them", answer.total))
    for (entity, why), names in sorted(work.left.items()):
        found.append(_row(entity, why, len(names)))
    for entity, why in sorted(work.refused.items()):
        found.append(_row(entity, f"the cloud does not list them: {why}", None))
    moments = len(work.map.moments())
    if moments:
        found.append(_row("times of creation and authors", "REST keeps none here; set carry_over_portal_root", moments))
    files = sum(item.entity == FILES for item in work.map.troubles())
    if files:
        found.append(_row("files in fields of records", "they could not be fetched or sent: see the faults", files))
    found += [_row(what, why, None) for what, why in _UNCOUNTED.items()]
    return found


def _row(what: str, why: str, count: int | None) -> dict[str, Any]:
    return {"what": what, "why": why, "count": count}


async def _own_types(cloud: Portal) -> Mapping[int, str]:
    """Types that the company made itself."""
    try:
        answer = await cloud.call("crm.type.list")
    except RefusedError:
        return {}
    return {int(item["entityTypeId"]): str(item["title"]) for item in answer.result.get("types", [])}


async def _counts(work: Work, numbers: Iterable[int]) -> list[Answer]:
    """How many there are of types, by one request."""
    filters = {">=createdTime": work.since.isoformat(timespec="seconds")}
    return await work.cloud.batch(
        [Command("crm.item.list", {"entityTypeId": number, "filter": filters, "select": ["id"]}) for number in numbers]
    )
