"""Records that are on both sides: compared field by field, written where the cloud changed them.

Every kind of record goes through ``converge``; how it is written is the kind's own affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import Canonical, fingerprint, fingerprints, shown, whole
from encaja.carryover.mapping.identity_map import Conflict, IdentityMap, Link, State
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.settings import Rule
from encaja.carryover.source.reader import Record
from encaja.errors import ConfigurationError

RECORD = "(record)"
"""The field in a conflict about a whole record."""
SIDES = ("cloud", "box")


@dataclass(frozen=True)
class Pair:
    """A record of the cloud and its counterpart.

    Args:
        record: the cloud's.
        box: the counterpart's identifier, as the identity map keeps it.
        want: what the cloud has, in the box's terms.
        have: what the box has, in canonical form.
        link: what is known of the last time; None for a record of the backup that was never compared.
        base: hash by field of what the box had then. None where that is not known, as for a record of the backup that
            was changed in the box since: then whatever differs was changed on both sides.
        cloud_is_newer: whether the cloud's record was modified after the box's.
        is_new: whether a write counts as a new record.
    """

    record: Record
    box: str
    want: Wanted
    have: Mapping[str, Canonical]
    link: Link | None
    base: Mapping[str, str] | None
    cloud_is_newer: bool = True
    is_new: bool = False


@dataclass(frozen=True)
class Write:
    """Fields of a pair that are to be written into the box."""

    pair: Pair
    fields: list[str]
    base: dict[str, str]
    """Hash by field to be remembered of what is not written."""


Writer = Callable[[list[Write]], Awaitable[Sequence[Mapping[str, Canonical] | None]]]
"""Writes, and returns what the box has of each then; None where it failed, with the fault noted."""


@dataclass
class Decision:
    """What to do: fields to write into the box, fields that the box keeps, and the conflicts among them."""

    write: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)
    """By field: ``cloud``, ``box`` or ``open``."""
    same: list[str] = field(default_factory=list)


def is_due(context: Context, record: Record, want: Wanted, link: Link | None) -> bool:
    """Whether a record has to be compared: it never was, the cloud changed it, or a person decided about it."""
    if link is None or (record.entity, record.id) in context.decided:
        return True
    if whole(fingerprints(want.values)) != whole(link.want):
        return True
    if not want.problems and not want.missing:
        context.map.clear_fault(record.entity, record.id)
    return False


async def converge(context: Context, pairs: Sequence[Pair], write: Writer) -> None:
    """Compare pairs, note their conflicts, write what the cloud changed, and remember how both sides are then."""
    writes: list[Write] = []
    with context.map.transaction():
        for pair in pairs:
            found = decide_pair(context, pair)
            if context.dry_run:
                if found.write:
                    context.note_preview(
                        pair.record.entity, "new" if pair.is_new else "changed", pair.record, found.write
                    )
                continue
            base = _note(context, pair, found)
            if found.write:
                writes.append(Write(pair, found.write, base))
            else:
                finish(context, pair.record, pair.box, pair.want, base)
    if not writes:
        return
    written = await write(writes)
    with context.map.transaction():
        for one, have in zip(writes, written, strict=True):
            if have is not None:
                pair = one.pair
                finish(context, pair.record, pair.box, pair.want, one.base | fingerprints(_only(have, one.fields)))
                context.count(pair.record, "new" if pair.is_new else "changed")


def decide_pair(context: Context, pair: Pair) -> Decision:
    """What to do about a pair, field by field."""
    record = pair.record
    return decide(
        pair.want.values,
        pair.have,
        pair.link.want if pair.link else {},
        pair.base,
        rule=context.settings.conflicts,
        cloud_is_newer=pair.cloud_is_newer,
        answers=context.answers(record.entity, record.id, pair.want.values, pair.have),
    )


def _note(context: Context, pair: Pair, found: Decision) -> dict[str, str]:
    """Note conflicts, and return the hash by field that is remembered of what the box has."""
    entity, key = pair.record.entity, pair.record.id
    box = pair.box.rpartition(":")[2]  # of product rows: the lead or deal
    for name, decided in found.conflicts.items():
        values = shown(pair.want.values[name]), shown(pair.have[name])
        context.map.conflict(Conflict(entity, key, box, name, *values, decided))
    context.map.settled(entity, key, found.same)
    before = pair.base or {}
    # What the box keeps stays a change of the box's, also next time.
    return {
        name: before.get(name, "?") if name in found.keep else text for name, text in fingerprints(pair.have).items()
    }


def _only(values: Mapping[str, Canonical], names: Sequence[str]) -> dict[str, Canonical]:
    return {name: values[name] for name in names}


def finish(context: Context, record: Record, box: str, want: Wanted, have: Mapping[str, str]) -> None:
    """Remember how both sides are now, and what is still wrong with the record."""
    context.map.done(
        record.entity, record.id, box, want=fingerprints(want.values), have=have, modified=record.modified.isoformat()
    )
    context.map.applied(record.entity, record.id)
    context.note_problems(record, want)


def deleted_in_box(context: Context, record: Record, box: str) -> None:
    """Keep to the box's deletion of a record that the cloud changed."""
    if not context.dry_run:
        context.map.conflict(Conflict(record.entity, record.id, box, RECORD, "changed", "deleted", "box"))
        context.map.mark(record.entity, record.id, State.KEPT, box)


def decide(
    want: Mapping[str, Canonical],
    have: Mapping[str, Canonical],
    base_want: Mapping[str, str],
    base_have: Mapping[str, str] | None,
    *,
    rule: Rule,
    cloud_is_newer: bool,
    answers: Mapping[str, str] | None = None,
) -> Decision:
    """Compare field by field.

    Args:
        want: what the cloud has now, as it should be in the box.
        have: what the box has now.
        base_want: hashes of what the cloud had when the record was last carried.
        base_have: as ``Pair.base``.
        rule: whose value counts where both changed.
        cloud_is_newer: as in ``Pair``.
        answers: by field, the side that a person has decided for.
    """
    found = Decision()
    answers = answers or {}
    for name, value in want.items():
        here = have.get(name)
        if value == here:
            found.same.append(name)
            continue
        in_cloud = base_have is None or name not in base_want or fingerprint(value) != base_want[name]
        in_box = base_have is None or (name in base_have and fingerprint(here) != base_have[name])
        if name in answers or (in_cloud and in_box):
            decided = answers.get(name) or _decided(rule, cloud_is_newer)
            found.conflicts[name] = decided
            (found.write if decided == "cloud" else found.keep).append(name)
        elif in_cloud:
            found.write.append(name)
        else:
            found.keep.append(name)
    return found


def _decided(rule: Rule, cloud_is_newer: bool) -> str:
    if rule is Rule.ASK:
        return "open"
    if rule is Rule.NEWEST:
        return "cloud" if cloud_is_newer else "box"
    return rule.value


def decide_all(identities: IdentityMap, answers: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Note decisions about open conflicts, for the next round to apply, and list what is still open.

    Args:
        identities: the map.
        answers: each with ``entity``, ``cloud``, ``field`` and ``side`` (``cloud`` or ``box``). An entity ``all``
            stands for every open conflict, an empty field for all of a record's.

    Returns:
        The document of kind ``carry-over-conflicts``: ``decided`` and ``open``, both with both values.

    Raises:
        ConfigurationError: an answer is about no open conflict; then none is noted.
    """
    waiting = [item for item in identities.conflicts() if item.decision == "open"]
    chosen: dict[tuple[str, str, str], str] = {}
    faults = []
    for answer in answers:
        found = [item for item in waiting if _is_meant(item, answer)]
        if answer["side"] not in SIDES or (not found and answer["entity"] != "all"):
            faults.append(":".join(filter(None, (answer["entity"], answer["cloud"], answer["field"]))))
        chosen |= {(item.entity, item.cloud, item.field): answer["side"] for item in found}
    if faults:
        raise ConfigurationError(
            f"no open conflict: {', '.join(faults)}", "decide", "list them with 'encaja carry-over decide'"
        )
    with identities.transaction():
        for (entity, cloud, name), side in chosen.items():
            identities.answer(entity, cloud, name, side)
    decided = {(item.entity, item.cloud, item.field): item.decision for item in identities.answers()}
    rows = [item.row() | {"decided_for": decided.get((item.entity, item.cloud, item.field), "")} for item in waiting]
    return {
        "kind": "carry-over-conflicts",
        "decided": [row for row in rows if row["decided_for"]],
        "open": [row for row in rows if not row["decided_for"]],
    }


def _is_meant(item: Conflict, answer: Mapping[str, str]) -> bool:
    if answer["entity"] == "all":
        return True
    record = answer["entity"], answer["cloud"]
    return (item.entity, item.cloud) == record and answer["field"] in {"", item.field}
