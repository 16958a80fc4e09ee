"""The outcome of a test call, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One thing that is expected of a call.

    Args:
        name: what is expected.
        passed: True, False, or None while it may still come.
        detail: what was found, or what to do where nothing was.
    """

    name: str
    passed: bool | None
    detail: str


def evaluate(call: Mapping[str, Any], *, recorded: bool) -> list[Step]:
    """The state of each step of a call.

    Args:
        call: as :func:`encaja.telephony.calls.describe` gives it, with the portal's record (``portal``).
        recorded: whether calls are recorded.
    """
    is_over = bool(call["ended"])
    record = call.get("portal") or {}
    arrived = Step("the exchange received it", True, f"from {call['number']} to {call['line'] or 'outside'}")
    registered = Step(
        "the portal registered it",
        True if call["call_id"] else None,
        f"{call['call_id']}, {call['entity'] or 'no record'}{' (new)' if call['created'] else ''}"
        if call["call_id"]
        else call["error"] or "not yet",
    )
    shown = Step(
        "the agent saw its card",
        bool(call["shown"]) or (False if is_over else None),
        f"users {', '.join(map(str, call['shown']))}" if call["shown"] else "no telephone rang; see telephony_lines",
    )
    answered = Step(
        "an agent answered",
        bool(call["answered"]) or (False if is_over else None),
        f"user {call['user']}" if call["answered"] else "no agent answered",
    )
    finished = Step(
        "the portal finished it",
        True if call["finished"] else None,
        f"status {call['status']}, {call['duration']} s, activity {call['activity'] or 'none'}"
        if call["finished"]
        else call["error"] or "not yet",
    )
    agrees = str(record.get("CALL_DURATION")) == str(call["duration"])
    statistics = Step(
        "the portal's statistics agree",
        (agrees if record else None) if call["finished"] else None,
        f"{record.get('CALL_DURATION')} s, code {record.get('CALL_FAILED_CODE')}" if record else "not listed",
    )
    steps = [arrived, registered, shown, answered, finished, statistics]
    if recorded:
        word = str(call["recorded"])
        has_file = bool(word) and not word.startswith("none")
        steps.append(
            Step(
                "the recording is attached",
                has_file if word else None,
                f"file {word}" if has_file else word or "not yet",
            )
        )
    return steps


def is_settled(steps: list[Step]) -> bool:
    """Whether every step has its final state."""
    return all(step.passed is not None for step in steps)
