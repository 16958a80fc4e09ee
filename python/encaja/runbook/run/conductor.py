"""Runs a pass from its last journalled state until a gate or the end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from encaja.errors import EncajaError
from encaja.runbook.book.model import Kind, Step
from encaja.runbook.record.journal import Journal
from encaja.runbook.record.lock import hold
from encaja.runbook.record.requests import open_request, what_is_left
from encaja.runbook.record.step_states import StepState
from encaja.runbook.record.workspace import Move
from encaja.runbook.run.attempt import AttemptRunner
from encaja.runbook.run.display import Display
from encaja.runbook.run.gates import Notifier
from encaja.runbook.run.interruption import Interruption
from encaja.runbook.run.inventory import InventoryReader
from encaja.runbook.run.pass_run import PassRun
from encaja.runbook.run.recovery import recover
from encaja.runbook.run.selection import RunOptions, check_needs, select
from encaja.runbook.run.step_run import FAILED_CODE, WAITING_CODE, StepRunner, TargetFinder
from encaja.runbook.run.targets import find_targets

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@dataclass
class Conductor:
    """Runs the selected steps of one pass in order."""

    move: Move
    journal: Journal
    options: RunOptions
    display: Display
    notifier: Notifier
    make_attempts: Callable[[PassRun], AttemptRunner] = AttemptRunner
    find_targets: TargetFinder = find_targets
    inventory: InventoryReader = field(init=False)

    def __post_init__(self) -> None:
        self.inventory = InventoryReader(self.move.project, self.move.inventories)

    def run(self) -> int:
        """Continue from where the journal stands; returns the exit code.

        Raises:
            EncajaError: another conductor is running, or the disk refuses.
            ConfigurationError: the selection makes no sense, or a destructive step must not start.
        """
        selected: Sequence[Step] = select(self.move, self.options)
        interruption = Interruption()
        with hold(self.move.lock) as earlier, interruption.handles_signals():
            run = self._start(interruption)
            recover(run, earlier)
            states, request = run.states(), ""
            if not self.options.check:
                check_needs(self.move, selected, states)
                selected, request = self._requested(run, selected, states)
                if request:
                    states = run.states()
            run.display.begin(self.move, run.pass_, selected, states)
            if request:
                run.display.note(request)
            try:
                return self._run_steps(run, selected)
            except OSError as error:
                raise self._explained(error) from error
            finally:
                run.display.finish()

    def _start(self, interruption: Interruption) -> PassRun:
        details = {
            "inventories": [str(path) for path in self.move.inventories],
            "variables": dict(self.move.runbook.settings.variables),
            "set": dict(self.move.chosen),
            "move": self.move.title,
        }
        pass_ = self.journal.start_pass(self.options.pass_name, self.options.by, details)
        return PassRun(
            self.move, self.journal, pass_, self.options, self.display, self.notifier, self.inventory, interruption
        )

    def _requested(
        self, run: PassRun, selected: Sequence[Step], states: Mapping[str, StepState]
    ) -> tuple[Sequence[Step], str]:
        """Journal a request to repeat steps, or continue one that is not finished.

        Returns:
            the steps to work on, and a line for people where an earlier request is continued.
        """
        if self.options.start:
            steps = [step.id for step in selected]
            self.journal.ask_again(run.pass_, steps, by=self.options.by, bounded=self.options.bounded)
            return selected, ""
        request = None if self.options.bounded else open_request(self.move.runbook, self.journal, run.pass_)
        if request is None:
            return selected, ""
        until = f" until '{request.steps[-1]}'" if request.bounded else ""
        text = f"continues what {request.by} asked for: again from '{request.steps[0]}'{until}"
        if not request.bounded:
            return selected, text
        undone = {name: not state.done for name, state in states.items()}
        return what_is_left(self.move.runbook, request, undone), text

    def _run_steps(self, run: PassRun, selected: Sequence[Step]) -> int:
        steps = StepRunner(run, self.make_attempts(run), self.find_targets)
        waiting = False
        for step in selected:
            if run.interruption.requested:
                return FAILED_CODE
            code = self._run_step(run, steps, step)
            if code == WAITING_CODE:
                waiting = True
            elif code:
                return code
        if run.interruption.requested:
            return FAILED_CODE
        return WAITING_CODE if waiting else 0

    @staticmethod
    def _run_step(run: PassRun, steps: StepRunner, step: Step) -> int:
        states = run.states()
        state = states[step.id]
        human, check = step.kind is Kind.HUMAN, run.options.check
        if state.done and (human or not check):
            run.display.skip(step, state)
            return 0
        ready = all(states[need].done for need in step.needs)
        if human:
            return steps.ask(step) if ready and not check else 0
        return steps.run(step, state) if ready or check else 0

    def _explained(self, error: OSError) -> Exception:
        if error.errno not in _NO_ROOM:
            return error
        where = str(error.filename or self.move.state)
        return EncajaError(
            f"cannot be written: {error.strerror}", where, "free some space and run again; nothing is lost"
        )
