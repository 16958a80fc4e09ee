"""Calls as Asterisk sent their events over its manager interface, and databases of channel events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from encaja.telephony import events
from encaja.telephony.events import Event

STREAMS = Path(__file__).parent / "streams"
CUSTOMER = "+34600111222"


def messages(name: str) -> list[dict[str, str]]:
    """Return what Asterisk 22.10 sent over its manager interface during a call placed by tests/lab/sip."""
    blocks = (STREAMS / f"{name}.txt").read_text().strip().split("\n\n")
    return [dict(line.partition(":")[::2] for line in block.splitlines()) for block in blocks]


def stream(name: str) -> list[Event]:
    """Return the events of a recorded call."""
    found = []
    for message in messages(name):
        event = events.from_manager({key: value.removeprefix(" ") for key, value in message.items()})
        assert event is not None
        found.append(event)
    return found


def relabel(stream_of: list[Event], tag: str, shift: float = 0.0) -> list[Event]:
    """Return the same course of events as another call, ``shift`` seconds later."""
    return [
        replace(
            event,
            time=event.time + shift,
            channel=f"{event.channel}{tag}",
            linked=f"{event.linked}{tag}",
            bridge=event.bridge and f"{event.bridge}{tag}",
        )
        for event in stream_of
    ]
