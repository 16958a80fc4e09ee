"""Live forecast, refreshed while a pass runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from encaja.errors import EncajaError
from encaja.runbook.record.workspace import Move

FIRST, EVERY = 15.0, 20.0


class LiveForecast:
    """Says in `text` when the pass will be over; made in a thread of its own, so that it never delays the run.

    Use it as a context manager. `text` is empty before the first forecast and after a failed one.
    """

    def __init__(self, make: Callable[[], str], *, first: float = FIRST, every: float = EVERY) -> None:
        """`make` gives the text; it is called after `first` seconds, then every `every` seconds."""
        self.text = ""
        self._make = make
        self._pauses = (first, every)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live-forecast", daemon=True)

    def __enter__(self) -> LiveForecast:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _work(self) -> None:
        pause, every = self._pauses
        while not self._ended.wait(pause):
            pause = every
            try:
                self.text = self._make()
            except (EncajaError, OSError):
                # The run meets the same problem and explains it better.
                self.text = ""


def finish_text(move: Move, pass_name: str) -> str:
    """When the pass will be over, by its journal as it is now."""
    from encaja.runbook.forecast import view  # noqa: PLC0415 - imports numpy, which a short run does not need

    zone = ZoneInfo(move.runbook.settings.time_zone)
    made = view.forecast_pass(move, pass_name, replace(view.read_assumptions(move), leads=()))
    median, sure = (
        (made.moment + timedelta(seconds=seconds)).astimezone(zone) for seconds in (made.whole.median, made.whole.p90)
    )
    return f"all over {median:%a %d %b %H:%M}, 90 % sure by {sure:%a %d %b %H:%M} {zone.key}"
