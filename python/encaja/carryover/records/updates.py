"""Records of crm.item.* that are on both sides: compared field by field, and written where the cloud changed them.

Source: apidocs.bitrix24.com, crm/universal/crm-item-update (keys of ``fm``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from encaja.carryover.context import Work
from encaja.carryover.mapping.canonical import fingerprints, shown, whole
from encaja.carryover.mapping.entities import ItemKind
from encaja.carryover.mapping.identity_map import Conflict, Link, State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import Decision, decide
from encaja.carryover.source.origins import get_items
from encaja.carryover.source.reader import Record
from encaja.rest.client import BATCH, AccessError, Answer, Command, RefusedError, UncertainError


async def change(work: Work, kind: ItemKind, known: Sequence[tuple[Record, Link | None]]) -> None:
    """Update records that are in the box already, where the cloud has changed them."""
    changed: list[tuple[Record, Link | None, Wanted]] = []
    for record, link in known:
        want = work.translation.wanted(kind.entity, record.fields)
        asked = (kind.entity, record.id) in work.decided
        if asked or link is None or whole(fingerprints(want.values)) != whole(link.want):
            changed.append((record, link, want))
        elif not want.problems and not want.missing:
            work.map.cured(kind.entity, record.id)
    boxes = {record.id: (link.box if link else record.id) for record, link, _ in changed}
    there = await get_items(work.box, kind, list(boxes.values()))
    writes: list[_Write] = []
    with work.map.transaction():
        for record, link, want in changed:
            item = there.get(boxes[record.id])
            if item is None:
                _deleted_in_the_box(work, record, boxes[record.id])
            elif write := _compared(work, kind, record, want, link=link, item=item):
                writes.append(write)
    answers = await send_updates(work, [write.command for write in writes])
    with work.map.transaction():
        for write, answer in zip(writes, answers, strict=True):
            if answer.error is not None:
                work.trouble(write.record, f"the box refuses the change: {answer.error.what}", "it is tried again")
                continue
            have = fingerprints(work.translation.here(kind.entity, answer.result["item"], write.want.values))
            written = write.command.parameters["fields"]
            base = {name: text if name in written else write.base[name] for name, text in have.items()}
            finish(work, write.record, boxes[write.record.id], write.want, base)
            work.carried(write.record, "changed")


@dataclass(frozen=True)
class _Write:
    """An update that is to be sent, and what is to be remembered of the fields that the box keeps."""

    record: Record
    want: Wanted
    base: dict[str, str]
    command: Command


def decision(
    work: Work, want: Wanted, have: dict[str, Any], record: Record, *, link: Link | None, item: dict[str, Any]
) -> Decision:
    """What to do about a record that is on both sides, field by field."""
    base_have = _base(work, link, have, item)
    return decide(
        want.values,
        have,
        link.want if link else {},
        base_have,
        rule=work.settings.conflicts,
        cloud_is_newer=work.cloud_is_newer(record, item),
        answers=work.answers(record.entity, record.id, want.values, have),
    )


def _base(work: Work, link: Link | None, have: dict[str, Any], item: dict[str, Any]) -> dict[str, str] | None:
    if link is not None:
        return dict(link.have)
    return None if work.touched(item) else fingerprints(have)


def _compared(
    work: Work, kind: ItemKind, record: Record, want: Wanted, *, link: Link | None, item: dict[str, Any]
) -> _Write | None:
    """Compare a record with its counterpart, note conflicts, and say what has to be written, if anything."""
    have = work.translation.here(kind.entity, item, want.values)
    found = decision(work, want, have, record, link=link, item=item)
    box = str(item["id"])
    if work.dry_run:
        if found.write:
            work.told(kind.entity, "changed", record, found.write)
        return None
    for name, decided in found.conflicts.items():
        values = shown(want.values[name]), shown(have[name])
        work.map.conflict(Conflict(kind.entity, record.id, box, name, *values, decided))
    work.map.settled(kind.entity, record.id, found.same)
    before = _base(work, link, have, item) or {}
    # What the box keeps stays a change of the box's, also next time.
    base = {name: before.get(name, "?") if name in found.keep else text for name, text in fingerprints(have).items()}
    if found.write:
        return _Write(record, want, base, command_of(kind, box, update_of(want, found.write, item)))
    finish(work, record, box, want, base)
    return None


def finish(work: Work, record: Record, box: str, want: Wanted, have: dict[str, str]) -> None:
    """Write a record's new base down, and whatever is still the matter with it."""
    work.map.done(
        record.entity, record.id, box, want=fingerprints(want.values), have=have, modified=record.modified.isoformat()
    )
    work.map.applied(record.entity, record.id)
    work.complete(record, want)


def _deleted_in_the_box(work: Work, record: Record, box: str) -> None:
    work.map.conflict(Conflict(record.entity, record.id, box, "(record)", "changed", "deleted", "box"))
    work.map.mark(record.entity, record.id, State.KEPT, box)


def update_of(want: Wanted, names: Sequence[str], item: dict[str, Any]) -> dict[str, Any]:
    """The fields of an update that writes some of a record's."""
    fields = {name: want.raw[name] for name in names if name != "fm"}
    if "fm" in names:
        fields["fm"] = _multi(want.raw["fm"] or [], item.get("fm") or [])
    return fields


def _multi(wanted: Any, here: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Multi-fields as an update takes them: new ones as ``n0`` …, those to go by identifier without a value."""

    def key(value: dict[str, Any]) -> tuple[str, str, str]:
        return str(value.get("typeId")), str(value.get("valueType")), str(value.get("value", "")).strip()

    have = {key(value) for value in here}
    goal = {key(value) for value in wanted}
    fields: dict[str, Any] = {}
    for number, (type_id, value_type, value) in enumerate(sorted(goal - have)):
        fields[f"n{number}"] = {"typeId": type_id, "valueType": value_type, "value": value}
    for item in here:
        if key(item) not in goal:
            fields[str(item["id"])] = {"id": item["id"], "typeId": item["typeId"], "value": ""}
    return fields


def command_of(kind: ItemKind, box: str, fields: dict[str, Any]) -> Command:
    """The command that updates a record of the box."""
    return Command("crm.item.update", {"entityTypeId": kind.type_id, "id": int(box), "fields": fields})


async def send_updates(work: Work, commands: Sequence[Command]) -> list[Answer]:
    """Send updates, many in a request, and return their answers in the same order.

    One whose end is not known is compared anew in the next round, so that none is repeated blindly.
    """
    answers: dict[int, Answer] = {}
    # A query has no way to write an empty list.
    alone = [command for command in commands if any(value == [] for value in command.parameters["fields"].values())]
    together = [command for command in commands if command not in alone]
    for part in [[command] for command in alone] + [together[at : at + BATCH] for at in range(0, len(together), BATCH)]:
        try:
            if part[0] in alone:
                answer = await work.box.call(part[0].method, part[0].parameters, safe=False)
                found = [replace(answer, command=part[0])]
            else:
                found = await work.box.batch(part, safe=False)
        except UncertainError as fault:
            found = [*fault.answers, *(_unknown(command, fault.what) for command in part)]
        except AccessError:
            raise
        except RefusedError as fault:
            found = [Answer(command, error=fault) for command in part]
        for answer in found:
            answers.setdefault(id(answer.command), answer)
    return [answers[id(command)] for command in commands]


def _unknown(command: Command, what: str) -> Answer:
    return Answer(command, error=RefusedError("", what, command.method))
