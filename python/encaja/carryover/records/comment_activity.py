"""Records that may have new comments since their comments were last read.

REST lists comments by their record only, a command for each; so what was read is remembered with the record's last
activity, and is not read again while that is the same. The documentation does not say that a comment counts as an
activity; the proof does not rely on it (``thorough``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import moment
from encaja.carryover.mapping.entities import BY_ENTITY
from encaja.carryover.mapping.identity_map import CommentsRead
from encaja.carryover.source.reader import Record
from encaja.rest.client import RestClient

_SAME_SECOND = timedelta(seconds=2)
"""Times are in seconds: after what was read so soon after an activity there may have been one more."""


@dataclass
class CommentBatch:
    """Records of one kind, and what is known of their comments.

    Args:
        entity: the kind.
        owners: those whose comments have to be read.
        activity: their last activity, by identifier.
        at: a time by the cloud's clock before which that was read.
        quiet: number of comments of the other records, all of which are carried.
        records: comments of the owners, once they are read.
    """

    entity: str
    owners: list[Record]
    activity: dict[str, str]
    at: datetime
    quiet: int = 0
    records: list[Record] = field(default_factory=list)

    async def read(self, context: Context, since: datetime) -> CommentBatch:
        """Read the comments that were written since a time."""
        found = await context.reader.belonging("comment", self.owners)
        self.records = [record for record in found if record.created >= since]
        return self

    def remember(self, context: Context) -> None:
        """Remember of which records all comments are carried."""
        if context.dry_run:
            return
        links = context.map.find("comment", [record.id for record in self.records])
        count = dict.fromkeys(self.activity, 0)
        open_ = set()
        for record in self.records:
            owner = str(record.fields.get("ENTITY_ID"))
            if record.id in links and links[record.id].box:
                count[owner] = count.get(owner, 0) + 1
            else:
                open_.add(owner)
        read = [
            CommentsRead(key, at, self.at.isoformat(), count[key])
            for key, at in self.activity.items()
            if key not in open_
        ]
        context.map.comments_read(self.entity, read)


async def active(
    context: Context, entity: str, filters: Mapping[str, Any], *, thorough: bool = False
) -> AsyncIterator[CommentBatch]:
    """List records of a kind, and separate those whose comments have to be read from those where nothing changed.

    Args:
        context: the carry-over.
        entity: the kind.
        filters: which records, in the portal's notation.
        thorough: read the comments of all of them.
    """
    at = context.now_in_cloud()
    async for page in _rows(context.cloud, entity, filters):
        keys = [str(row["id"]) for row in page]
        known = {} if thorough else context.map.read_comments(entity, keys)
        batch = CommentBatch(entity, [], {}, at)
        for key, row in zip(keys, page, strict=True):
            last = str(row.get("lastActivityTime"))
            before = known.get(key)
            if before and _is_quiet(before, last):
                batch.quiet += before.comments
                continue
            created = moment(row.get("createdTime")) or at
            batch.activity[key] = last
            batch.owners.append(Record(entity, key, {}, moment(row.get("updatedTime")) or created, created))
        yield batch


def _is_quiet(before: CommentsRead, last: str) -> bool:
    then, read = moment(last), moment(before.at)
    return before.activity == last and then is not None and read is not None and read > then + _SAME_SECOND


def _rows(cloud: RestClient, entity: str, filters: Mapping[str, Any]) -> AsyncIterator[Sequence[dict[str, Any]]]:
    return cloud.rows(
        "crm.item.list",
        filter=filters,
        select=["id", "createdTime", "updatedTime", "lastActivityTime"],
        parameters={"entityTypeId": BY_ENTITY[entity].type_id},
    )
