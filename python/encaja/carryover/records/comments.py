"""Comments of the timeline and of tasks, and checklists, which have no origin.

What the cloud has at a record and the box lacks at its counterpart is added. A comment that the box has already is
recognised by its identifier and time (the backup's) or by its text and author (one that was carried), so one whose
answer was lost is found before it would be sent again.

Source: apidocs.bitrix24.com, crm/timeline/comments (neither time nor origin), tasks/comment-item, tasks/checklist-item.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import canonical, fingerprints, moment, wall_clock
from encaja.carryover.mapping.entities import BY_ENTITY, BY_TYPE
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.records import attachments
from encaja.carryover.records.crm_items import ensure
from encaja.carryover.records.send_once import send_once
from encaja.carryover.source.reader import Record
from encaja.rest.command import Command, UncertainError
from encaja.rest.errors import RefusedError


@dataclass(frozen=True)
class _Comment:
    """A comment of the cloud in the box's terms."""

    record: Record
    text: str
    author: str
    want: Wanted


async def carry_comments(context: Context, records: Sequence[Record]) -> None:
    """Comments of the timeline."""
    owners: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        kind = str(record.fields.get("ENTITY_TYPE", "")).lower()
        kind = BY_TYPE[int(kind)].entity if kind.isdigit() and int(kind) in BY_TYPE else kind
        owners[kind, str(record.fields.get("ENTITY_ID"))].append(record)
    await ensure(context, [owner for owner in owners if owner[0] in BY_ENTITY])
    places: dict[_Place, list[Record]] = {}
    for (entity, key), found in owners.items():
        box = context.map.box_id(entity, key) if entity in BY_ENTITY else None
        if box is None:
            for record in found:
                context.note_left_out("comment", f"belongs to {entity} {key}, which is not in the box", record)
            continue
        places[_Place(entity, box)] = found
    await _converge(context, "comment", places)


async def carry_task_comments(context: Context, records: Sequence[Record]) -> None:
    """Comments of tasks."""
    tasks: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        tasks[str(record.fields["TASK_ID"])].append(record)
    boxes = {key: context.map.box_id("task", key) for key in tasks}
    await _converge(context, "task_comment", {_Place("task", box): tasks[key] for key, box in boxes.items() if box})


@dataclass(frozen=True)
class _Place:
    """The record of the box that comments belong to."""

    entity: str
    box: str

    def command(self, comment: _Comment, created: str) -> Command:
        """The command that adds a comment."""
        if self.entity == "task":
            fields = {"POST_MESSAGE": comment.text, "AUTHOR_ID": comment.author, "POST_DATE": created}
            return Command("task.commentitem.add", {"TASKID": int(self.box), "FIELDS": fields})
        fields = {"ENTITY_TYPE": self.entity, "ENTITY_ID": self.box, "COMMENT": comment.text}
        return Command(
            "crm.timeline.comment.add", {"fields": {**fields, "AUTHOR_ID": comment.author, **comment.want.raw}}
        )


async def _converge(context: Context, entity: str, places: Mapping[_Place, Sequence[Record]]) -> None:
    """Add the comments that are missing in their places."""
    links = context.map.find(entity, [record.id for records in places.values() for record in records])
    open_ = {
        place: found
        for place, records in places.items()
        if (found := [record for record in records if record.id not in links or _is_open(links[record.id])])
    }
    if not open_:
        return
    await _quiet(context, [link.sent for link in links.values() if _is_open(link)])
    there = await _there(context, entity, list(open_))
    for place, records in open_.items():
        await _converge_one(context, entity, records, place, there[place])


def _is_open(link: Link) -> bool:
    return link.state is State.SENDING


async def _there(context: Context, entity: str, places: Sequence[_Place]) -> dict[_Place, dict[str, Record]]:
    """The comments that the box has in places, by identifier."""
    found: dict[_Place, dict[str, Record]] = {place: {} for place in places}
    for kind in dict.fromkeys(place.entity for place in places):
        owners = [Record(kind, place.box, {}, context.since, context.since) for place in places if place.entity == kind]
        for record in await context.box_reader.belonging(entity, owners):
            key = record.fields["TASK_ID" if kind == "task" else "ENTITY_ID"]
            found.setdefault(_Place(kind, str(key)), {})[record.id] = record
    return found


async def _converge_one(
    context: Context, entity: str, records: Sequence[Record], place: _Place, there: dict[str, Record]
) -> None:
    text = "POST_MESSAGE" if entity == "task_comment" else "COMMENT"
    for record in sorted(records, key=lambda record: int(record.id)):
        same = there.get(record.id)
        if same and _is_same(same, record) and same.fields.get(text) == record.fields.get(text):
            context.map.done(entity, record.id, record.id)  # the backup brought it
            del there[record.id]
            continue
        comment = _translated(context, record, str(record.fields.get(text) or ""))
        twin = next((other for other in there.values() if _is_carried(context, entity, other, comment, text)), None)
        if twin is None and record.created < context.since:
            continue  # older than the window, and deleted in the box
        if context.dry_run:
            context.note_preview(entity, "new", record)
            continue
        box = twin.id if twin else await _send(context, comment, place)
        if not box:
            continue
        there.pop(box, None)
        with context.map.transaction():
            hashes = fingerprints({"text": canonical(comment.text, "any")})
            context.map.done(entity, record.id, box, want=hashes, have=hashes)
            context.map.note_time(entity, box, record.created.isoformat(), comment.author)
            context.note_problems(record, comment.want)
        context.count(record, "new")


async def _quiet(context: Context, sent: Sequence[float]) -> None:
    """Wait until the box can no longer be working on what was sent when a connection or a process ended."""
    await asyncio.sleep(max(0.0, max(sent, default=0.0) + context.settings.patience - time.time()))


def _is_same(here: Record, record: Record) -> bool:
    name = "POST_DATE" if "POST_DATE" in record.fields else "CREATED"
    return here.created == record.created or wall_clock(here.fields.get(name)) == wall_clock(record.fields.get(name))


def _is_carried(context: Context, entity: str, here: Record, comment: _Comment, text: str) -> bool:
    """Whether a comment of the box that has no counterpart yet is this one, sent before."""
    if context.map.cloud_id(entity, here.id) is not None or str(here.fields.get(text) or "") != comment.text:
        return False
    # One written in the box with the same words is another comment: it is newer, and has another author.
    return (
        str(here.fields.get("AUTHOR_ID")) == comment.author
        or (moment(here.fields.get("CREATED")) or here.created) >= context.since
    )


def _translated(context: Context, record: Record, text: str) -> _Comment:
    want = Wanted()
    written, unknown = context.translation.text(text)
    want.missing += unknown
    author, exact = context.translation.user(record.fields.get("AUTHOR_ID"))
    if not exact:
        want.problems.append(
            f"its author {context.translation.user_name(record.fields.get('AUTHOR_ID'))} is not in the box"
        )
    return _Comment(record, written, author, want)


async def _send(context: Context, comment: _Comment, place: _Place) -> str:
    record = comment.record
    files = attachments.described(record.fields.get("FILES"))
    if files:
        comment.want.raw["FILES"] = await attachments.fetch(context, files, comment.want)
    answer = await send_once(context, record, place.command(comment, record.created.isoformat()))
    return "" if answer is None else str(answer.result)


async def carry_checklists(context: Context, records: Sequence[Record]) -> None:
    """Checklists of tasks: items that the box's task does not have are added, completed ones completed."""
    tasks: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        tasks[str(record.fields["TASK_ID"])].append(record)
    for key, found in tasks.items():
        if box := context.map.box_id("task", key):
            await _checklist(context, found, box)


async def _checklist(context: Context, records: Sequence[Record], task: str) -> None:
    links = context.map.find("checklist", [record.id for record in records])
    await _quiet(context, [link.sent for link in links.values() if link.state is State.SENDING])
    answer = await context.box.call("task.checklistitem.getlist", {"TASKID": int(task)})
    there: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in answer.result:
        there[str(row["TITLE"])].append(row)
    parents: dict[str, str] = {}
    for record in _lists_first(records):
        title = str(record.fields.get("TITLE") or "")
        done = "Y" if record.fields.get("IS_COMPLETE") in {"Y", True} else "N"
        row = there[title].pop(0) if there[title] else None
        if context.dry_run:
            if row is None:
                context.note_preview("checklist", "new", record)
            continue
        try:
            if row is None:
                fields = {"TITLE": title, "IS_COMPLETE": done, "SORT_INDEX": int(record.fields.get("SORT_INDEX") or 0)}
                # Without a parent the box puts an item into the task's first list; parent 0 makes it a list.
                fields |= {"PARENT_ID": int(parents.get(str(record.fields.get("PARENT_ID") or ""), "0"))}
                context.map.sending("checklist", [(record.id, record.modified.isoformat())])
                made = await context.box.call(
                    "task.checklistitem.add", {"TASKID": int(task), "FIELDS": fields}, safe=False
                )
                parents[record.id] = str(made.result)
                context.map.unsent("checklist", [record.id])
                context.count(record, "new")
                continue
            parents[record.id] = str(row["ID"])
            here = "Y" if row.get("IS_COMPLETE") in {"Y", True} else "N"
            if here != done and context.map.cloud_id("task", task) != task:
                verb = "complete" if done == "Y" else "renew"
                await context.box.call(f"task.checklistitem.{verb}", {"TASKID": int(task), "ITEMID": int(row["ID"])})
                context.count(record, "changed")
        except RefusedError as fault:
            context.map.unsent("checklist", [record.id])
            context.note_fault(record, f"the box refuses it: {fault.what}", "it is retried")
        except UncertainError:
            return  # compared in the next round


def _lists_first(records: Sequence[Record]) -> list[Record]:
    """Items of a task's checklists, every one after the list or item that it stands below."""
    above = {record.id: str(record.fields.get("PARENT_ID") or "0") for record in records}

    def depth(item: str) -> int:
        return next((n for n in range(len(above)) if (item := above.get(item, "")) not in above), len(above))

    return sorted(records, key=lambda record: depth(record.id))
