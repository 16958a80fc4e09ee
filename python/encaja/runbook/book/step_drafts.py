"""The steps' keys as all files together give them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from encaja.runbook.book.faults import LINE, Faults, Place
from encaja.runbook.book.model import Phase
from encaja.runbook.book.source_files import SourceFile

_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_KEYS = {
    "id",
    "phase",
    "title",
    "owner",
    "run",
    "needs",
    "verify",
    "undo",
    "help",
    "estimate",
    "urgency",
    "destructive",
    "targets",
    "never_on",
    "only_on",
    "retry",
    "expires",
    "notice",
    "scale",
    "gap",
    "after",
    "remove",
    "requires",
    "brings",
}


@dataclass
class StepDraft:
    """A step's merged keys, with the file and line that each of them comes from."""

    data: dict[str, Any]
    where: str
    places: dict[str, str]

    def at(self, key: str) -> str:
        """File and line of a key."""
        return self.places.get(key, self.where)

    def place(self, key: str, faults: Faults) -> Place:
        """The place of a key, to read its value."""
        return Place(self.at(key), f"step '{self.data['id']}'", faults, key)


def merge_steps(
    files: list[SourceFile], phases: Mapping[int, Phase], faults: Faults
) -> tuple[dict[str, StepDraft], Collection[str]]:
    """The steps by id, in the order of their phases, and the ids of those that were taken out."""
    drafts: dict[str, StepDraft] = {}
    removed: dict[str, list[str]] = {}
    for file in files:
        given = file.data.get("steps") or []
        if not isinstance(given, list):
            faults.add(file.name, "'steps' is not a list", "write one '- id: …' for each step")
            continue
        seen: set[str] = set()
        for number, item in enumerate(given, 1):
            if _is_usable(number, item, file, seen, faults):
                seen.add(item["id"])
                _lay_over(drafts, removed, item, file.at(item), faults)
    for draft in drafts.values():
        needs = draft.data.get("needs")
        if isinstance(needs, list):
            draft.data["needs"] = _without(needs, removed)
    return _by_phase(drafts, phases, faults), removed


def _is_usable(number: int, item: Any, file: SourceFile, seen: Collection[str], faults: Faults) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not _ID.match(item["id"]):
        where = file.at(item) if isinstance(item, dict) else file.name
        hint = "give it an 'id' of small letters, digits and single hyphens"
        faults.add(where, f"step {number} has no usable id", hint)
        return False
    if item["id"] in seen:
        faults.add(file.at(item), f"step id '{item['id']}' is used twice", "rename one of them")
        return False
    faults.add_unknown(file.at(item), f"step '{item['id']}' has an ", item, _KEYS)
    return True


def _lay_over(
    drafts: dict[str, StepDraft], removed: dict[str, list[str]], item: dict[str, Any], where: str, faults: Faults
) -> None:
    step_id = item["id"]
    keys = {key: value for key, value in item.items() if key not in (LINE, "remove")}
    if item.get("remove"):
        if step_id in removed:  # by a file below this one
            return
        if step_id not in drafts:
            faults.add(where, f"removes step '{step_id}', which does not exist", "drop the entry")
        else:
            removed[step_id] = list(drafts.pop(step_id).data.get("needs") or [])
        return
    places = dict.fromkeys(keys, where)
    if step_id in drafts:
        old = drafts[step_id]
        old.data.update(keys)
        old.data = {key: value for key, value in old.data.items() if value is not None}
        old.places.update(places)
    else:
        drafts[step_id] = StepDraft(keys, where, places)


def _without(needs: list[Any], removed: Mapping[str, list[str]]) -> list[Any]:
    """`needs` with removed steps replaced by what those needed themselves."""
    result: list[Any] = []
    todo = list(needs)
    expanded: set[str] = set()
    while todo:
        need = todo.pop(0)
        if isinstance(need, str) and need in removed:
            if need not in expanded:
                expanded.add(need)
                todo = list(removed[need]) + todo
        elif need not in result:
            result.append(need)
    return result


def _by_phase(drafts: dict[str, StepDraft], phases: Mapping[int, Phase], faults: Faults) -> dict[str, StepDraft]:
    order = list(drafts)
    for step_id in list(order):
        after = drafts[step_id].data.get("after")
        if after is None:
            continue
        if after not in drafts or after == step_id:
            what = f"step '{step_id}' comes after '{after}', which does not exist"
            faults.add(drafts[step_id].at("after"), what, "name a step's id")
            continue
        order.remove(step_id)
        order.insert(order.index(after) + 1, step_id)
    known = list(phases)
    rank = {step_id: position for position, step_id in enumerate(order)}

    def key(step_id: str) -> tuple[int, int]:
        phase = drafts[step_id].data.get("phase")
        return (known.index(phase) if phase in known else len(known), rank[step_id])

    return {step_id: drafts[step_id] for step_id in sorted(order, key=key)}
