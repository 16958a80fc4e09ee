"""One attempt at a step: started, followed, journalled."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encaja.runbook.book.model import Action, Kind, Step
from encaja.runbook.record.journal import Attempt, Event, Fault, Measure, Result
from encaja.runbook.record.workspace import INVENTORY_VARIABLE, RUNBOOK_VARIABLE, STATE_VARIABLE
from encaja.runbook.run.ansible_command import action_command, ansible_environment, command_line, write_variables
from encaja.runbook.run.attempt_folder import LOG_FILE, make_folder
from encaja.runbook.run.execution import Ending, Execution, run_command, run_playbook
from encaja.runbook.run.pass_run import PassRun

DIFFERENCES_CODE = 4
FLUSH_EVENTS = 500
FLUSH_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt."""

    attempt: Attempt
    ending: Ending
    result: Result


class AttemptRunner:
    """Runs attempts of one pass."""

    def __init__(self, run: PassRun) -> None:
        self._run = run

    def run(self, step: Step, part: str, action: Action, hosts: Sequence[str]) -> Outcome:
        """Run one part of a step ("run", "verify" or "check") to its end.

        Args:
            step: the step.
            part: which part of it.
            action: what that part runs.
            hosts: whose data it replaces.
        """
        run = self._run
        manifest, fingerprint = run.inputs().of(action)
        folder = make_folder(run.move.state, run.pass_.name, step.id, part)
        attempt = run.journal.begin(
            run.pass_,
            step.id,
            part,
            by=run.options.by,
            kind=step.kind,
            directory=str(folder),
            fingerprint=fingerprint,
            manifest=manifest,
            hosts=hosts,
        )
        run.display.start(step, attempt)
        run.inventory.prefetch()
        if action.command and run.options.check and step.kind is not Kind.CHECK:
            return self._close(step, attempt, Ending(0), summary="commands are not run in check mode")
        execution = self._launch(attempt, folder, run.move.filled(action))
        with run.interruption.stops(execution):
            try:
                follow(run, step, attempt, execution)
            except BaseException:
                execution.stop()
                execution.drain()
                raise
        faults = [self._with_hint(step, fault) for fault in execution.ending.faults]
        ending = replace(execution.ending, faults=faults)
        return self._close(step, attempt, ending, summary=faults[0].what if faults else "")

    def _launch(self, attempt: Attempt, folder: Path, action: Action) -> Execution:
        move = self._run.move
        environment = ansible_environment(move.project, os.environ)
        environment[STATE_VARIABLE] = str(move.state)
        environment[INVENTORY_VARIABLE] = ":".join(str(path) for path in move.inventories)
        if move.runbook.sources:
            environment[RUNBOOK_VARIABLE] = ":".join(str(path) for path in move.runbook.sources)
        if action.playbook:
            variables = write_variables(folder, action.variables)
            command = action_command(
                move.project, action, move.inventories, variables_file=variables, check=self._run.options.check
            )
            return run_playbook(attempt.id, folder, move.project, command, environment)
        return run_command(attempt.id, folder, move.project, command_line(action), environment)

    def _with_hint(self, step: Step, fault: Fault) -> Fault:
        clean = self._run.inventory.redactor().clean
        hint = (
            fault.hint
            or step.help.get(self._run.language)
            or "read the step's log, fix what it says, and 'encaja run' again"
        )
        return replace(fault, what=clean(fault.what), lines=clean(fault.lines), hint=hint)

    def _close(self, step: Step, attempt: Attempt, ending: Ending, *, summary: str) -> Outcome:
        result = judge(step, ending)
        redactor = self._run.inventory.redactor
        self._run.journal.finish(
            attempt,
            result,
            code=ending.code,
            summary=summary,
            stats=ending.stats,
            faults=ending.faults,
            documents=[replace(item, body=redactor().clean_value(item.body)) for item in ending.documents],
        )
        self._run.display.end(step, attempt, ending, result)
        return Outcome(attempt, ending, result)


def follow(run: PassRun, step: Step, attempt: Attempt, execution: Execution) -> None:
    """Journal, log and show what an execution reports until it ends; events go to the journal in batches."""
    events: list[Event] = []
    measures: list[Measure] = []
    flushed = time.monotonic()
    descriptor = os.open(Path(attempt.directory) / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as log:
        for signals in execution:
            if signals is None:
                run.display.tick()
            else:
                clean = run.inventory.redactor().clean
                if signals.log:
                    log.write(clean(signals.log) + "\n")
                events += [replace(event, text=clean(event.text)) if event.text else event for event in signals.events]
                measures += signals.measures
                run.display.signals(step, signals)
            if len(events) >= FLUSH_EVENTS or time.monotonic() - flushed > FLUSH_SECONDS:
                log.flush()
                run.journal.add_events(events, measures)
                events, measures, flushed = [], [], time.monotonic()
        run.journal.add_events(events, measures)


def judge(step: Step, ending: Ending) -> Result:
    """What an ending means for its step."""
    if ending.stopped:
        return Result.INTERRUPTED
    if ending.code == 0:
        return Result.DONE
    if step.kind is Kind.CHECK and (ending.code == DIFFERENCES_CODE or _found_differences(ending)):
        return Result.DIFFERENCES
    return Result.FAILED


def _found_differences(ending: Ending) -> bool:
    return any(isinstance(item.body, dict) and item.body.get("differences") for item in ending.documents)
