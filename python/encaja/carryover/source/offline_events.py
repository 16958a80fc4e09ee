"""Offline events: the cloud's own record of every change, deletions included, from before the backup on.

They belong to a local application, and need its token for an administrator. Events are bound before the backup is
ordered. Taking some reserves them under a process identifier; confirming this removes them, so nothing is lost when a
process dies in between. On plans without that, the queue is only read.

Source: apidocs.bitrix24.com, events (event.bind, event.offline.get, .list, .clear) and common/system/feature-get.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from encaja.carryover.mapping.canonical import moment
from encaja.rest.client import RestClient
from encaja.rest.command import Command

_OBJECTS: Final = {
    "lead": "ONCRMLEAD",
    "deal": "ONCRMDEAL",
    "contact": "ONCRMCONTACT",
    "company": "ONCRMCOMPANY",
    "requisite": "ONCRMREQUISITE",
    "bank_detail": "ONCRMBANKDETAIL",
    "activity": "ONCRMACTIVITY",
    "comment": "ONCRMTIMELINECOMMENT",
    "task": "ONTASK",
    "task_comment": "ONTASKCOMMENT",
}
_WHAT: Final = {"ADD": "added", "UPDATE": "changed", "DELETE": "deleted"}
EVENTS: Final = {
    **{f"{name}{verb}": (entity, what) for entity, name in _OBJECTS.items() for verb, what in _WHAT.items()},
    "ONCRMADDRESSREGISTER": ("address", "changed"),
    "ONCRMADDRESSUNREGISTER": ("address", "deleted"),
}
"""Name of the event to the kind of record and what happened to it."""
_LIMIT = 500


@dataclass(frozen=True)
class Change:
    """A change of a record; of several changes of the same kind the queue keeps the last.

    Args:
        entity: its kind.
        id: its identifier, as in ``Record``.
        what: ``added``, ``changed`` or ``deleted``.
        at: when.
        owner: the task of a task's comment.
    """

    entity: str
    id: str
    what: str
    at: datetime | None
    owner: str = ""


@dataclass(frozen=True)
class Taken:
    """Changes taken from the queue, to be confirmed when they have been processed.

    Args:
        changes: in the order in which they happened.
        process: under which they are reserved; empty where the plan has no confirmation.
        last: identifier of the last event.
    """

    changes: list[Change]
    process: str = ""
    last: int = 0


class OfflineEvents:
    """The queue of an application.

    Args:
        application: the portal, with the application's token.
    """

    def __init__(self, application: RestClient) -> None:
        self._portal = application

    async def confirmable(self) -> bool:
        """Whether the plan has reservation and confirmation."""
        answer = await self._portal.call("feature.get", {"CODE": "rest_offline_extended"})
        return bool(answer.result["value"] == "Y")

    async def bind(self) -> dict[str, str]:
        """Have all changes recorded from now on; safe to repeat.

        Returns:
            Events that this portal does not have, and why; the others are bound.

        Raises:
            AccessError: the token is no administrator's or no application's.
        """
        bound = await self.bound()
        missing = [name for name in EVENTS if name not in bound]
        answers = await self._portal.batch(
            [Command("event.bind", {"event": name, "event_type": "offline"}) for name in missing]
        )
        return {
            name: answer.error.what
            for name, answer in zip(missing, answers, strict=True)
            if answer.error and answer.error.code != "ERROR_EVENT_BINDING_EXISTS"
        }

    async def bound(self) -> set[str]:
        """Events that are bound."""
        answer = await self._portal.call("event.get")
        return {str(row["event"]).upper() for row in answer.result if int(row.get("offline") or 0)}

    async def take(self) -> list[Taken]:
        """Take the queue: first what an earlier process took and never confirmed, then what is new."""
        taken = [await self._get(process) for process in await self._reserved()]
        while True:
            fresh = await self._get("")
            if not fresh.last:
                return taken
            taken.append(fresh)

    async def confirm(self, taken: Taken) -> None:
        """Remove them from the queue; they have been processed."""
        if taken.process:
            await self._portal.call("event.offline.clear", {"process_id": taken.process})

    async def peek(self, after: int = 0) -> Taken:
        """Read the queue behind an event without changing it, where the plan has no confirmation."""
        rows: list[dict[str, Any]] = []
        start: int | None = 0
        while start is not None:
            answer = await self._portal.call(
                "event.offline.list", {"filter": {">ID": after}, "order": {"ID": "ASC"}, "start": start}
            )
            rows += answer.result
            start = answer.next
        return Taken(_changes(rows), last=max((int(row["ID"]) for row in rows), default=after))

    async def _reserved(self) -> list[str]:
        processes: dict[str, None] = {}
        start: int | None = 0
        while start is not None:
            answer = await self._portal.call("event.offline.list", {"order": {"ID": "ASC"}, "start": start})
            processes |= {str(row["PROCESS_ID"]): None for row in answer.result if row.get("PROCESS_ID")}
            start = answer.next
        return list(processes)

    async def _get(self, process: str) -> Taken:
        parameters: dict[str, Any] = {"clear": 0, "limit": _LIMIT, "order": {"ID": "ASC"}}
        if process:
            parameters["process_id"] = process
        # Safe: what a lost answer has reserved shows up as reserved the next time.
        answer = await self._portal.call("event.offline.get", parameters)
        rows = answer.result.get("events") or []
        last = max((int(row["ID"]) for row in rows), default=0)
        return Taken(_changes(rows), str(answer.result.get("process_id") or process), last)


def _changes(rows: list[dict[str, Any]]) -> list[Change]:
    changes = []
    for row in rows:
        known = EVENTS.get(str(row["EVENT_NAME"]).upper())
        fields = _fields(row.get("EVENT_DATA"))
        if known is None or not fields:
            continue
        entity, what = known
        if entity == "address":
            identifier = f"{fields.get('TYPE_ID')}:{fields.get('ENTITY_TYPE_ID')}:{fields.get('ENTITY_ID')}"
        else:
            identifier = str(fields.get("ID", ""))
        if identifier:
            changes.append(
                Change(entity, identifier, what, moment(row.get("TIMESTAMP_X")), str(fields.get("TASK_ID", "")))
            )
    return changes


def _fields(data: Any) -> Mapping[str, Any]:
    """The fields of an event: under ``FIELDS``, of tasks after and before the change, of comments at the top."""
    if not isinstance(data, dict):
        return {}
    for key in ("FIELDS", "FIELDS_AFTER", "FIELDS_BEFORE"):
        if isinstance(data.get(key), dict) and data[key].get("ID", data[key].get("ENTITY_ID")) is not None:
            found: Mapping[str, Any] = data[key]
            return found
    return data if "ID" in data else {}
