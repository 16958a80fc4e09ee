"""Files in fields of leads, deals, contacts and companies: fetched from the cloud and written into the box's record.

A field's files are one value, written whole, so that writing it again does no harm. What is compared are identifiers:
those of both sides with what they were when the field was last carried. A record that the
backup brought has the same ones on both sides.

Source: apidocs.bitrix24.com, files (how to upload, update and download: name and Base64 in place of the value; no
files in a batch), crm/universal/crm-item-get (``urlMachine``).
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import Canonical, fingerprint, fingerprints
from encaja.carryover.mapping.entities import ItemKind
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import Pair, Write, converge
from encaja.carryover.records.attachments import LARGEST
from encaja.carryover.source.origins import get_items
from encaja.carryover.source.reader import Record
from encaja.rest.command import UncertainError
from encaja.rest.errors import RefusedError

ENTITY = "file"
"""Kind of a field's files in the identity map, with identifiers like ``lead:12:ufCrmPlan``."""


def identifiers(value: Any) -> list[str] | None:
    """The identifiers of a field's files; None without any."""
    return [str(item.get("id") or item.get("ID")) for item in _items(value)] or None


def _items(value: Any) -> list[Mapping[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict) and (item.get("id") or item.get("ID"))]


def _key(kind: ItemKind, record: Record, name: str) -> str:
    return f"{kind.entity}:{record.id}:{name}"


def _fields(context: Context, kind: ItemKind) -> list[str]:
    """Fields of files that both sides have."""
    here = context.translation.box.fields[kind.entity]
    fields = context.translation.cloud.fields[kind.entity].items()
    return [name for name, about in fields if about.kind == "file" and name in here and here[name].kind == "file"]


@dataclass(frozen=True)
class _Place:
    """A field of a record."""

    kind: ItemKind
    record: Record
    name: str

    @property
    def key(self) -> str:
        """Its name in the identity map."""
        return _key(self.kind, self.record, self.name)

    @property
    def mark(self) -> Record:
        """It, as a record of the identity map."""
        return Record(ENTITY, self.key, {}, self.record.modified, self.record.created)

    @property
    def value(self) -> Any:
        """What the cloud has in it."""
        return self.record.fields.get(self.name)


async def carry_files(context: Context, kind: ItemKind, records: Sequence[Record]) -> None:
    """Carry the files in fields of records that are in the box."""
    places = [_Place(kind, record, name) for name in _fields(context, kind) for record in records]
    links = context.map.find(ENTITY, [place.key for place in places])
    todo = [place for place in places if _is_open(context, place, links.get(place.key))]
    boxes = {place.record.id: context.map.box_id(kind.entity, place.record.id) for place in todo}
    there = await get_items(context.box, kind, list(dict.fromkeys(box for box in boxes.values() if box)))
    for place in todo:
        item = there.get(boxes[place.record.id] or "")
        if item is not None:
            await converge(
                context, [_pair(context, place, item, links.get(place.key))], partial(_write, context, place)
            )


def _is_open(context: Context, place: _Place, link: Link | None) -> bool:
    want = identifiers(place.value)
    if link is None:
        return want is not None
    changed = fingerprint(want) != link.want.get("files", "")
    return changed or link.state is State.SENDING or (ENTITY, place.key) in context.decided


def _pair(context: Context, place: _Place, item: dict[str, Any], link: Link | None) -> Pair:
    want, have = Wanted({"files": identifiers(place.value)}), {"files": identifiers(item.get(place.name))}
    is_done = link is not None and link.state is State.DONE
    base: Mapping[str, str] = fingerprints(have)  # the backup brought it, or a process ended while it was written
    if link is not None and is_done:
        base = link.have
    elif link is None and context.is_new(place.record):
        base = fingerprints({"files": None})
    newer = context.cloud_is_newer(place.record, item)
    return Pair(place.mark, str(item["id"]), want, have, link, base, newer, is_new=not is_done)


async def _write(context: Context, place: _Place, writes: list[Write]) -> list[Mapping[str, Canonical] | None]:
    [one] = writes
    files = await _fetched(context, place.mark, _items(place.value))
    written = None if files is None else await _written(context, place, one.pair.box, files)
    return [written and {"files": identifiers(written.get(place.name))}]


async def _fetched(context: Context, mark: Record, items: Sequence[Mapping[str, Any]]) -> list[list[str]] | None:
    """Name and content in Base64 of files; None where one cannot be sent, with the fault noted."""
    found: list[list[str]] = []
    left = LARGEST
    with tempfile.TemporaryDirectory(dir=context.settings.state, prefix="files-") as folder:
        target = Path(folder) / "content"
        for item in items:
            key = item.get("id") or item.get("ID")
            try:
                fetched = await context.cloud.fetch(str(item.get("urlMachine") or ""), target, limit=left)
            except RefusedError as fault:
                context.note_fault(mark, f"file {key} could not be fetched: {fault.what}", "copy it by hand")
                return None
            left -= fetched.size
            found.append([fetched.name or f"file-{key}", base64.b64encode(target.read_bytes()).decode()])
    return found


async def _written(context: Context, place: _Place, box: str, files: Sequence[Sequence[str]]) -> dict[str, Any] | None:
    """Write a field's files, and return the box's record afterwards; None where it failed, with the fault noted."""
    kind, name = place.kind, place.name
    several = context.translation.box.fields[kind.entity][name].multiple
    value: Any = list(files) if several else files[0] if files else ""
    context.map.sending(ENTITY, [(place.key, place.record.modified.isoformat())])
    try:
        answer = await context.box.call(
            "crm.item.update", {"entityTypeId": kind.type_id, "id": int(box), "fields": {name: value}}, safe=False
        )
    except UncertainError:
        context.note_fault(place.mark, "the connection was lost while files were sent", "they are sent again")
        return None
    except RefusedError as fault:
        context.note_fault(place.mark, f"the box refuses the files: {fault.what}", "it is retried")
        return None
    item: dict[str, Any] = answer.result["item"]
    return item


def lacking(context: Context, kind: ItemKind, record: Record, item: Mapping[str, Any]) -> list[str]:
    """Fields whose files the box lacks without a decision."""
    names = [
        name for name in _fields(context, kind) if identifiers(record.fields.get(name)) != identifiers(item.get(name))
    ]
    links = context.map.find(ENTITY, [_key(kind, record, name) for name in names])
    found = []
    for name in names:
        link = links.get(_key(kind, record, name))
        if link is None or link.want.get("files", "") != fingerprint(identifiers(record.fields.get(name))):
            found.append(name)
    return found
