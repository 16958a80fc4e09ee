"""Records that the cloud no longer has: found by comparing identifiers, and treated by rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encaja.carryover.changes import Deletion
from encaja.carryover.entities import ITEMS, ItemKind
from encaja.carryover.identity import Conflict, Link, State
from encaja.carryover.lookup import get_items
from encaja.carryover.prints import fingerprint
from encaja.carryover.readers import is_absent
from encaja.carryover.rest import Portal, RefusedError
from encaja.carryover.work import Work


class Identifiers:
    """A set of identifiers, a bit each: a million take 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """Put one in."""
        at = number >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1024 - len(self._bits)))
        self._bits[at] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] & (1 << (number & 7)))


async def identifiers(portal: Portal, kind: ItemKind) -> Identifiers:
    """All identifiers that a portal has of a kind."""
    found = Identifiers()
    async for page in portal.rows("crm.item.list", select=["id"], parameters={"entityTypeId": kind.type_id}):
        for row in page:
            found.add(int(row["id"]))
    return found


async def sweep(work: Work) -> None:
    """Compare all identifiers, and treat what the cloud no longer has."""
    for kind in reversed(ITEMS):
        # The box first: what is deleted in the cloud in between is then found the next time, not overlooked.
        box = await _of_the_backup(work, kind)
        cloud = await identifiers(work.cloud, kind)
        known = work.map.find(kind.entity, [str(number) for number in box])
        gone = [str(number) for number in box if number not in cloud and _is_open(known.get(str(number)))]
        gone += [
            link.cloud
            for link in work.map.links(kind.entity, State.DONE)
            if int(link.cloud) > work.map.watermark(kind.entity) and int(link.cloud) not in cloud
        ]
        await treat(work, kind, gone)


def _is_open(link: Link | None) -> bool:
    return link is None or link.state is State.DONE


async def _of_the_backup(work: Work, kind: ItemKind) -> list[int]:
    watermark = work.map.watermark(kind.entity)
    found: list[int] = []
    async for page in work.box.rows(
        "crm.item.list",
        filter={"<=id": watermark},
        select=["id"],
        parameters={"entityTypeId": kind.type_id},
    ):
        found += [int(row["id"]) for row in page]
    return found


async def treat(work: Work, kind: ItemKind, gone: Sequence[str]) -> None:
    """Treat records of the cloud that are no longer there, by rule.

    Args:
        work: the carry-over.
        kind: of the records.
        gone: their identifiers in the cloud.
    """
    links = work.map.find(kind.entity, gone)
    watermark = work.map.watermark(kind.entity)
    boxes = {
        name: links[name].box if name in links else name for name in gone if name in links or int(name) <= watermark
    }
    there = await get_items(work.box, kind, list(boxes.values()))
    for name in gone:
        item = there.get(boxes.get(name, ""))
        if item is None:
            _mark(work, kind, [name], State.GONE)
            continue
        link = links.get(name)
        touched = _changed_here(work, kind, link, item)
        if work.settings.deletions is Deletion.CLOUD and not touched:
            if work.dry_run:
                work.tally.count("deleted", kind.entity)
                continue
            answer = await _delete(work, kind, boxes[name])
            if answer:
                work.map.trouble(kind.entity, name, f"the box refuses to delete it: {answer}", "delete it by hand")
                continue
            _mark(work, kind, [name], State.GONE)
            work.tally.count("deleted", kind.entity)
            continue
        decision = "open" if work.settings.deletions is Deletion.ASK else "box"
        if not work.dry_run:
            work.map.conflict(
                Conflict(
                    kind.entity, name, boxes[name], "(record)", "deleted", "changed" if touched else "there", decision
                )
            )
        _mark(work, kind, [name], State.KEPT, boxes[name])


def _mark(work: Work, kind: ItemKind, names: Iterable[str], state: State, box: str = "") -> None:
    if work.dry_run:
        return
    for name in names:
        work.map.mark(kind.entity, name, state, box)
        work.map.cured(kind.entity, name)


def _changed_here(work: Work, kind: ItemKind, link: Link | None, item: dict[str, object]) -> bool:
    if link is None or not link.have:
        return link is None and work.touched(item)
    have = work.translation.here(
        kind.entity, item, [name for name in link.have if name in work.translation.box.fields[kind.entity]]
    )
    return any(fingerprint(value) != link.have[name] for name, value in have.items())


async def _delete(work: Work, kind: ItemKind, box: str) -> str:
    try:
        await work.box.call("crm.item.delete", {"entityTypeId": kind.type_id, "id": int(box)})
    except RefusedError as fault:
        return "" if is_absent(fault) else fault.what
    return ""
