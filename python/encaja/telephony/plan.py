"""The next step in reporting a call: a pure function of the call and of its report so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from encaja.telephony.call import Summary
from encaja.telephony.spool import Report

Step = Literal["register", "show", "hide", "finish", "record", "close", "wait"]

CARD_SECONDS = 120.0  # after which a card is no longer shown


@dataclass(frozen=True)
class Action:
    """The next step.

    Args:
        step: what to do; ``wait`` for more events, ``close`` when nothing is left to report.
        users: the users concerned.
        reason: for ``close``: why.
    """

    step: Step
    users: tuple[int, ...] = ()
    reason: str = ""


def next_action(summary: Summary, report: Report, default_user: int, *, has_recordings: bool, now: float) -> Action:
    """The next step.

    Args:
        summary: the call.
        report: what was reported so far.
        default_user: the user of unanswered calls.
        has_recordings: whether conversations are recorded.
        now: seconds since 1970.
    """
    is_over = summary.ended is not None
    if reason := _unreported(summary):
        return Action("close", reason=reason) if is_over else Action("wait")
    if not report.call_id:
        return Action("register", (owner(summary, default_user),))
    if report.finished is None:
        return Action("finish", (owner(summary, default_user),)) if is_over else _cards(summary, report, now)
    if has_recordings and summary.answered is not None and not report.recorded:
        return Action("record")
    return Action("close", reason="reported")


def _unreported(summary: Summary) -> str:
    """Why a call is not reported (yet); empty where it is."""
    if summary.direction == "unknown":
        return "its beginning was not seen"
    if summary.direction == "internal":
        return "inside the company"
    if not any(character.isdigit() for character in summary.number):
        return "the number is withheld"
    return ""


def owner(summary: Summary, default_user: int) -> int:
    """The user that a call belongs to.

    The one who spoke last; else the caller; else the only one whose telephone rang; else the default user.
    """
    if summary.speaker is not None:
        return summary.speaker
    if summary.direction == "out" and summary.caller is not None:
        return summary.caller
    return summary.rung[0] if len(summary.rung) == 1 else default_user


def _cards(summary: Summary, report: Report, now: float) -> Action:
    """Show the card where telephones ring, and hide it from those who did not answer."""
    concerned = summary.rung if summary.direction == "in" else (summary.caller,)
    wanted = tuple(user for user in concerned if user is not None)
    if summary.answered is not None:
        wanted = tuple(user for user in wanted if user == summary.speaker)
        gone = tuple(user for user in report.shown if user != summary.speaker and user not in report.hidden)
        if gone:
            return Action("hide", gone)
    missing = tuple(user for user in wanted if user not in report.shown)
    if missing and now - summary.started < CARD_SECONDS:
        return Action("show", missing)
    return Action("wait")
