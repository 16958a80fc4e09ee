"""What the conductor and its parts share while a pass runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from encaja.runbook.book.model import Step
from encaja.runbook.record.journal import EntryKind, Journal, Pass
from encaja.runbook.record.step_states import Inputs, StepState, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.run.display import Display
from encaja.runbook.run.gates import Notifier
from encaja.runbook.run.interruption import Interruption
from encaja.runbook.run.inventory import InventoryReader
from encaja.runbook.run.selection import RunOptions


@dataclass(frozen=True)
class PassRun:
    """One run of a pass."""

    move: Move
    journal: Journal
    pass_: Pass
    options: RunOptions
    display: Display
    notifier: Notifier
    inventory: InventoryReader
    interruption: Interruption = field(default_factory=Interruption)

    @property
    def language(self) -> str:
        """The move's language ("en" or "es")."""
        return self.move.runbook.settings.language

    def inputs(self) -> Inputs:
        """The steps' inputs as they are at this moment: an inventory may change halfway."""
        return Inputs(self.move)

    def states(self) -> dict[str, StepState]:
        """The state of every step at this moment."""
        return read_states(self.move, self.journal, self.pass_, self.inputs())

    def add_entry(self, kind: EntryKind, text: str, step: str = "") -> None:
        """Write a note into the journal, in the name of whoever runs the pass."""
        self.journal.add_entry(self.pass_, kind, text, by=self.options.by, step=step)

    def add_notifications(self, step: Step, lines: Sequence[str]) -> None:
        """Write into the journal what came of a notification."""
        for line in lines:
            self.add_entry(EntryKind.ANNOUNCED, self.inventory.redactor().clean(line), step.id)
