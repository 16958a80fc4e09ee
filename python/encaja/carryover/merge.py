"""What to do about a record that has changed: field by field, from what both sides were and are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from encaja.carryover.mapping.canonical import Canonical, fingerprint


class Rule(StrEnum):
    """Whose value counts where both sides changed the same field."""

    NEWEST = "newest"
    CLOUD = "cloud"
    BOX = "box"
    ASK = "ask"


class Deletion(StrEnum):
    """What becomes of a record that one side deleted.

    ``cloud``: what was deleted in the cloud is deleted in the box, unless it was changed there. ``keep``: nothing is
    deleted. ``ask``: nothing is deleted, and each one is listed as open.
    """

    CLOUD = "cloud"
    KEEP = "keep"
    ASK = "ask"


@dataclass
class Decision:
    """What to do: fields to write into the box, fields that the box keeps, and the conflicts among them."""

    write: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)
    """By field: ``cloud``, ``box`` or ``open``."""
    same: list[str] = field(default_factory=list)


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
        base_have: hashes of what the box had right after that; None where that is not known, as for a record of the
            backup that was changed in the box since: then whatever differs was changed on both sides.
        rule: whose value counts where both changed.
        cloud_is_newer: whether the cloud's record was modified after the box's.
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
