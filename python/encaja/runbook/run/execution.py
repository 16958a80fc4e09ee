"""Starts a step's playbook or command under a supervisor and passes on what it reports while it runs."""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from encaja.errors import EncajaError
from encaja.runbook.durations import now
from encaja.runbook.record.journal import Document, Fault
from encaja.runbook.run import supervisor
from encaja.runbook.run.attempt_folder import PROGRESS_FILE, folder_variables, recorded_code, running_supervisor
from encaja.runbook.run.runner_events import LAST_LINES, Digest, Signals, add_progress, last_log_lines, plain

QUEUE_LIMIT = 5000
_POLL = 0.5
_LOOK = 0.2
_END = None


@dataclass
class Ending:
    """How a run ended: exit code, whether it was stopped, and what it left."""

    code: int
    stopped: bool = False
    stats: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)


class Execution:
    """One run, in a thread of its own, so that neither a slow disk nor a slow screen holds Ansible up for long.

    Iterate over it for the signals; then read `ending`. `stop` may be called at any time, also from a signal handler.
    """

    def __init__(self, attempt: int, directory: Path) -> None:
        self.attempt = attempt
        self.directory = directory
        self.ending = Ending(supervisor.INTERRUPTED, stopped=True)
        self._queue: queue.Queue[Signals | None] = queue.Queue(QUEUE_LIMIT)
        self._stopping = threading.Event()
        self._asked = 0.0
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, body: Callable[[], Ending]) -> None:
        """Begins `body` in the run's own thread."""
        self._thread = threading.Thread(target=self._guard, args=(body,), name=f"attempt-{self.attempt}", daemon=True)
        self._thread.start()

    def _guard(self, body: Callable[[], Ending]) -> None:
        try:
            self.ending = body()
        except BaseException as error:
            self._error = error
        finally:
            self.put(_END)

    def put(self, signals: Signals | None) -> None:
        """Hands signals over; waits while the reader is far behind, but not for a run that is being stopped."""
        while True:
            try:
                self._queue.put(signals, timeout=_POLL)
            except queue.Full:
                if self._stopping.is_set() and signals is not None:
                    return
            else:
                return

    def __iter__(self) -> Iterator[Signals | None]:
        """Signals as they come; None whenever nothing came for a moment, so that clocks can move on."""
        while True:
            try:
                signals = self._queue.get(timeout=0.1)
            except queue.Empty:
                yield None
                continue
            if signals is _END:
                break
            yield signals
        if self._thread:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Has the run ended, with all that it started."""
        self._stopping.set()
        self._asked = time.monotonic()
        self._stop_supervisor()

    def drain(self) -> None:
        """Waits for a stopped run to end, whatever it still reports."""
        for _ in self:
            continue

    def _stop_supervisor(self) -> None:
        pid = running_supervisor(self.directory)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)

    def cancelled(self) -> bool:
        """Asked by ansible-runner between reads: true once the supervisor had time to end everything properly."""
        if not self._stopping.is_set():
            return False
        self._stop_supervisor()
        return time.monotonic() - self._asked > 3 * supervisor.GRACE

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()


def supervised(directory: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` under a supervisor that ends with this process."""
    return [sys.executable, "-I", "-S", supervisor.__file__, str(directory), str(os.getpid()), *command]


def run_playbook(
    attempt: int, directory: Path, project: Path, command: Sequence[str], environment: Mapping[str, str]
) -> Execution:
    """Starts ansible-playbook through ansible-runner.

    Args:
        attempt: the journal's number of the attempt.
        directory: its private directory.
        project: where Ansible runs, so that `ansible.cfg` and relative paths hold.
        command: the whole ansible-playbook command line.
        environment: what is added to this process's environment.
    """
    execution = Execution(attempt, directory)
    digest = Digest(attempt)

    def body() -> Ending:
        from ansible_runner.config.runner import RunnerConfig  # noqa: PLC0415 - a slow import, not needed for --help
        from ansible_runner.runner import Runner  # noqa: PLC0415

        private = directory / "runner"
        (private / "env").mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = {"pexpect_timeout": _POLL, "suppress_output_file": True, "suppress_ansible_output": True}
        (private / "env" / "settings").touch(mode=0o600)
        (private / "env" / "settings").write_text(json.dumps(settings), encoding="utf-8")
        words = supervised(directory, command)
        config = RunnerConfig(
            str(private),
            binary=words[0],
            cmdline=shlex.join(words[1:]),
            project_dir=str(project),
            artifact_dir=str(private),
            ident="artifacts",
            envvars={**environment, **folder_variables(directory)},
            fact_cache_type="none",
            suppress_env_files=True,
            quiet=True,
        )
        config.prepare()
        tail: deque[str] = deque(maxlen=4 * LAST_LINES)

        def on_event(raw: dict[str, Any]) -> bool:
            signals = digest.take(raw)
            if signals.log:
                tail.extend(signals.log.splitlines()[-LAST_LINES:])
            execution.put(signals)
            return False

        def on_status(data: dict[str, Any], runner_config: RunnerConfig) -> None:
            # The runner has just written the whole environment of this process into a file.
            del runner_config
            if data.get("status") == "running":
                (private / "artifacts" / "command").unlink(missing_ok=True)

        runner = Runner(config, event_handler=on_event, status_handler=on_status, cancel_callback=execution.cancelled)
        runner.run()
        code = recorded_code(directory)
        if code is None:
            return Ending(
                supervisor.INTERRUPTED, stopped=True, stats=digest.summary(), faults=digest.faults(), tail=list(tail)
            )
        faults = digest.faults() if code else []
        if code and not faults:
            what, lines = last_log_lines(list(tail))
            faults = [Fault(attempt, now(), "", "", what, lines, "")]
        return Ending(code, stats=digest.summary(), faults=faults, documents=digest.documents, tail=list(tail))

    execution.start(body)
    return execution


def run_command(
    attempt: int, directory: Path, project: Path, command: Sequence[str], environment: Mapping[str, str]
) -> Execution:
    """Starts a command on the controller; its output is the log, and JSON on its standard output a document.

    What it writes as its status (`encaja.status.conducted`) is followed.
    """
    execution = Execution(attempt, directory)

    def body() -> Ending:
        output: list[str] = []
        size = 0
        tail: deque[str] = deque(maxlen=4 * LAST_LINES)
        process = subprocess.Popen(
            supervised(directory, command),
            cwd=project,
            env={**os.environ, **environment, **folder_variables(directory)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

        def pump(stream: Any, keep: bool) -> None:
            nonlocal size
            for line in stream:
                text = line.rstrip("\n")
                tail.append(text)
                if keep and size < 4_000_000:
                    output.append(line)
                    size += len(line)
                execution.put(Signals(log=plain(text)))

        ended = threading.Event()
        watch = threading.Thread(target=_follow_status, args=(execution, ended), daemon=True)
        errors = threading.Thread(target=pump, args=(process.stderr, False), daemon=True)
        watch.start()
        errors.start()
        pump(process.stdout, True)
        errors.join()
        process.wait()
        ended.set()
        watch.join()
        code = recorded_code(directory)
        if code is None:
            return Ending(supervisor.INTERRUPTED, stopped=True, tail=list(tail))
        faults = []
        if code:
            what, lines = last_log_lines(list(tail))
            faults = [Fault(attempt, now(), "", shlex.join(command[:4]), what, lines, "")]
        return Ending(code, faults=faults, documents=_documents(attempt, "".join(output)), tail=list(tail))

    execution.start(body)
    return execution


def _follow_status(execution: Execution, ended: threading.Event) -> None:
    """Hands on a command's status file whenever it was replaced, the last one included."""
    path = execution.directory / PROGRESS_FILE
    seen = 0
    while True:
        last = ended.wait(_LOOK)
        try:
            written = path.stat().st_mtime_ns
            status = json.loads(path.read_text(encoding="utf-8")) if written != seen else None
        except (OSError, ValueError):
            status = None
        if isinstance(status, dict):
            seen = written
            signals = Signals()
            add_progress(signals, execution.attempt, "", status, datetime.fromtimestamp(written / 1e9, UTC))
            execution.put(signals)
        if last:
            return


def _documents(attempt: int, output: str) -> list[Document]:
    text = output.strip()
    if not text.startswith("{"):
        return []
    try:
        body = json.loads(text)
    except ValueError:
        return []
    return [Document(attempt, now(), str(body.get("kind") or "result"), body)]


def capture(command: Sequence[str], project: Path, environment: Mapping[str, str], where: str) -> str:
    """The standard output of a short read-only command.

    Raises:
        EncajaError: it failed; with its last line.
    """
    done = subprocess.run(
        list(command),
        cwd=project,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        what, _ = last_log_lines(done.stderr.splitlines() or done.stdout.splitlines())
        raise EncajaError(what, where, "fix it and run again")
    return done.stdout
