"""How fast a download goes: a limit, pauses while the server is in trouble, and which connections are too slow."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterable

from encaja.restore.fetch.plan import Span

_LONGEST_PAUSE = 60.0
_SLOW_RATIO = 8
_SLOWEST = 1024.0
_SAMPLES = 30


class Limit:
    """Shares a rate among connections: each one sleeps for as long as its bytes take at that rate.

    Args:
        rate: bytes a second; None for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        """Wait until so many bytes are within the rate."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            pause = self._free_at - now
        if pause > 0:
            time.sleep(pause)


def growing_pause(first: float, failures: int) -> float:
    """Seconds before the next try: doubling up to a minute, spread so that not all come back at once."""
    return min(_LONGEST_PAUSE, first * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311


class Backoff:
    """Holds all connections back while the server as a whole refuses (503, no connection).

    Requests that fail together are one failure: only a request made after the last pause adds one.

    Args:
        first: first pause in seconds.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self._failures = 0
        self._counted_at = 0.0
        self.until = 0.0

    def failed(self, began: float, after: float = 0.0) -> None:
        """A request failed that was made at ``began``; the server asks to wait ``after`` seconds."""
        now = time.monotonic()
        if began >= self._counted_at:
            self._failures += 1
            self._counted_at = now
            self.until = max(self.until, now + growing_pause(self._first, self._failures))
        self.until = max(self.until, now + after)

    def arrived(self) -> None:
        """The server gives bytes."""
        self._failures = 0
        self.until = 0.0


class Speed:
    """What was measured: the rate of all connections, and what one usually gives."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._usual: deque[float] = deque(maxlen=_SAMPLES)

    def sample(self, received: int) -> None:
        """Note how many bytes have arrived in all, at most twice a second."""
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples.append((now, received))

    def finished(self, count: int, seconds: float) -> None:
        """A connection brought its piece undisturbed."""
        self._usual.append(count / max(1e-3, seconds))

    @property
    def rate(self) -> float:
        """Bytes a second over the last seconds."""
        if len(self._samples) < 2:
            return 0.0
        (before, old), (now, new) = self._samples[0], self._samples[-1]
        return (new - old) / (now - before) if now > before else 0.0

    def slow(self, spans: Iterable[Span], after: float) -> list[Span]:
        """The connections that are far slower than is usual here, of those that had ``after`` seconds to show it."""
        now = time.monotonic()
        rates = {
            span: (span.position - span.begun_at) / (now - span.begun) for span in spans if now - span.begun >= after
        }
        if not rates:
            return []
        usual = statistics.median([*self._usual, *rates.values()])
        return [span for span, rate in rates.items() if rate < max(_SLOWEST, usual / _SLOW_RATIO)]
