"""Keeps requests within a cloud portal's limits, so that it never has to refuse one.

Two limits (apidocs.bitrix24.com, limits): requests per address of the caller, in a leaky bucket; and seconds of work
per method and caller over ten minutes (``operating``), counted by the portal in ten baskets of one minute, the oldest
of which expires at ``operating_reset_at``. A method is refused when its sum is above the limit *before* a call. All
processes of this machine share both limits, so their state can be kept in a file under a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encaja.rest.bucket import LeakyBucket
from encaja.status import waiting_for

WINDOW = 600.0
_ASSUMED = 1.0  # seconds of work of a command that was never called
_FORGET = 180.0  # a request takes 60 s at most once it is sent; one without an answer for so long was cut off
_MOMENT = 5.0  # seconds up to which a wait is not reported
_SLICE = 200  # answers after which older ones count half


@dataclass(frozen=True)
class Limits:
    """What a portal allows.

    Args:
        rate: requests per second in the long run (5 on Enterprise).
        burst: requests at once (250 on Enterprise).
        operating: seconds of work per method and caller in ten minutes; 0 for no limit.
    """

    rate: float = 2.0
    burst: int = 50
    operating: float = 480.0

    @property
    def usable_burst(self) -> float:
        """The used part of the burst: the portal's counter falls once a second, and requests bunch on the way."""
        return max(1.0, self.burst - 2.5 * self.rate)

    @property
    def usable_operating(self) -> float:
        """The part of the operating time that is used: a call is charged only when it ends."""
        return 0.97 * self.operating


@dataclass
class _Method:
    """The use of one method by one caller.

    Args:
        baskets: minute of the portal's clock to [when it expires, by our clock; seconds].
        heard: time of the portal's newest answer, by its own clock.
        pending: [when it is given up, commands] of requests under way.
        seconds: work of the counted answers.
        answers: number of the counted answers.
    """

    baskets: dict[str, list[float]] = field(default_factory=dict)
    heard: float = 0.0
    pending: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    answers: float = 0.0

    def expire(self, now: float) -> None:
        self.baskets = {minute: basket for minute, basket in self.baskets.items() if basket[0] > now}
        self.pending = [entry for entry in self.pending if entry[0] > now]

    @property
    def used(self) -> float:
        return sum(seconds for _, seconds in self.baskets.values())

    @property
    def cost(self) -> float:
        """Seconds that one more command is expected to take, on the safe side."""
        return (1.1 + 1 / (self.answers + 1)) * (self.seconds + _ASSUMED) / (self.answers + 1)

    def wait(self, now: float, commands: int, limit: float) -> float:
        """Return the seconds until so many commands fit, or 0."""
        self.expire(now)
        waiting = sum(count for _, count in self.pending)
        if self.used + (waiting + commands) * self.cost <= limit:
            return 0.0
        if not waiting and (not self.used or (self.used + self.cost <= limit < commands * self.cost)):
            return 0.0  # It never fits as a whole, or at all; it may be sent alone.
        if waiting and self.used + commands * self.cost <= limit:
            return 0.2  # Answers under way may change the count.
        return max(0.2, min((basket[0] for basket in self.baskets.values()), default=now + 1.0) - now)

    def answered(self) -> None:
        """Count one command as no longer under way."""
        if self.pending:
            self.pending[0][1] -= 1
            if self.pending[0][1] < 1:
                del self.pending[0]

    def learn(self, now: float, block: Mapping[str, Any]) -> None:
        """Adopt the portal's own count."""
        operating, finish = float(block["operating"]), float(block.get("finish", 0.0))
        first = not self.heard
        self.expire(now)
        if finish < self.heard:
            return
        self.heard = finish or now
        if not first:
            self.answers += 1
            self.seconds += max(0.0, operating - self.used)
            if self.answers > _SLICE:
                self.answers, self.seconds = self.answers / 2, self.seconds / 2
        oldest = now + max(1.0, _seconds_left(block, finish) + 1.0)
        minute = str(int(self.heard // 60))
        more = operating - self.used
        if more > 0:
            # Earlier work of others is in the oldest basket, whose expiry the portal gives.
            basket = self.baskets.setdefault(minute, [oldest if first else now + WINDOW + 1.0, 0.0])
            basket[1] += more
        else:
            for basket in sorted(self.baskets.values()):
                part = min(basket[1], -more)
                basket[1] -= part
                more += part
        if self.baskets:
            eldest = min(self.baskets.values())
            eldest[0] = min(eldest[0], oldest)


def _seconds_left(block: Mapping[str, Any], finish: float) -> float:
    """Seconds until the oldest basket expires, by the portal's own clock: ours may differ."""
    reset = block.get("operating_reset_at")
    return min(WINDOW, float(reset) - finish) if isinstance(reset, (int, float)) and finish else WINDOW


class Limiter:
    """Lets requests through as fast as the portal allows, across processes.

    Args:
        address: the portal's host name.
        folder: where the state is kept, the same for all processes on this machine; None to keep it in this one.
        limits: what the portal allows.
        clock: monotonic seconds, the same for all processes.
        sleep: how to wait.
        on_wait: takes what is waited for in a longer wait, and an empty text when it is over.
    """

    def __init__(
        self,
        address: str,
        folder: Path | None,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.limits = limits or Limits()
        self.refusals = 0
        """How often the portal refused a request for its limits; meant to stay 0."""
        self.waited = 0.0
        """Seconds that requests of this process waited."""
        self._path = folder and folder / f"limiter-{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"
        self._own = self._read("")
        self._clock = clock
        self._sleep = sleep
        self._address, self._on_wait = address, on_wait
        self._boot = _boot()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    async def take(self, method_counts: Mapping[str, int]) -> None:
        """Wait until one request with these commands fits, and count it.

        Args:
            method_counts: number of commands by method.
        """
        await self.room(method_counts)
        await self.turn()

    async def room(self, method_counts: Mapping[str, int]) -> None:
        """Wait until there is operating time for these commands, and reserve it."""
        since, reported = time.time(), False
        while self.limits.operating:
            with self._state() as state:
                pause = self._reserve(state, self._clock(), method_counts)
            if not pause:
                if reported:
                    self._on_wait("")
                return
            self.waited += pause
            if pause > _MOMENT:
                reported = True
                self._on_wait(waiting_for(f"operating time of {self._address}", "", since, time.time() + pause))
            await self._sleep(min(pause, 60.0))

    async def turn(self) -> None:
        """Wait until a request fits into the bucket, right before it is sent."""
        with self._state() as state:
            bucket = self._bucket(state)
            delay = bucket.reserve(self._clock())
            state["bucket"] = [bucket.level, bucket.at]
        if not delay:
            return
        self.waited += delay
        try:
            await self._sleep(delay)
        except asyncio.CancelledError:
            with self._state() as state:
                bucket = self._bucket(state)
                bucket.give_back()
                state["bucket"] = [bucket.level, bucket.at]
            raise

    def spent(self, method: str, time_block: Mapping[str, Any]) -> None:
        """Learn from the ``time`` of an answer (``operating``, ``operating_reset_at``, ``finish``).

        Args:
            method: as in ``take``.
            time_block: the answer's, or the command's within a batch; empty where an error had none.
        """
        self.learned([(method, time_block)])

    def learned(self, times: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Learn from several answers at once, as ``spent`` does from one."""
        if not self.limits.operating:
            return
        with self._state() as state:
            for method, block in times:
                known = self._method(state, method)
                known.answered()
                if "operating" in block:
                    known.learn(self._clock(), block)
                state["methods"][method] = vars(known)

    def refused(self, method: str = "", time_block: Mapping[str, Any] | None = None) -> None:
        """Note that the portal refused a request for its limits: other callers share them.

        Args:
            method: the one whose operating time is used up; without it the bucket was full.
            time_block: the refusal's ``time``, if any.
        """
        self.refusals += 1
        with self._state() as state:
            now = self._clock()
            if not method:
                bucket = self._bucket(state)
                bucket.fill(now)
                state["bucket"] = [bucket.level, bucket.at]
                return
            known = self._method(state, method)
            if time_block and "operating" in time_block:
                known.learn(now, time_block)
            else:
                missing = self.limits.operating - known.used
                if missing > 0:
                    known.baskets["refused"] = [now + 60.0, missing]
            state["methods"][method] = vars(known)

    def _reserve(self, state: dict[str, Any], now: float, method_counts: Mapping[str, int]) -> float:
        """Reserve operating time, or return the seconds after which to ask again."""
        known = {name: self._method(state, name) for name in method_counts}
        limit = self.limits.usable_operating
        pause = max((known[name].wait(now, n, limit) for name, n in method_counts.items()), default=0.0)
        if not pause:
            for name, count in method_counts.items():
                known[name].pending.append([now + _FORGET, float(count)])
                state["methods"][name] = vars(known[name])
        return pause

    def _bucket(self, state: dict[str, Any]) -> LeakyBucket:
        return LeakyBucket(self.limits.rate, self.limits.usable_burst, *state["bucket"])

    @staticmethod
    def _method(state: dict[str, Any], name: str) -> _Method:
        return _Method(**state["methods"].get(name, {}))

    @contextlib.contextmanager
    def _state(self) -> Iterator[dict[str, Any]]:
        if self._path is None:
            yield self._own
            return
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            state = self._read(stream.read())
            yield state
            state["boot"] = self._boot
            text = json.dumps(state)
            stream.seek(0)
            stream.write(text)
            stream.truncate()

    def _read(self, text: str) -> dict[str, Any]:
        if not text:
            return {"bucket": [0.0, None], "methods": {}}
        try:
            state: dict[str, Any] = json.loads(text)
            if state["boot"] == self._boot:
                return state
        except (ValueError, KeyError, TypeError):
            pass
        # The machine was restarted, or a process was killed while writing: assume the worst.
        return {"bucket": [self.limits.usable_burst, self._clock()], "methods": {}}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
