"""The proof: both sides compared over the window, record by record and field by field, from what the portals say now.

What the box has is counted, not what the identity map says: doubles are found by the origins that the box keeps.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import fingerprints, shown, whole
from encaja.carryover.mapping.entities import ITEMS, ItemKind
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import RECORD, Decision, Pair, decide_pair
from encaja.carryover.not_carried import not_carried
from encaja.carryover.records.base import LeftOutError, RecordKind, rows_of
from encaja.carryover.records.comment_activity import active
from encaja.carryover.records.file_fields import lacking
from encaja.carryover.records.kinds import record_kinds
from encaja.carryover.records.updates import pair_of
from encaja.carryover.source.origins import ORIGINATOR, get_items
from encaja.carryover.source.reader import Record
from encaja.rest.errors import AccessError, RefusedError
from encaja.rest.prefetch import ahead

_COMMENTS_AHEAD = 4  # requests under way at once
LONGEST = 500
"""Differences that are listed one by one."""


@dataclass
class Compared:
    """The outcome for one kind of record.

    Args:
        entity: the kind.
        new: records that the cloud made in the window.
        changed: older ones that it changed.
        in_box: how many of both the box has.
        missing: identifiers in the cloud of those that it lacks.
        doubled: identifiers in the cloud of those that it has more than once.
        differing: how many differ in some field.
        explained: how many fields differ because the box changed them, or because a rule decided for the box.
        later: how many were not compared because they were written after the last pass began (``Context.until``).
    """

    entity: str
    new: int = 0
    changed: int = 0
    in_box: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    differing: int = 0
    explained: int = 0
    later: int = 0
    _cloud: int = 0
    _box: int = 0

    def in_time(self, context: Context, page: Sequence[Record]) -> list[Record]:
        """Those of the records that are compared; the others are counted as later."""
        found = [record for record in page if not context.is_later(record)]
        self.later += len(page) - len(found)
        return found

    def add(self, cloud: str, want: dict[str, str], have: dict[str, str]) -> None:
        """Add a record to the hashes of both sides; the order does not matter."""
        self._cloud ^= _number(cloud, want)
        self._box ^= _number(cloud, have)

    def row(self) -> dict[str, Any]:
        """As a row of the report."""
        counts = {name: getattr(self, name) for name in ("new", "changed", "in_box", "differing", "explained", "later")}
        return {
            "entity": self.entity,
            **counts,
            "missing": len(self.missing),
            "doubled": len(self.doubled),
            "hash_cloud": f"{self._cloud:016x}",
            "hash_box": f"{self._box:016x}",
        }


def _number(cloud: str, hashes: dict[str, str]) -> int:
    return int.from_bytes(hashlib.blake2b(f"{cloud}:{whole(hashes)}".encode(), digest_size=8).digest())


async def reconcile(context: Context, notes: Sequence[str] = (), *, thorough: bool = True) -> dict[str, Any]:
    """Compare both sides over the window.

    Args:
        context: the carry-over.
        notes: lines to add to the document.
        thorough: whether comments are read again also of records in which nothing changed since they were carried.
            They are listed by record only, so it takes a second for each hundred records.

    Returns:
        The document of kind ``reconcile``; its ``differences`` is 0 when all is well.
    """
    began = time.monotonic()
    compared: list[Compared] = []
    details: list[dict[str, Any]] = []
    for kind in ITEMS:
        comparison = _ItemComparison(context, kind.entity, Compared(kind.entity), details, kind)
        await comparison.run()
        compared.append(comparison.found)
    for other in record_kinds(context):
        compared.append(await _compare(context, other.entity, details, other))
    compared.append(await _compare(context, "comment", details, thorough=thorough))
    compared.append(await _compare(context, "task_comment", details))
    missing = sum(len(one.missing) for one in compared)
    doubled = sum(len(one.doubled) for one in compared)
    faults = context.map.faults()
    conflicts = context.map.conflicts()
    return {
        "kind": "reconcile",
        "cloud": context.settings.cloud.host,
        "box": context.settings.box.host,
        "since": context.since.isoformat(timespec="seconds"),
        "frozen": context.frozen.isoformat(timespec="seconds") if context.frozen else "",
        "carried": sum(one.in_box for one in compared),
        "missing": missing,
        "doubled": doubled,
        "later": sum(one.later for one in compared),
        "freeze_seconds": context.map.note("freeze_seconds"),
        "differences": missing + doubled + sum(one.differing for one in compared),
        "entities": [one.row() for one in compared],
        "records": details[:LONGEST],
        "open_conflicts": sum(item.decision == "open" for item in conflicts),
        "conflicts": [item.row() | {"decided_for": item.decision} for item in conflicts[:LONGEST]],
        "faults": [
            {"entity": item.entity, "cloud": item.cloud, "what": item.what, "hint": item.hint, "tries": item.tries}
            for item in faults[:LONGEST]
        ],
        "stragglers": [
            {"entity": entity, "cloud": cloud, "at": at, "by": by} for entity, cloud, at, by in context.map.stragglers()
        ],
        "not_carried": await not_carried(context),
        "notes": list(notes),
        "seconds": round(time.monotonic() - began, 1),
    }


async def _compare(
    context: Context,
    entity: str,
    details: list[dict[str, Any]],
    kind: RecordKind | None = None,
    *,
    thorough: bool = True,
) -> Compared:
    comparison = _RecordComparison(context, entity, Compared(entity), details, kind, thorough)
    try:
        await comparison.run()
    except AccessError:
        raise
    except RefusedError as fault:
        context.refused[entity] = fault.what
    return comparison.found


@dataclass
class _Comparison:
    """The comparison of one kind of record."""

    context: Context
    entity: str
    found: Compared
    details: list[dict[str, Any]]

    def note(self, cloud: str, box: str, name: str, in_cloud: str, in_box: str) -> None:
        """Note a difference."""
        values = {"in_cloud": in_cloud, "in_box": in_box}
        self.details.append({"entity": self.entity, "cloud": cloud, "box": box, "field": name, **values})


@dataclass
class _RecordComparison(_Comparison):
    """Of requisites, activities and tasks; and of comments, which have no ``kind``."""

    kind: RecordKind | None = None
    thorough: bool = True

    async def run(self) -> None:
        """Compare everything in the window."""
        watermark = self.context.map.watermark(self.entity)
        pages = (
            self._comments()
            if self.entity == "comment"
            else self.context.reader.changed(self.entity, self.context.since)
        )
        async for read in pages:
            page = self.found.in_time(self.context, read)
            links = self.context.map.find(self.entity, [record.id for record in page])
            rows = await self._rows(page, links)
            for record in page:
                link = links.get(record.id)
                is_old = record.id.isdigit() and int(record.id) <= watermark
                if self.kind is None and record.created < self.context.since and link is None:
                    continue  # older than the window; it came along with an active owner
                want = await self._want(record)
                if want is None or (link is not None and link.state in {State.KEPT, State.GONE}):
                    continue
                self.found.new += not is_old
                self.found.changed += is_old
                row = rows.get(record.id)
                if row is None and (self.kind is not None or link is None or not link.box):
                    self.note(record.id, "", RECORD, "there", "missing")
                    self.found.missing.append(record.id)
                    continue
                self.found.in_box += 1
                if row is not None and self.kind is not None:
                    self._fields(record, want, row, link)

    async def _comments(self) -> AsyncIterator[list[Record]]:
        since = self.context.since
        at = since.isoformat(timespec="seconds")
        either = {"logic": "OR", "0": {">=updatedTime": at}, "1": {">=lastActivityTime": at}}
        for kind in ITEMS:
            batches = active(self.context, kind.entity, {"0": either}, thorough=self.thorough)
            async for batch in ahead(batches, lambda batch: batch.read(self.context, since), _COMMENTS_AHEAD):
                self.found.new += batch.quiet
                self.found.in_box += batch.quiet
                yield batch.records

    async def _want(self, record: Record) -> Wanted | None:
        if self.kind is None:
            return Wanted()
        try:
            return await self.kind.want(record)
        except LeftOutError as fault:
            self.context.note_left_out(self.entity, str(fault), record)
            return None

    async def _rows(self, page: Sequence[Record], links: dict[str, Link]) -> dict[str, dict[str, Any]]:
        if self.kind is None:
            return {}
        watermark = self.context.map.watermark(self.entity)
        boxes = {record.id: links[record.id].box for record in page if record.id in links}
        boxes |= {record.id: record.id for record in page if record.id not in links and int(record.id) <= watermark}
        read = await rows_of(self.kind, [box for box in boxes.values() if box])
        return {name: read[box] for name, box in boxes.items() if box in read}

    def _fields(self, record: Record, want: Wanted, row: dict[str, Any], link: Link | None) -> None:
        if self.kind is None:
            return
        have = self.kind.here(row, want.values)
        hashes, mine = fingerprints(want.values), fingerprints(have)
        differing = [name for name in hashes if hashes[name] != mine[name]]
        # Where the box differed when the record was carried, or changed since, it was decided then and is in the list.
        explained = {name for name in differing if link is not None and link.want.get(name) == hashes[name]}
        self.found.explained += len(explained)
        self.found.add(record.id, hashes, {**mine, **{name: hashes[name] for name in explained}})
        left = [name for name in differing if name not in explained]
        for name in left:
            box = str(row.get("ID") or row.get("id"))
            self.note(record.id, box, name, shown(want.values[name]), shown(have[name]))
        self.found.differing += bool(left)


@dataclass
class _ItemComparison(_Comparison):
    """Of leads, deals, contacts or companies."""

    kind: ItemKind

    async def run(self) -> None:
        """Compare everything in the window."""
        origins = await _origins(self.context, self.kind)
        async for read in self.context.reader.changed(self.kind.entity, self.context.since):
            page = self.found.in_time(self.context, read)
            links = self.context.map.find(self.kind.entity, [record.id for record in page])
            boxes = {
                record.id: self._box_of(record, links.get(record.id), origins.get(record.id, [])) for record in page
            }
            there = await get_items(self.context.box, self.kind, [box for box in boxes.values() if box])
            for record in page:
                link = links.get(record.id)
                item = there.get(boxes[record.id])
                if item is not None:
                    self.found.in_box += 1
                    self._fields(record, link, item)
                elif link is None or link.state not in {State.KEPT, State.GONE}:
                    self.found.missing.append(record.id)
                    self.note(record.id, boxes[record.id], RECORD, "there", "missing")

    def _box_of(self, record: Record, link: Link | None, copies: Sequence[str]) -> str:
        is_new = int(record.id) > self.context.map.watermark(self.kind.entity)
        self.found.new += is_new
        self.found.changed += not is_new
        if len(copies) > 1:
            self.found.doubled.append(record.id)
            also = f"also {', '.join(copies[1:])}"
            self.note(record.id, copies[0], RECORD, "once", also)
        if copies:
            return copies[0]
        return link.box if link is not None and link.box else "" if is_new else record.id

    def _fields(self, record: Record, link: Link | None, item: dict[str, Any]) -> None:
        context = self.context
        want = context.translation.wanted(self.kind.entity, record.fields)
        pair = pair_of(context, record, want, link, item)
        have = pair.have
        explained = _explained(decide_pair(context, pair), pair)
        self.found.explained += len(explained)
        hashes = fingerprints(want.values)
        # What is explained counts for both sides as the cloud has it: equal hashes mean that nothing is unexplained.
        mine = {name: hashes[name] if name in explained else text for name, text in fingerprints(have).items()}
        box = str(item["id"])
        differing = [name for name, value in want.values.items() if value != have[name] and name not in explained]
        for name in differing:
            self.note(record.id, box, name, shown(want.values[name]), shown(have[name]))
        if created := context.created_differs(record, item):
            mine["createdTime"] = created
            self.note(record.id, box, "createdTime", context.times_of(record), created)
        problems = want.problems + [f"refers to {entity} {key}, which is not there" for entity, key in want.missing]
        problems += [f"files of field {name}" for name in lacking(context, self.kind, record, item)]
        for problem in problems:
            self.note(record.id, box, "(part)", problem, "")
        self.found.add(record.id, hashes, mine)
        self.found.differing += bool(differing or created or problems)


def _explained(decision: Decision, pair: Pair) -> set[str]:
    """Fields that differ because the box changed them, or because a rule decided for the box."""
    link, hashes = pair.link, fingerprints(pair.have)
    changed_here = {
        name
        for name in decision.keep
        if name not in decision.conflicts and (link is None or link.have.get(name) != hashes[name])
    }
    return changed_here | {name for name, decided in decision.conflicts.items() if decided == "box"}


async def _origins(context: Context, kind: ItemKind) -> dict[str, list[str]]:
    """Identifiers in the box by identifier in the cloud, of everything that was carried."""
    found: dict[str, list[str]] = {}
    async for page in _carried(context, kind):
        for row in page:
            found.setdefault(str(row["originId"]), []).append(str(row["id"]))
    for link in context.map.links(kind.entity, State.DONE):
        if link.box and link.cloud not in found and int(link.cloud) > context.map.watermark(kind.entity):
            found[link.cloud] = [link.box]
    return found


def _carried(context: Context, kind: ItemKind) -> AsyncIterator[list[dict[str, Any]]]:
    return context.box.rows(
        "crm.item.list",
        filter={"=originatorId": ORIGINATOR},
        select=["id", "originId"],
        parameters={"entityTypeId": kind.type_id},
    )
