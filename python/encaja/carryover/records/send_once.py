"""Sending once: a record is marked before it is sent, and looked up where the outcome is not known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from encaja.carryover.context import Context
from encaja.carryover.mapping.identity_map import State
from encaja.carryover.source.reader import Record
from encaja.rest.command import Answer, Command, UncertainError
from encaja.rest.errors import RefusedError
from encaja.status import waiting_for


async def send_once(context: Context, record: Record, command: Command) -> Answer | None:
    """Send a command that adds a record; None where it did not arrive, or may not have, with the fault noted."""
    context.map.sending(record.entity, [(record.id, record.modified.isoformat())])
    try:
        return await context.box.call(command.method, command.parameters, safe=False)
    except RefusedError as fault:
        context.map.unsent(record.entity, [record.id])
        context.note_fault(record, f"the box refuses it: {fault.what}", "it is retried")
    except UncertainError:
        context.note_fault(
            record, "the connection was lost while it was sent", "it is looked up before it is sent again"
        )
    return None


async def resolve_unconfirmed(context: Context, entity: str, adopt: Callable[[list[str]], Awaitable[object]]) -> None:
    """Look up records that were being sent when a connection or a process ended.

    It is repeated until all are found, or until the box can no longer be working on them.

    Args:
        context: the carry-over.
        entity: their kind.
        adopt: looks for records in the box, and links those that it finds.
    """
    while waiting := list(context.map.links(entity, State.SENDING)):
        names = [link.cloud for link in waiting]
        await adopt(names)
        latest = max((link.sent for link in context.map.links(entity, State.SENDING)), default=0.0)
        end = latest + context.settings.patience
        what = f"{len(names)} records whose connection was lost while they were sent"
        context.box.on_wait(waiting_for(what, "", latest, end) if latest else "")
        if end < time.time():
            context.map.unsent(entity, names)
            context.box.on_wait("")
            return
        await asyncio.sleep(0.25)
