"""Records of crm.item.* that are on both sides, written where the cloud changed them.

Source: apidocs.bitrix24.com, crm/universal/crm-item-update (keys of ``fm``) and import (``PHONE`` …).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import Canonical, fingerprints
from encaja.carryover.mapping.entities import ItemKind
from encaja.carryover.mapping.identity_map import Link
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import Pair, Write, converge, deleted_in_box, is_due
from encaja.carryover.source.origins import get_items
from encaja.carryover.source.reader import Record
from encaja.rest.command import BATCH, Answer, Command, UncertainError
from encaja.rest.errors import AccessError, RefusedError


async def change(context: Context, kind: ItemKind, known: Sequence[tuple[Record, Link | None]]) -> None:
    """Update records that are in the box already, where the cloud has changed them."""
    changed: list[tuple[Record, Link | None, Wanted]] = []
    for record, link in known:
        want = context.translation.wanted(kind.entity, record.fields)
        if is_due(context, record, want, link):
            changed.append((record, link, want))
    boxes = {record.id: (link.box if link else record.id) for record, link, _ in changed}
    there = await get_items(context.box, kind, list(boxes.values()))
    pairs: list[Pair] = []
    for record, link, want in changed:
        item = there.get(boxes[record.id])
        if item is None:
            deleted_in_box(context, record, boxes[record.id])
        else:
            if link is not None and not link.want:
                context.note_created(record, item)  # it was imported, but not read back
            pairs.append(pair_of(context, record, want, link, item))

    async def write(writes: list[Write]) -> list[dict[str, Canonical] | None]:
        commands = [
            command_of(kind, one.pair.box, update_of(one.pair.want, one.fields, there[one.pair.box])) for one in writes
        ]
        found: list[dict[str, Canonical] | None] = []
        for one, answer in zip(writes, await send_updates(context, commands), strict=True):
            if answer.error is not None:
                context.note_fault(one.pair.record, f"the box refuses the change: {answer.error.what}", "it is retried")
            item = None if answer.error else answer.result["item"]
            found.append(item and context.translation.here(kind.entity, item, one.pair.want.values))
        return found

    await converge(context, pairs, write)


def pair_of(context: Context, record: Record, want: Wanted, link: Link | None, item: dict[str, Any]) -> Pair:
    """A record and its counterpart in the box."""
    have = context.translation.here(record.entity, item, want.values)
    base = link.have if link else None if context.touched(item) else fingerprints(have)
    return Pair(record, str(item["id"]), want, have, link, base, context.cloud_is_newer(record, item))


def update_of(want: Wanted, names: Sequence[str], item: dict[str, Any]) -> dict[str, Any]:
    """The fields of an update that writes some of a record's."""
    fields = {name: want.raw[name] for name in names if name != "fm"}
    if "fm" in names:
        fields["fm"] = _multi(want.raw["fm"] or [], item.get("fm") or [])
    return fields


def multi_fields(wanted: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Multi-fields as an import takes them: by kind. It refuses a record with ``fm``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in wanted:
        found.setdefault(item["typeId"], []).append({"VALUE": item["value"], "VALUE_TYPE": item.get("valueType")})
    return found


def _multi(wanted: Any, here: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Multi-fields as an update takes them: new ones as ``n0`` …, those to be removed by identifier without a value."""

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


async def send_updates(context: Context, commands: Sequence[Command]) -> list[Answer]:
    """Send updates, many in a request, and return their answers in the same order.

    One without a known outcome is compared again in the next round, so none is repeated blindly.
    """
    answers: dict[int, Answer] = {}
    # A query cannot express an empty list.
    alone = [command for command in commands if any(value == [] for value in command.parameters["fields"].values())]
    together = [command for command in commands if command not in alone]
    for part in [[command] for command in alone] + [together[at : at + BATCH] for at in range(0, len(together), BATCH)]:
        try:
            if part[0] in alone:
                answer = await context.box.call(part[0].method, part[0].parameters, safe=False)
                found = [replace(answer, command=part[0])]
            else:
                found = await context.box.batch(part, safe=False)
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
