"""One step of a pass: permission, attempts, retries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Action, RetryOn, Step
from encaja.runbook.durations import format_span
from encaja.runbook.record.journal import EntryKind, GateState, Result
from encaja.runbook.record.requests import taken_back
from encaja.runbook.record.step_states import (
    CHECK,
    RUN,
    VERIFY,
    State,
    StepState,
    accepted_text,
    changed_text,
    confirm_gate,
)
from encaja.runbook.run import gates
from encaja.runbook.run.attempt import DIFFERENCES_CODE, AttemptRunner, Outcome
from encaja.runbook.run.attempt_folder import LOG_FILE
from encaja.runbook.run.execution import Ending
from encaja.runbook.run.pass_run import PassRun

FAILED_CODE = 1
WAITING_CODE = 3
_GATE_CODES = {GateState.APPROVED: 0, GateState.REJECTED: FAILED_CODE}

TargetFinder = Callable[[PassRun, Step], list[str]]


class StepRunner:
    """Runs the steps of one pass; every method that runs a step returns an exit code."""

    def __init__(self, run: PassRun, attempts: AttemptRunner, find_targets: TargetFinder) -> None:
        self._run = run
        self._attempts = attempts
        self._find_targets = find_targets

    def ask(self, step: Step) -> int:
        """A person's step."""
        title = step.title.get(self._run.language)
        return _gate_code(gates.ask_for_decision(self._keeper(), step, step.id, title))

    def run(self, step: Step, state: StepState) -> int:
        """A step that runs a playbook or a command, until it is done or fails for the last time."""
        check = self._run.options.check
        if step.id in self._run.options.keep and state.keepable and not check:
            self._keep(step)
            self._run.display.skip(step, state)
            return 0
        hosts: list[str] = []
        if step.destructive and not check:
            hosts = self._find_targets(self._run, step)
            decision = self._permission(step, state, hosts)
            if decision is not GateState.APPROVED:
                return _gate_code(decision)
        self._say_why(step, state)
        return self._try(step, state, hosts)

    def _try(self, step: Step, state: StepState, hosts: Sequence[str]) -> int:
        tries = 0
        while True:
            outcome = self._run_and_verify(step, state, hosts)
            if outcome.result is Result.DONE:
                return 0
            if outcome.result is Result.INTERRUPTED or self._run.interruption.requested:
                return FAILED_CODE
            if not is_retried(step, outcome.ending, tries):
                self._report_failure(step, outcome)
                return DIFFERENCES_CODE if outcome.result is Result.DIFFERENCES else FAILED_CODE
            delay = step.retry.delay.total_seconds() * 2**tries
            tries += 1
            self._run.display.note(f"'{step.id}' is retried in {format_span(delay)} ({tries} of {step.retry.times})")
            if self._run.interruption.wait(delay):
                return FAILED_CODE

    def _run_and_verify(self, step: Step, state: StepState, hosts: Sequence[str]) -> Outcome:
        check = self._run.options.check
        if step.verify and _only_verification_is_missing(state):
            return self._attempts.run(step, VERIFY, step.verify, hosts)
        outcome = self._attempts.run(step, CHECK if check else RUN, _action(step), hosts)
        if outcome.result is Result.DONE and step.verify and not check:
            return self._attempts.run(step, VERIFY, step.verify, hosts)
        return outcome

    def _report_failure(self, step: Step, outcome: Outcome) -> None:
        run = self._run
        faults = [fault for fault in run.journal.faults() if fault.attempt == outcome.attempt.id]
        run.display.failure(step, outcome.attempt, faults, Path(outcome.attempt.directory) / LOG_FILE)
        if faults:
            run.add_notifications(step, run.notifier.notify_failure(run.move, run.pass_, step, faults[0]))

    def _permission(self, step: Step, state: StepState, hosts: Sequence[str]) -> GateState:
        """Whether somebody agrees that a step replaces the data of `hosts`."""
        question = f"replaces the data of {', '.join(hosts)}"
        keeper = self._keeper()
        if state.changed_inputs:
            # Whoever gave --yes did not know yet that a finished step would have to be repeated.
            question, keeper = f"{question} again; {changed_text(state.changed_inputs)}", replace(keeper, yes=False)
        decision = gates.ask_for_decision(keeper, step, confirm_gate(step), question)
        if decision is not GateState.APPROVED and state.keepable:
            self._run.display.note(f"  '{step.id}' is done, {question}")
            self._run.display.note(f"  or keep it as it is: encaja run --keep {step.id}")
        return decision

    def _say_why(self, step: Step, state: StepState) -> None:
        """Why a finished step is repeated, unless that was asked for."""
        if state.state is State.STALE and state.redo is None and not self._run.options.check:
            self._run.display.note(f"'{step.id}' is repeated: {state.reason}")
            reason = changed_text(state.changed_inputs, len(state.changed_inputs)) or state.reason
            self._run.add_entry(EntryKind.REPEATED, reason, step.id)

    def _keep(self, step: Step) -> None:
        _, fingerprint = self._run.inputs().of(_action(step))
        self._run.add_entry(EntryKind.ACCEPTED, accepted_text(step, fingerprint), step.id)
        if step.destructive:
            note = f"kept as it is by {self._run.options.by}"
            gates.withdraw_permission(self._run.journal, self._run.pass_, step, note)

    def _keeper(self) -> gates.GateKeeper:
        run = self._run

        def notify(step: Step, state: GateState, expires: datetime | None) -> None:
            run.add_notifications(step, run.notifier.notify_gate(run.move, run.pass_, step, state, expires))

        redone = taken_back(run.move.runbook, run.journal, run.pass_)
        return gates.GateKeeper(run.journal, run.pass_, run.display, notify, run.options.by, run.options.yes, redone)


def is_retried(step: Step, ending: Ending, tries: int) -> bool:
    """Whether the step's rule starts it again after `tries` retries."""
    unreachable = ending.stats.get("dark", 0) > 0 and ending.stats.get("failures", 0) == 0
    kind = RetryOn.UNREACHABLE if unreachable else RetryOn.FAILED
    return tries < step.retry.times and kind in step.retry.when


def _only_verification_is_missing(state: StepState) -> bool:
    return state.state is State.INTERRUPTED and state.last is not None and state.last.result is Result.DONE


def _gate_code(decision: GateState) -> int:
    return _GATE_CODES.get(decision, WAITING_CODE)


def _action(step: Step) -> Action:
    if step.action is None:
        raise ConfigurationError("runs nothing", f"step '{step.id}'", "fix the run-book")
    return step.action
