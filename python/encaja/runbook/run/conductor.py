"""Takes a move from where its journal stands to where it has to wait, or to its end."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Protocol

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.book.loader import find_playbook
from encaja.runbook.book.model import Action, Kind, RetryOn, Step
from encaja.runbook.durations import format_span, now
from encaja.runbook.record.journal import Attempt, EntryKind, Event, Fault, GateState, Journal, Measure, Pass, Result
from encaja.runbook.record.requests import open_request, taken_back, what_is_left
from encaja.runbook.record.step_states import (
    CHECK,
    RUN,
    VERIFY,
    Inputs,
    State,
    StepState,
    accepted_text,
    changed_text,
    confirm_gate,
    read_states,
)
from encaja.runbook.record.workspace import INVENTORY_VARIABLE, RUNBOOK_VARIABLE, STATE_VARIABLE, Move
from encaja.runbook.redact import Redactor
from encaja.runbook.run import gates
from encaja.runbook.run.ansible_command import ansible_environment, command_line, playbook_command, write_variables
from encaja.runbook.run.execution import Ending, Execution, recorded_code, run_command, run_playbook
from encaja.runbook.run.inventory import InventoryView, check_targets, effective_hosts, read_ahead
from encaja.runbook.run.lock import Holder, end_survivors, hold
from encaja.runbook.run.runner_events import Signals

DIFFERENCES_CODE = 4
WAITING_CODE = 3
FLUSH_EVENTS = 500
FLUSH_SECONDS = 0.5
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@dataclass(frozen=True)
class Options:
    """What `encaja run` was told."""

    pass_name: str
    by: str
    phase: int | None = None
    start: str | None = None
    until: str | None = None
    yes: bool = False
    check: bool = False
    keep: tuple[str, ...] = ()


class Display(Protocol):
    """What the conductor shows; a terminal, a plain stream, or nothing."""

    def begin(self, move: Move, pass_: Pass, selected: Sequence[Step], states: Mapping[str, StepState]) -> None:
        """The run starts."""

    def note(self, text: str) -> None:
        """One line for the reader."""

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
        """A step failed for good: what, where, last lines, what to do."""

    def gate(self, step: Step, state: GateState, by: str, expires: datetime | None) -> None:
        """A gate's state."""

    def ask(self, step: Step, question: str) -> tuple[GateState, str] | None:
        """A person's decision with a note; None to leave the gate waiting, or where nobody can be asked."""

    def finish(self) -> None:
        """The screen goes back to normal."""


@dataclass
class Conductor:
    """Runs the selected steps of one pass in order."""

    move: Move
    journal: Journal
    options: Options
    display: Display
    announcer: gates.Announcer
    sleep: Callable[[float], object] = time.sleep
    _inventory: Future[InventoryView] | None = None
    _redactor: Redactor | None = None
    _execution: Execution | None = None
    _interrupted: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        """Goes on from where the journal stands; returns the exit code.

        Raises:
            EncajaError: another conductor is at work, or the disk refuses.
            ConfigurationError: the selection makes no sense, or a destructive step must not start.
        """
        selected: Sequence[Step] = select(self.move, self.options)
        with hold(self.move.lock) as earlier, self._signals():
            pass_ = self.journal.start_pass(self.options.pass_name, self.options.by, self._details())
            self._recover(pass_, earlier)
            states = read_states(self.move, self.journal, pass_, self._inputs())
            self._check_needs(selected, states)
            selected, asked = self._asked(pass_, selected, states)
            if asked:
                states = read_states(self.move, self.journal, pass_, self._inputs())
            self.display.begin(self.move, pass_, selected, states)
            if asked:
                self.display.note(asked)
            try:
                return self._steps(pass_, selected)
            except OSError as error:
                raise self._explained(error) from error
            finally:
                self.display.finish()

    def _explained(self, error: OSError) -> Exception:
        if error.errno not in _NO_ROOM:
            return error
        where = str(error.filename or self.move.state)
        return EncajaError(
            f"cannot be written: {error.strerror}", where, "free some space and run again; nothing is lost"
        )

    def addresses(self) -> list[tuple[str, str]]:
        """Environments' portals by name and address, as the inventory gives them; empty where it could not be read."""
        try:
            return self._view().addresses() if self.move.inventories else []
        except EncajaError:
            return []

    def _inputs(self) -> Inputs:
        """The steps' inputs as they are at this moment: an inventory may change halfway."""
        return Inputs(self.move)

    def _details(self) -> dict[str, object]:
        return {
            "inventories": [str(path) for path in self.move.inventories],
            "variables": dict(self.move.runbook.settings.variables),
            "set": dict(self.move.chosen),
            "move": self.move.title,
        }

    # Order

    def _asked(
        self, pass_: Pass, selected: Sequence[Step], states: Mapping[str, StepState]
    ) -> tuple[Sequence[Step], str]:
        """Journals a request to do steps again, or takes up one that is not finished; says so to the reader."""
        told, runbook = self.options, self.move.runbook
        if told.check:
            return selected, ""
        if told.start:
            bounded = told.until is not None or told.phase is not None
            self.journal.ask_again(pass_, [step.id for step in selected], by=told.by, bounded=bounded)
            return selected, ""
        if told.until is not None or told.phase is not None:
            return selected, ""
        request = open_request(runbook, self.journal, pass_)
        if request is None:
            return selected, ""
        until = f" until '{request.steps[-1]}'" if request.bounded else ""
        text = f"goes on with what {request.by} asked for: again from '{request.steps[0]}'{until}"
        if not request.bounded:
            return selected, text
        return what_is_left(runbook, request, {name: not state.done for name, state in states.items()}), text

    def _steps(self, pass_: Pass, selected: Sequence[Step]) -> int:
        waiting = False
        for step in selected:
            if self._interrupted.is_set():
                return 1
            states = read_states(self.move, self.journal, pass_, self._inputs())
            state = states[step.id]
            unmet = [need for need in step.needs if not states[need].done]
            if step.kind is Kind.HUMAN:
                if state.done or self.options.check:
                    if state.done:
                        self.display.skip(step, state)
                    continue
                if unmet:
                    continue
                decision = gates.pass_gate(self._keeper(pass_), step, step.id, step.title.get(self._language))
                if decision is GateState.REJECTED:
                    return 1
                waiting = waiting or decision is not GateState.APPROVED
                continue
            if state.done and not self.options.check:
                self.display.skip(step, state)
                continue
            if unmet and not self.options.check:
                continue
            code = self._step(pass_, step, state)
            if code == WAITING_CODE:
                waiting = True
            elif code:
                return code
        if self._interrupted.is_set():
            return 1
        return WAITING_CODE if waiting else 0

    @property
    def _language(self) -> str:
        return self.move.runbook.settings.language

    def _check_needs(self, selected: Sequence[Step], states: Mapping[str, StepState]) -> None:
        chosen = {step.id for step in selected}
        needed = {need for step in selected for need in step.needs if need not in chosen and not states[need].done}
        missing = [step.id for step in self.move.runbook if step.id in needed]
        if missing and not self.options.check:
            names = ", ".join(f"'{name}'" for name in missing)
            raise ConfigurationError(
                f"the selected steps need {names} first", "encaja run", "run those before, or select from there"
            )

    # One step

    def _step(self, pass_: Pass, step: Step, state: StepState) -> int:
        if step.action is None:
            raise ConfigurationError("runs nothing", f"step '{step.id}'", "fix the run-book")
        if step.id in self.options.keep and state.keepable and not self.options.check:
            self._keep(pass_, step)
            self.display.skip(step, state)
            return 0
        hosts: list[str] = []
        if step.destructive and not self.options.check:
            hosts = self._targets(step)
            decision = self._permission(pass_, step, state, hosts)
            if decision is not GateState.APPROVED:
                return WAITING_CODE if decision is not GateState.REJECTED else 1
        self._say_why(pass_, step, state)
        tries = 0
        while True:
            resumed = self._verify_alone(state)
            ending, attempt, result = (
                self._attempt(pass_, step, VERIFY, step.verify, hosts)
                if resumed and step.verify
                else self._run_and_verify(pass_, step, hosts)
            )
            if result is Result.DONE:
                return 0
            if result is Result.INTERRUPTED or self._interrupted.is_set():
                return 1
            if not self._retries(step, ending, tries):
                faults = self._faults(attempt)
                self.display.failure(step, attempt, faults, Path(attempt.directory) / "log")
                if faults:
                    lines = self.announcer.tell_failure(self.move, pass_, step, faults[0])
                    self._note_announced(pass_, step, lines)
                return DIFFERENCES_CODE if result is Result.DIFFERENCES else 1
            delay = step.retry.delay.total_seconds() * 2**tries
            tries += 1
            self.display.note(f"'{step.id}' is tried again in {format_span(delay)} ({tries} of {step.retry.times})")
            if self._interrupted.wait(delay):
                return 1

    def _permission(self, pass_: Pass, step: Step, state: StepState, hosts: Sequence[str]) -> GateState:
        """Whether somebody agrees that a step replaces the data of `hosts`."""
        question = f"replaces the data of {', '.join(hosts)}"
        keeper = self._keeper(pass_)
        if state.changed_inputs:
            # --yes was said before anybody knew that what was done would have to be done again.
            question, keeper = f"{question} again; {changed_text(state.changed_inputs)}", replace(keeper, yes=False)
        decision = gates.pass_gate(keeper, step, confirm_gate(step), question)
        if decision is not GateState.APPROVED and state.keepable:
            self.display.note(f"  '{step.id}' is done, {question}")
            self.display.note(f"  or let it stand as it is: encaja run --keep {step.id}")
        return decision

    def _say_why(self, pass_: Pass, step: Step, state: StepState) -> None:
        """Why a finished step is done again, unless that is what was asked for."""
        if state.state is State.STALE and state.redo is None and not self.options.check:
            self.display.note(f"'{step.id}' is done again: {state.reason}")
            reason = changed_text(state.changed_inputs, len(state.changed_inputs)) or state.reason
            self.journal.add_entry(pass_, EntryKind.REPEATED, reason, by=self.options.by, step=step.id)

    def _keep(self, pass_: Pass, step: Step) -> None:
        if step.action:
            _, fingerprint = self._inputs().of(step.action)
            text = accepted_text(step, fingerprint)
            self.journal.add_entry(pass_, EntryKind.ACCEPTED, text, by=self.options.by, step=step.id)
        if step.destructive:
            gates.close_gate(self.journal, pass_, step, f"kept as it is by {self.options.by}")

    @staticmethod
    def _verify_alone(state: StepState) -> bool:
        """Whether the step itself is done and only its verification is missing."""
        return state.state is State.INTERRUPTED and state.last is not None and state.last.result is Result.DONE

    def _run_and_verify(self, pass_: Pass, step: Step, hosts: Sequence[str]) -> tuple[Ending, Attempt, Result]:
        part = CHECK if self.options.check else RUN
        if step.action is None:
            raise ConfigurationError("runs nothing", f"step '{step.id}'", "fix the run-book")
        ending, attempt, result = self._attempt(pass_, step, part, step.action, hosts)
        if result is Result.DONE and step.verify and not self.options.check:
            return self._attempt(pass_, step, VERIFY, step.verify, hosts)
        return ending, attempt, result

    @staticmethod
    def _retries(step: Step, ending: Ending, tries: int) -> bool:
        unreachable = ending.stats.get("dark", 0) > 0 and ending.stats.get("failures", 0) == 0
        kind = RetryOn.UNREACHABLE if unreachable else RetryOn.FAILED
        return tries < step.retry.times and kind in step.retry.when

    def _targets(self, step: Step) -> list[str]:
        action = self.move.filled(step.action) if step.action else Action()
        self._read_inventory()
        if action.playbook and self._inventory is not None:
            with TemporaryDirectory(prefix="encaja-") as folder:
                variables = write_variables(Path(folder), action.variables)
                touched = effective_hosts(self.move.project, self._playbook_command(action, variables))
            view = self._view()
        else:
            view = self._view()
            touched = sorted(view.members("all"))
        fill = self.move.fill
        filled = replace(step, targets=fill(step.targets), only_on=fill(step.only_on), never_on=fill(step.never_on))
        return check_targets(view, touched, filled)

    def _view(self) -> InventoryView:
        self._read_inventory()
        if self._inventory is None:
            raise ConfigurationError(
                "no inventory is given", "encaja run", "give one with -i, or 'move: {inventory: …}' in runbook.yml"
            )
        return self._inventory.result()

    def _read_inventory(self) -> None:
        """Begins to read the inventory in the background, unless that was done."""
        if self._inventory is None and self.move.inventories:
            self._inventory = read_ahead(self.move.project, self.move.inventories)

    def _playbook_command(self, action: Action, variables_file: Path | None) -> list[str]:
        playbook = find_playbook(self.move.project, action.playbook)
        if playbook is None:
            raise ConfigurationError("does not exist", f"playbook '{action.playbook}'", "look into playbooks/")
        return playbook_command(
            playbook, action, self.move.inventories, variables_file=variables_file, check=self.options.check
        )

    # One attempt

    def _attempt(
        self, pass_: Pass, step: Step, part: str, action: Action, hosts: Sequence[str]
    ) -> tuple[Ending, Attempt, Result]:
        filled = self.move.filled(action)
        manifest, fingerprint = self._inputs().of(action)
        directory = self._directory(pass_, step, part)
        attempt = self.journal.begin(
            pass_,
            step.id,
            part,
            by=self.options.by,
            kind=step.kind,
            directory=str(directory),
            fingerprint=fingerprint,
            manifest=manifest,
            hosts=hosts,
        )
        self.display.start(step, attempt)
        self._read_inventory()
        if filled.command and self.options.check and step.kind is not Kind.CHECK:
            self.journal.finish(attempt, Result.DONE, summary="commands are not run in check mode")
            ending = Ending(0)
            self.display.end(step, attempt, ending, Result.DONE)
            return ending, attempt, Result.DONE
        self._execution = self._launch(attempt, directory, filled)
        if self._interrupted.is_set():
            self._execution.stop()
        try:
            self._follow(step, attempt, self._execution)
        except BaseException:
            self._execution.stop()
            self._drain(self._execution)
            raise
        ending = self._execution.ending
        self._execution = None
        result = judge(step, ending)
        faults = [self._advised(step, fault) for fault in ending.faults]
        ending = replace(ending, faults=faults)
        self.journal.finish(
            attempt,
            result,
            code=ending.code,
            summary=faults[0].what if faults else "",
            stats=ending.stats,
            faults=faults,
            documents=[replace(item, body=self._clean().clean_value(item.body)) for item in ending.documents],
        )
        self.display.end(step, attempt, ending, result)
        return ending, attempt, result

    def _directory(self, pass_: Pass, step: Step, part: str) -> Path:
        base = self.move.state / "runs" / pass_.name
        stamp = now().strftime("%Y%m%dT%H%M%S.%f")
        directory = base / f"{stamp}-{step.id}-{part}"
        directory.mkdir(parents=True, mode=0o700)
        return directory

    def _launch(self, attempt: Attempt, directory: Path, action: Action) -> Execution:
        environment = ansible_environment(self.move.project, os.environ)
        environment[STATE_VARIABLE] = str(self.move.state)
        environment[INVENTORY_VARIABLE] = ":".join(str(path) for path in self.move.inventories)
        extra = ":".join(str(path) for path in self.move.runbook.sources)
        if extra:
            environment[RUNBOOK_VARIABLE] = extra
        if action.playbook:
            variables = write_variables(directory, action.variables)
            command = self._playbook_command(action, variables)
            return run_playbook(attempt.id, directory, self.move.project, command, environment)
        return run_command(attempt.id, directory, self.move.project, command_line(action), environment)

    def _follow(self, step: Step, attempt: Attempt, execution: Execution) -> None:
        """Journals and shows what an execution says, in batches."""
        events: list[Event] = []
        measures: list[Measure] = []
        flushed = time.monotonic()
        log_path = Path(attempt.directory) / "log"
        descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as log:
            for signals in execution:
                if signals is None:
                    self.display.tick()
                else:
                    redactor = self._clean()
                    if signals.log:
                        log.write(redactor.clean(signals.log) + "\n")
                    events += [
                        replace(event, text=redactor.clean(event.text)) if event.text else event
                        for event in signals.events
                    ]
                    measures += signals.measures
                    self.display.signals(step, signals)
                if len(events) >= FLUSH_EVENTS or time.monotonic() - flushed > FLUSH_SECONDS:
                    log.flush()
                    self.journal.add_events(events, measures)
                    events, measures, flushed = [], [], time.monotonic()
            self.journal.add_events(events, measures)

    @staticmethod
    def _drain(execution: Execution) -> None:
        """Waits for a stopped execution to end, whatever it still says."""
        for _ in execution:
            continue

    def _clean(self) -> Redactor:
        if self._redactor is None:
            secrets: frozenset[str] = frozenset()
            if self._inventory is not None:
                try:
                    secrets = self._inventory.result().secrets
                except EncajaError:
                    # The playbook will fail over the same inventory, and say so better.
                    secrets = frozenset()
            self._redactor = Redactor(secrets)
        return self._redactor

    def _advised(self, step: Step, fault: Fault) -> Fault:
        clean = self._clean().clean
        hint = (
            fault.hint
            or step.help.get(self._language)
            or "read the step's log, fix what it says, and 'encaja run' again"
        )
        return replace(fault, what=clean(fault.what), lines=clean(fault.lines), hint=hint)

    def _faults(self, attempt: Attempt) -> list[Fault]:
        return [fault for fault in self.journal.faults() if fault.attempt == attempt.id]

    def _keeper(self, pass_: Pass) -> gates.GateKeeper:
        def announce(step: Step, state: GateState, expires: datetime | None) -> None:
            self._note_announced(pass_, step, self.announcer.announce(self.move, pass_, step, state, expires))

        redone = taken_back(self.move.runbook, self.journal, pass_)
        return gates.GateKeeper(self.journal, pass_, self.display, announce, self.options.by, self.options.yes, redone)

    def _note_announced(self, pass_: Pass, step: Step, lines: Sequence[str]) -> None:
        for text in lines:
            line = self._clean().clean(text)
            self.journal.add_entry(pass_, EntryKind.ANNOUNCED, line, by=self.options.by, step=step.id)

    # Death and rebirth

    def _recover(self, pass_: Pass, earlier: Holder | None) -> None:
        """Closes what a conductor that died left open, and ends what it left running."""
        dangling = [attempt for attempt in self.journal.attempts() if attempt.result is None]
        if earlier and dangling:
            text = f"the conductor with pid {earlier.pid} of {earlier.user} died; going on from its journal"
            self.display.note(text)
            self.journal.add_entry(pass_, EntryKind.TAKEOVER, text, by=self.options.by)
        for attempt in dangling:
            directory = Path(attempt.directory)
            end_survivors(directory)
            code = recorded_code(directory)
            if code is None:
                self.journal.finish(attempt, Result.INTERRUPTED, summary="the conductor died")
            else:
                result = Result.DONE if code == 0 else Result.FAILED
                self.journal.finish(attempt, result, code=code, summary="ended after the conductor had died")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the step under way properly, wherever the conductor is."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._interrupted.set()
            if self._execution is None:
                # Nothing runs: a question at the terminal would otherwise swallow Ctrl-C.
                raise KeyboardInterrupt
            self._execution.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


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


def select(move: Move, options: Options) -> list[Step]:
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


def remaining(states: Mapping[str, StepState], selected: Sequence[Step]) -> timedelta:
    """The run-book's own estimates of what is not done yet."""
    return sum((step.estimate for step in selected if not states[step.id].done), timedelta(0))
