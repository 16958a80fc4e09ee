"""Sends notices of gates and failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from encaja.notices import Notice, compose, send
from encaja.runbook.book.model import Step
from encaja.runbook.record.journal import Fault, GateState, Pass
from encaja.runbook.record.workspace import Move

Sender = Callable[[Notice, Sequence[str]], list[str]]


class TeamNotifier:
    """Sends a gate's notice to the team's addresses of the run-book (`move: {announce: {team: […]}}`)."""

    def __init__(self, sender: Sender = send) -> None:
        self._send = sender

    def notify_gate(
        self, move: Move, pass_: Pass, step: Step, state: GateState, expires: datetime | None
    ) -> Sequence[str]:
        """Sends the notice; returns what the journal should say about it."""
        if not move.runbook.settings.announce.team or state is not GateState.WAITING:
            return []
        return self._deliver(move, compose_for(move, pass_, step, expires))

    def notify_failure(self, move: Move, pass_: Pass, step: Step, fault: Fault) -> Sequence[str]:
        """Sends what failed and what to do about it; returns what the journal should say about it."""
        if not move.runbook.settings.announce.team:
            return []
        values = {**_values(move, pass_, step), "what": fault.what, "hint": fault.hint}
        return self._deliver(move, compose("failed", move.runbook.settings.language, values))

    def _deliver(self, move: Move, notice: Notice) -> list[str]:
        addresses = move.runbook.settings.announce.team
        failed = self._send(notice, addresses)
        delivered = len(addresses) - len(failed)
        lines = [f'sent to {delivered} of {len(addresses)} addresses: "{notice.subject}"'] if delivered else []
        return lines + [f"not delivered: {line}" for line in failed]


def _values(move: Move, pass_: Pass, step: Step) -> dict[str, str]:
    settings = move.runbook.settings
    values = {
        "move": move.title,
        "step": step.id,
        "title": step.title.get(settings.language),
        "owner": str(step.owner),
        "pass_name": pass_.name,
    }
    if settings.addresses:
        values["portal"] = settings.addresses[0].url
    return values


def compose_for(move: Move, pass_: Pass, step: Step, expires: datetime | None) -> Notice:
    """The notice of a step's gate in the move's language: the step's own, or the general one."""
    return compose(step.notice or "gate", move.runbook.settings.language, _values(move, pass_, step), until=expires)
