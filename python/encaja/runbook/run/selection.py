"""Which steps `encaja run` works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Step
from encaja.runbook.record.step_states import StepState
from encaja.runbook.record.workspace import Move


@dataclass(frozen=True)
class RunOptions:
    """The options of `encaja run`."""

    pass_name: str
    by: str
    phase: int | None = None
    start: str | None = None
    until: str | None = None
    yes: bool = False
    check: bool = False
    keep: tuple[str, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether the run is to stop before the run-book's end."""
        return self.until is not None or self.phase is not None


def select(move: Move, options: RunOptions) -> list[Step]:
    """The steps that the options choose, in order.

    Raises:
        ConfigurationError: an option names what does not exist, or they leave nothing.
    """
    steps = list(move.runbook)
    ids = [step.id for step in steps]
    for name in (options.start, options.until, *options.keep):
        if name is not None:
            move.step(name)
    first = ids.index(options.start) if options.start else 0
    last = ids.index(options.until) if options.until else len(ids) - 1
    chosen = steps[first : last + 1]
    if options.phase is not None:
        if options.phase not in move.runbook.phases:
            known = ", ".join(str(number) for number in move.runbook.phases)
            raise ConfigurationError(f"there is no phase {options.phase}", "--phase", f"known are {known}")
        chosen = [step for step in chosen if step.phase == options.phase]
    if not chosen:
        raise ConfigurationError("no step is selected", "--from, --until, --phase", "see 'encaja plan' for the order")
    return chosen


def check_needs(move: Move, selected: Sequence[Step], states: Mapping[str, StepState]) -> None:
    """Refuse a selection that needs steps which are neither in it nor done.

    Raises:
        ConfigurationError: with those steps.
    """
    chosen = {step.id for step in selected}
    needed = {need for step in selected for need in step.needs if need not in chosen and not states[need].done}
    missing = [step.id for step in move.runbook if step.id in needed]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        raise ConfigurationError(
            f"the selected steps need {names} first", "encaja run", "run those before, or select from there"
        )
