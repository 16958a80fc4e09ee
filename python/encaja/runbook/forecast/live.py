"""The forecast of the pass under way, made anew again and again beside the run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from encaja.errors import EncajaError
from encaja.runbook.record.workspace import Move

FIRST, EVERY = 15.0, 20.0


class Outlook:
    """Knows when the pass will be over. It reads the journal in a thread of its own, so that it never holds up the run.

    Use it as a context manager; `text` is empty until the first forecast is there, and after a failed one.
    """

    def __init__(self, make: Callable[[], str], *, first: float = FIRST, every: float = EVERY) -> None:
        """`make` gives the text, `first` and `every` say after how many seconds it is asked."""
        self.text = ""
        self._make = make
        self._pauses = (first, every)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="outlook", daemon=True)

    def __enter__(self) -> Outlook:
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
                # The run itself meets the same trouble, and tells it better.
                self.text = ""


def pass_outlook(move: Move, pass_name: str) -> str:
    """When the pass will be over, by its journal as it is now."""
    from encaja.runbook.forecast.view import assumptions, forecast  # noqa: PLC0415 - brings numpy, which a short run does without

    zone = ZoneInfo(move.runbook.settings.time_zone)
    made = forecast(move, pass_name, replace(assumptions(move), leads=()))
    median, sure = (
        (made.moment + timedelta(seconds=seconds)).astimezone(zone) for seconds in (made.whole.median, made.whole.p90)
    )
    return f"all over {median:%a %d %b %H:%M}, 90 % sure by {sure:%a %d %b %H:%M} {zone.key}"
