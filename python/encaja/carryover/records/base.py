"""Records that are not items of the CRM but have an identifier of their own: requisites, activities, tasks.

They are written one by one. Each has a mark by which it is found: what was sent without an answer is looked up by it
before anything is sent a second time, as with items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import Canonical, canonical, fingerprints
from encaja.carryover.mapping.entities import BY_ENTITY
from encaja.carryover.mapping.identity_map import Link, State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import Pair, Write, converge, deleted_in_box, finish, is_due
from encaja.carryover.records.crm_items import ensure
from encaja.carryover.records.send_once import resolve_unconfirmed, send_once
from encaja.carryover.source.reader import Record
from encaja.rest.command import Answer, Command
from encaja.rest.errors import RefusedError

Shape = Mapping[str, str]
"""Kind by field: ``text``, ``number``, ``flag``, ``moment``, ``day``, ``any``, ``user`` or ``users``."""


class LeftOutError(Exception):
    """A record that REST cannot carry, or that is carried with another one."""


class RecordKind(ABC):
    """A kind of record.

    Args:
        context: the carry-over.
    """

    entity: str
    method: ClassVar[str]
    """Common part of the names of its REST methods."""
    shape: Shape
    """Fields that are carried and compared."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def owners(self, record: Record) -> Iterable[tuple[str, str]]:
        """The records that a record belongs or refers to."""

    @abstractmethod
    async def links(self, want: Wanted, record: Record) -> None:
        """Add to ``want`` what is not in ``shape``: owners, members, files.

        Raises:
            LeftOutError: the record is not carried.
        """

    @abstractmethod
    def find(self, records: Sequence[Record]) -> list[Command]:
        """Commands that list, for each record, what the box has with its mark."""

    def found(self, answer: Answer) -> list[str]:
        """Identifiers in the answer to such a command."""
        return [str(row["ID"]) for row in answer.result]

    @abstractmethod
    def add(self, record: Record, want: Wanted) -> Command:
        """The command that adds a record, with its mark."""

    def made(self, answer: Answer) -> str:
        """The identifier in the answer to ``add``."""
        return str(answer.result)

    def get(self, box: str) -> Command:
        """The command that reads a record of the box."""
        return Command(f"{self.method}.get", {"id": int(box)})

    def row(self, answer: Answer) -> dict[str, Any]:
        """The record in the answer to ``get``."""
        found: dict[str, Any] = answer.result
        return found

    def update(self, box: str, fields: dict[str, Any]) -> Command:
        """The command that changes fields."""
        return Command(f"{self.method}.update", {"id": int(box), "fields": fields})

    def delete(self, box: str) -> Command:
        """The command that deletes a record of the box."""
        return Command(f"{self.method}.delete", {"id": int(box)})

    async def files(self, record: Record, want: Wanted) -> None:  # noqa: B027 - most kinds have none
        """Fetch the files of a record that is about to be sent."""

    async def after(self, record: Record, box: str, want: Wanted) -> None:  # noqa: B027 - most kinds need nothing
        """What has to follow ``add``; safe to repeat."""

    def here(self, row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Canonical]:
        """A record of the box in canonical form."""
        return {name: canonical(row.get(name), _form(self.shape.get(name, "any"))) for name in names}

    async def want(self, record: Record) -> Wanted:
        """A record of the cloud as it should be in the box."""
        done = Wanted()
        for name, kind in self.shape.items():
            if name not in record.fields:
                continue
            raw = self._raw(done, name, record.fields[name], kind)
            if raw is not None:
                done.raw[name] = raw
                done.values[name] = canonical(raw, _form(kind))
        await self.links(done, record)
        return done

    def _raw(self, done: Wanted, name: str, value: Any, kind: str) -> Any:
        translation = self.context.translation
        if canonical(value, _form(kind)) is None:
            return [] if kind == "users" else ""
        if kind == "text":
            text, unknown = translation.text(value)
            done.missing += unknown
            return text
        if kind not in {"user", "users"}:
            return value
        people = []
        for key in value if isinstance(value, list) else [value]:
            found, exact = translation.user(key)
            if not exact:
                done.problems.append(f"user {translation.user_name(key)} of field {name} is not in the box")
            if exact or kind == "user":
                people.append(int(found))
        return people if kind == "users" else people[0]

    def linked(self, want: Wanted, entity: str, key: Any) -> str | None:
        """The identifier in the box of a record that this one belongs to."""
        box = self.context.map.box_id(entity, str(key))
        if box is None:
            want.missing.append((entity, str(key)))
        return box

    async def write(self, writes: list[Write]) -> list[Mapping[str, Canonical] | None]:
        """Update records one by one, as ``Writer`` has it."""
        return [await self._write(one.pair, one.fields) for one in writes]

    async def _write(self, pair: Pair, names: Sequence[str]) -> Mapping[str, Canonical] | None:
        command = self.update(pair.box, {name: pair.want.raw[name] for name in names})
        try:
            await self.context.box.call(command.method, command.parameters)
        except RefusedError as fault:
            self.context.note_fault(pair.record, f"the box refuses the change: {fault.what}", "it is retried")
            return None
        return self.here((await rows_of(self, [pair.box])).get(pair.box, {}), pair.want.values)


def _form(kind: str) -> str:
    return {"users": "names", "user": "number", "text": "any"}.get(kind, kind)


async def carry(kind: RecordKind, records: Sequence[Record]) -> None:
    """Carry records over: those that are new, and those that have changed."""
    context = kind.context
    await resolve(kind)
    links = context.map.find(kind.entity, [record.id for record in records])
    watermark = context.map.watermark(kind.entity)
    owners = {pair for record in records for pair in kind.owners(record) if pair[0] in BY_ENTITY}
    await ensure(context, owners)
    new: list[tuple[Record, Wanted]] = []
    known: list[tuple[Record, Wanted, Link | None]] = []
    for record in records:
        link = links.get(record.id)
        if link is not None and link.state is not State.DONE:
            continue
        context.note_straggler(record)
        try:
            want = await kind.want(record)
        except LeftOutError as fault:
            context.note_left_out(kind.entity, str(fault), record)
            continue
        if link is None and int(record.id) > watermark:
            new.append((record, want))
        elif is_due(context, record, want, link):
            known.append((record, want, link))
    await _add(kind, new)
    await _change(kind, known)


async def resolve(kind: RecordKind) -> None:
    """Look up records that were being sent when a connection or a process ended."""

    async def adopt(names: list[str]) -> None:
        await _adopt(kind, await kind.context.reader.fetch(kind.entity, names))

    await resolve_unconfirmed(kind.context, kind.entity, adopt)


async def _adopt(kind: RecordKind, records: Sequence[Record]) -> set[str]:
    """Link records that are in the box already, as their mark shows."""
    context = kind.context
    adopted: dict[str, str] = {}
    answers = await context.box.batch(kind.find(records)) if records else []
    for record, answer in zip(records, answers, strict=True):
        if answer.error:
            raise answer.error
        for box in kind.found(answer):
            if box not in adopted.values() and context.map.cloud_id(kind.entity, box) in {None, record.id}:
                adopted[record.id] = box
                break
    with context.map.transaction():
        for name, box in adopted.items():
            context.map.done(kind.entity, name, box)
    return set(adopted)


async def _add(kind: RecordKind, new: Sequence[tuple[Record, Wanted]]) -> None:
    context = kind.context
    ordered = sorted(new, key=lambda pair: (pair[0].created, int(pair[0].id)))
    if context.dry_run:
        for record, _ in ordered:
            context.note_preview(kind.entity, "new", record)
        return
    there = await _adopt(kind, [record for record, _ in ordered])
    links = context.map.find(kind.entity, list(there))
    await _change(kind, [(record, want, links[record.id]) for record, want in ordered if record.id in there])
    made: list[tuple[Record, Wanted, str]] = []
    for record, want in ordered:
        if record.id not in there and (box := await _make(kind, record, want)):
            made.append((record, want, box))
    rows = await rows_of(kind, [box for *_, box in made])
    for record, want, box in made:
        finish(context, record, box, want, fingerprints(kind.here(rows.get(box, {}), want.values)))
        context.count(record, "new")


async def _make(kind: RecordKind, record: Record, want: Wanted) -> str:
    """Send one record and return its identifier in the box; empty where it did not arrive."""
    context = kind.context
    await kind.files(record, want)
    answer = await send_once(context, record, kind.add(record, want))
    if answer is None:
        await resolve(kind)
        return ""
    box = kind.made(answer)
    with context.map.transaction():
        context.map.done(kind.entity, record.id, box)
        context.map.note_time(kind.entity, box, record.created.isoformat(), _author(context, record))
    await kind.after(record, box, want)
    return box


def _author(context: Context, record: Record) -> str:
    for name in ("AUTHOR_ID", "createdBy", "CREATED_BY_ID"):
        if record.fields.get(name):
            user, exact = context.translation.user(record.fields[name])
            return user if exact else ""
    return ""


async def rows_of(kind: RecordKind, boxes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Records of the box, by identifier; those that are not there are left out."""
    answers = dict(zip(boxes, await kind.context.box.batch([kind.get(box) for box in boxes]), strict=True))
    refused = [box for box, answer in answers.items() if answer.error]
    there = await kind.context.box_reader.existing(kind.entity, refused)
    for box in refused:
        if box in there and (error := answers[box].error):
            raise error
    return {box: kind.row(answer) for box, answer in answers.items() if answer.error is None}


async def _change(kind: RecordKind, known: Sequence[tuple[Record, Wanted, Link | None]]) -> None:
    context = kind.context
    boxes = {record.id: (link.box if link else record.id) for record, _, link in known}
    rows = await rows_of(kind, list(boxes.values()))
    for record, want, link in known:
        box = boxes[record.id]
        if box not in rows:
            deleted_in_box(context, record, box)
            continue
        have = kind.here(rows[box], want.values)
        # A record of the backup has no base: a difference counts as a change of the cloud's.
        await converge(
            context, [Pair(record, box, want, have, link, link.have if link else fingerprints(have))], kind.write
        )
