"""The portal's limit on requests.

Source: apidocs.bitrix24.com, limits: a counter goes up by one with each request and down by Y once per second; above X
a request is refused with HTTP 503 ``QUERY_LIMIT_EXCEEDED``. X is 50 and Y is 2 per second, 250 and 5 on Enterprise.
"""

from __future__ import annotations


class LeakyBucket:
    """A counter that leaks: ``burst`` requests at once, ``rate`` per second in the long run.

    Places are given out in order, also those in the future, so no caller has to ask twice.

    Args:
        rate: requests per second.
        burst: requests at once.
        level: its level.
        at: when it had that level, in seconds of the caller's clock.
    """

    def __init__(self, rate: float, burst: float, level: float = 0.0, at: float | None = None) -> None:
        self.rate = rate
        self.burst = burst
        self.level = level
        self.at = at

    def reserve(self, now: float) -> float:
        """Take the next place and return the seconds until it comes."""
        self._leak(now)
        self.level += 1
        return max(0.0, (self.level - self.burst) / self.rate)

    def give_back(self) -> None:
        """Return a place that will not be used."""
        self.level = max(0.0, self.level - 1)

    def fill(self, now: float) -> None:
        """Set the counter to its limit, since the portal refused a request: other callers share it."""
        self._leak(now)
        self.level = max(self.level, self.burst)

    def _leak(self, now: float) -> None:
        if self.at is not None:
            self.level = max(0.0, self.level - max(0.0, now - self.at) * self.rate)
        self.at = now
