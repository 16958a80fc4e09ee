"""Reads a run-book: the shipped one with the user's own files over it; all faults are reported together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from encaja.runbook.book.faults import LINE, Faults, Place
from encaja.runbook.book.model import Phase, Runbook, Step, Urgency
from encaja.runbook.book.settings_reader import read_settings
from encaja.runbook.book.source_files import SourceFile, read_files
from encaja.runbook.book.step_drafts import StepDraft, merge_steps
from encaja.runbook.book.step_reader import read_step


def load_runbook(project: Path, overrides: Iterable[Path] = ()) -> Runbook:
    """The shipped run-book with the files of `overrides` laid over it, in their order.

    A file's step with a known id changes the keys that it gives; `remove: true` takes the step out and hands its needs
    to the steps that needed it; an unknown id adds a step at the end of its phase, or behind `after`. A file with
    `base: none` replaces all that is under it.

    Args:
        project: the directory that holds `playbooks/`.
        overrides: run-book files of the user or of an inventory.

    Raises:
        RunbookError: with one line for every fault in all the files.
    """
    faults = Faults()
    paths = tuple(overrides)
    files = read_files(paths, faults)
    faults.raise_if_any()
    phases = _phases(files, faults)
    drafts, removed = merge_steps(files, phases, faults)
    settings = read_settings(files, faults)
    steps = [read_step(draft, phases, project, faults) for draft in drafts.values()]
    _check_needs(steps, drafts, faults)
    ordered = _with_proofs(_in_order(steps, drafts, faults), drafts, removed, faults)
    if not steps and not faults.lines:
        faults.add(files[-1].name, "holds no steps", "list at least one under 'steps:'")
    faults.raise_if_any()
    return Runbook(phases, tuple(ordered), settings, paths)


def _phases(files: list[SourceFile], faults: Faults) -> dict[int, Phase]:
    phases: dict[int, Phase] = {}
    for file in files:
        given = file.data.get("phases") or {}
        if not isinstance(given, dict):
            hint = "write 'phases: {1: {title: …, urgency: …}}'"
            faults.add(file.name, "'phases' is not a mapping of numbers", hint)
            continue
        for number, value in given.items():
            if number == LINE:
                continue
            where = file.at(value if isinstance(value, dict) else given)
            if not isinstance(number, int) or not isinstance(value, dict):
                faults.add(where, f"phase '{number}' is not a number with a title and an urgency")
                continue
            title = Place(where, f"phase {number}'s title", faults).text(value.get("title"))
            urgency = Place(where, f"phase {number}'s urgency", faults).choice(value.get("urgency"), Urgency.MEDIUM)
            phases[number] = Phase(number, title, urgency)
    return dict(sorted(phases.items()))


def _check_needs(steps: list[Step], drafts: Mapping[str, StepDraft], faults: Faults) -> None:
    known = {step.id for step in steps}
    for step in steps:
        for need in step.needs:
            if need not in known:
                what = f"step '{step.id}' needs '{need}', which does not exist"
                faults.add(drafts[step.id].at("needs"), what, "name a step's id")


def _with_proofs(
    ordered: list[Step], drafts: Mapping[str, StepDraft], removed: Collection[str], faults: Faults
) -> list[Step]:
    """The steps, proven by later ones only; one that was taken out of the run-book proves nothing any more."""
    position = {step.id: number for number, step in enumerate(ordered)}
    found = []
    for step in ordered:
        kept = tuple(name for name in step.proof.steps if name in position or name not in removed)
        for name in kept:
            if name not in position:
                what, hint = f"step '{step.id}' is verified by step '{name}', which does not exist", "name a step's id"
            elif position[name] <= position[step.id]:
                what, hint = f"step '{step.id}' is verified by step '{name}', which comes before it", "name a later one"
            else:
                continue
            faults.add(drafts[step.id].at("verify"), what, hint)
        found.append(replace(step, proof=replace(step.proof, steps=kept)))
    return found


def _in_order(steps: list[Step], drafts: Mapping[str, StepDraft], faults: Faults) -> list[Step]:
    """The steps so that each comes after its needs, otherwise as written; a cycle is a fault that names its members."""
    known = {step.id for step in steps}
    left = list(steps)
    done: set[str] = set()
    ordered: list[Step] = []
    while left:
        ready = next((step for step in left if all(need in done or need not in known for need in step.needs)), None)
        if ready is None:
            cycle = _find_cycle({step.id: [need for need in step.needs if need in known] for step in left})
            what = f"steps need each other in a circle: {' → '.join(cycle)}"
            faults.add(drafts[cycle[0]].at("needs"), what, "drop one of these needs")
            return steps
        left.remove(ready)
        done.add(ready.id)
        ordered.append(ready)
    return ordered


def _find_cycle(needs: Mapping[str, list[str]]) -> list[str]:
    trail: list[str] = [next(iter(needs))]
    while True:
        following = next(need for need in needs[trail[-1]] if need in needs)
        if following in trail:
            return [*trail[trail.index(following) :], following]
        trail.append(following)
