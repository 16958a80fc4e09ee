"""One call, folded from channel events.

Folding takes the earliest of times and the union of sets, so neither the order nor the repetition of events matters,
and the two ways in which they arrive (see the package) need no reconciliation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from encaja.telephony.events import Event

Direction = Literal["in", "out", "internal", "unknown"]


@dataclass
class Leg:
    """One channel of a call.

    Args:
        endpoint: the telephone or trunk.
        started: when it was created; None where that was not seen.
        number: the caller's number at that time.
        exten: what it dialled; ``exten_time`` is when that was seen.
        ended: when it ended.
        cause: why it was hung up (ITU-T Q.850).
        dial_status: how its last Dial ended.
        joined: when it joined each conversation, by the conversation's ID.
    """

    endpoint: str = ""
    started: float | None = None
    number: str = ""
    exten: str = ""
    exten_time: float | None = None
    ended: float | None = None
    cause: int = 0
    dial_status: str = ""
    joined: dict[str, float] = field(default_factory=dict)


@dataclass
class Call:
    """One call with all its channels.

    Args:
        linked: its ID: the unique ID of its first channel.
        legs: its channels by unique ID.
        closed: when Asterisk had finished with it.
        last_event: time of the last event seen.
    """

    linked: str
    legs: dict[str, Leg] = field(default_factory=dict)
    closed: float | None = None
    last_event: float = 0.0

    def fold(self, event: Event) -> None:
        """Add one event of this call."""
        self.last_event = max(self.last_event, event.time)
        if event.kind == "LINKEDID_END":
            self.closed = _earlier(self.closed, event.time)
            return
        leg = self.legs.setdefault(event.channel, Leg())
        leg.endpoint = leg.endpoint or event.endpoint
        if event.exten not in ("", "s") and (leg.exten_time is None or event.time < leg.exten_time):
            leg.exten, leg.exten_time = event.exten, event.time
        if event.kind == "CHAN_START":
            if leg.started is None or event.time < leg.started:
                leg.number = event.number or leg.number
            leg.started = _earlier(leg.started, event.time)
        elif event.kind == "BRIDGE_ENTER" and event.bridge:
            leg.joined[event.bridge] = _earlier(leg.joined.get(event.bridge), event.time)
        elif event.kind == "HANGUP":
            leg.cause = leg.cause or event.cause
            leg.dial_status = leg.dial_status or event.dial_status
        elif event.kind == "CHAN_END":
            leg.ended = _earlier(leg.ended, event.time)

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Call:
        """Return the call that :meth:`to_json` described."""
        legs = {channel: Leg(**leg) for channel, leg in data["legs"].items()}
        return cls(data["linked"], legs, data["closed"], data["last_event"])


@dataclass(frozen=True)
class Summary:
    """A call as the portal sees it.

    Args:
        direction: from outside, to outside, inside the company, or not known (yet).
        started: when it began, in seconds since 1970.
        number: the customer's number.
        line: the company's number that was called; empty for calls to outside.
        rung: users whose telephones rang, in that order.
        caller: the user who calls outside.
        answered: when the customer and an agent were first connected; None for a missed call.
        speaker: the user who spoke with the customer last.
        ended: when the customer had hung up; None while the call lasts.
        status: code of the outcome as the portal knows it (``STATUS_CODE`` of ``telephony.externalCall.finish``).
    """

    direction: Direction
    started: float
    number: str
    line: str
    rung: tuple[int, ...]
    caller: int | None
    answered: float | None
    speaker: int | None
    ended: float | None
    status: str

    @property
    def duration(self) -> int:
        """Length of the conversation in whole seconds; at least 1 when there was one."""
        if self.answered is None or self.ended is None:
            return 0
        return max(1, round(self.ended - self.answered))


def summarise(call: Call, agents: dict[str, int], trunks: frozenset[str]) -> Summary:
    """Interpret the channels of a call, given the telephones (with their users) and the trunks."""
    origin = call.legs.get(call.linked, Leg())
    outside = [leg for leg in call.legs.values() if leg.endpoint in trunks]
    direction = _direction(origin, outside, agents, trunks, call.closed is not None)
    if direction == "in":
        outside = [origin]
    talks = _talks(call, outside, agents)
    answered = min((since for since, _ in talks), default=None)
    ended = _ended(call, direction, outside, answered)
    rung = sorted(
        (leg.started, agents[leg.endpoint])
        for leg in call.legs.values()
        if leg is not origin and leg.started is not None and leg.endpoint in agents
    )
    return Summary(
        direction=direction,
        started=origin.started or 0.0,
        number=origin.number if direction == "in" else origin.exten,
        line=origin.exten if direction == "in" else "",
        rung=tuple(dict.fromkeys(user for _, user in rung)),
        caller=agents.get(origin.endpoint),
        answered=answered,
        speaker=max(talks)[1] if talks else None,
        ended=ended,
        status=_status(direction, answered, origin, outside),
    )


def _direction(
    origin: Leg, outside: list[Leg], agents: dict[str, int], trunks: frozenset[str], is_closed: bool
) -> Direction:
    if origin.started is None:
        return "unknown"
    if origin.endpoint in trunks:
        return "in"
    if origin.endpoint in agents and outside:
        return "out"
    return "internal" if is_closed else "unknown"


def _talks(call: Call, outside: list[Leg], agents: dict[str, int]) -> list[tuple[float, int]]:
    """When the customer and an agent were connected, with the agent's user."""
    talks = []
    for leg in call.legs.values():
        if leg.endpoint in agents:
            for other in outside:
                for bridge in leg.joined.keys() & other.joined.keys():
                    talks.append((max(leg.joined[bridge], other.joined[bridge]), agents[leg.endpoint]))
    return talks


def _ended(call: Call, direction: Direction, outside: list[Leg], answered: float | None) -> float | None:
    """When the customer had hung up.

    An unanswered call to outside may still try another trunk: it lasts until Asterisk has finished with it.
    """
    gone = [leg.ended for leg in outside]
    times = [moment for moment in gone if moment is not None]
    if outside and len(times) == len(gone) and (direction == "in" or answered is not None):
        return max(times)
    return call.closed


def _status(direction: Direction, answered: float | None, origin: Leg, outside: list[Leg]) -> str:
    """The outcome. A call that no agent answered is missed, whatever the hangup cause."""
    if answered is not None:
        return "200"
    if direction != "out":
        return "304"
    causes = {leg.cause for leg in outside}
    if 1 in causes or 28 in causes:
        return "404"
    if 21 in causes:
        return "603"
    by_status = {"BUSY": "486", "NOANSWER": "480", "CANCEL": "603-S", "CONGESTION": "503", "CHANUNAVAIL": "503"}
    return by_status.get(origin.dial_status, "486" if 17 in causes else "603-S")


def _earlier(known: float | None, seen: float) -> float:
    return seen if known is None else min(known, seen)
