"""Ctrl-C and SIGTERM while the conductor runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from encaja.runbook.run.execution import Execution


class Interruption:
    """Whether the run was asked to stop; the attempt under way is ended properly."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._execution: Execution | None = None

    @property
    def requested(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, unless the run is asked to stop; returns whether it was."""
        return self._asked.wait(seconds)

    @contextmanager
    def stops(self, execution: Execution) -> Iterator[None]:
        """Within this context an interruption, also one that came before, ends `execution`."""
        self._execution = execution
        if self.requested:
            execution.stop()
        try:
            yield
        finally:
            self._execution = None

    @contextmanager
    def handles_signals(self) -> Iterator[None]:
        """Within this context SIGINT and SIGTERM interrupt the run. Does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked.set()
        if self._execution is None:
            # Nothing runs: a question at the terminal would otherwise swallow Ctrl-C.
            raise KeyboardInterrupt
        self._execution.stop()
