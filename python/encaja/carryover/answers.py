"""What persons decide about conflicts that the rules leave open: noted durably, applied by the next round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from encaja.carryover.mapping.identity_map import Conflict, IdentityMap
from encaja.errors import ConfigurationError

SIDES = ("cloud", "box")


def decide_all(identities: IdentityMap, answers: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Note answers, and list what is still open.

    Args:
        identities: the map.
        answers: each with ``entity``, ``cloud``, ``field`` and ``side`` (``cloud`` or ``box``). An entity ``all``
            stands for every open conflict, an empty field for all of a record's.

    Returns:
        The document of kind ``carry-over-conflicts``: ``decided`` and ``open``, both with both values.

    Raises:
        ConfigurationError: some answer is about no open conflict; then none is noted.
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
    rows = [
        {
            "entity": item.entity, "cloud": item.cloud, "box": item.box, "field": item.field,
            "value_in_cloud": item.cloud_value, "value_in_box": item.box_value,
            "decided_for": decided.get((item.entity, item.cloud, item.field), ""),
        }
        for item in waiting
    ]  # fmt: skip
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
