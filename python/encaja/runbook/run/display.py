"""What the conductor shows while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from encaja.runbook.book.model import Step
from encaja.runbook.record.journal import Attempt, Fault, GateState, Pass, Result
from encaja.runbook.record.step_states import StepState
from encaja.runbook.record.workspace import Move
from encaja.runbook.run.execution import Ending
from encaja.runbook.run.runner_events import Signals


class GateDisplay(Protocol):
    """Where a person is asked."""

    def gate(self, step: Step, state: GateState, by: str, expires: datetime | None) -> None:
        """Show a gate's state."""

    def ask(self, step: Step, question: str) -> tuple[GateState, str] | None:
        """A person's decision with a note; None to leave the gate waiting, or where nobody can be asked."""


class Display(GateDisplay, Protocol):
    """A terminal, a plain stream, or nothing."""

    def begin(self, move: Move, pass_: Pass, selected: Sequence[Step], states: Mapping[str, StepState]) -> None:
        """The run starts."""

    def note(self, text: str) -> None:
        """Show a line of text."""

    def skip(self, step: Step, state: StepState) -> None:
        """A step is done already."""

    def start(self, step: Step, attempt: Attempt) -> None:
        """An attempt starts."""

    def signals(self, step: Step, signals: Signals) -> None:
        """Something happened in the attempt."""

    def tick(self) -> None:
        """Nothing happened, time went by."""

    def end(self, step: Step, attempt: Attempt, ending: Ending, result: Result) -> None:
        """An attempt ended."""

    def failure(self, step: Step, attempt: Attempt, faults: Sequence[Fault], log: Path) -> None:
        """A step failed and is not tried again."""

    def finish(self) -> None:
        """The run is over: restore the screen."""
