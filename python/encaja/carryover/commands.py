"""The host tools ``carry-over-…``: what systemd starts on the host of the box.

Each reports to ``STATE/NAME.json`` (``encaja.status``), with its document under ``result`` at the end. Any of them can
be killed at any time and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from encaja.carryover import test_data
from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.merge import decide_all
from encaja.carryover.prepare import prepare
from encaja.carryover.reconcile import reconcile
from encaja.carryover.rounds import open_application, open_carry_over, open_portals
from encaja.carryover.settings import Settings, read_settings
from encaja.errors import EncajaError
from encaja.rest.errors import UnreachableError
from encaja.status import Status

Body = Callable[[Settings, Status], Awaitable[dict[str, Any] | None]]


def once(file: Path) -> int:
    """Carry everything over, and reconcile; 0 also where differences were found."""
    return _run(file, "once", _once)


def follow(file: Path) -> int:
    """Carry over continuously, until stopped."""
    return _run(file, "follow", _follow)


def preview(file: Path) -> int:
    """List what would be carried over; write nothing."""
    return _run(file, "preview", _preview)


def prepare_cloud(file: Path) -> int:
    """Before the backup is ordered: check that the cloud can be read, and note the start time."""
    return _run(file, "prepare", _prepare)


def reconcile_both(file: Path) -> int:
    """Compare both sides."""
    return _run(file, "reconcile", _reconcile)


def decide_conflicts(file: Path) -> int:
    """Note the decisions of ``STATE/decisions.json`` about open conflicts, and list those still open."""
    return _run(file, "decide", _decide)


def forget_tests(file: Path) -> int:
    """Delete the box's records that are marked as test data."""
    return _run(file, "forget-tests", _forget)


def tag_tests(file: Path) -> int:
    """Mark the records that ``STATE/tag.json`` names as test data."""
    return _run(file, "tag-tests", _tag)


async def _once(settings: Settings, status: Status) -> dict[str, Any]:
    began = time.monotonic()
    status.begin("carrying over")
    async with open_carry_over(settings, on_wait=status.wait_for) as carry_over:

        def say(_: str) -> None:
            status.message = carry_over.line()
            status.advance(carry_over.context.tally.total)

        await carry_over.drain(say)
        status.begin("comparing", message=carry_over.line())
        proof = await reconcile(carry_over.context, carry_over.notes, thorough=False)
        proof["freeze_seconds"] = round(time.monotonic() - began, 1)
        carry_over.map.remember("freeze_seconds", proof["freeze_seconds"])
        return proof


async def _follow(settings: Settings, status: Status) -> None:
    status.begin("following")
    async with open_carry_over(settings, on_wait=status.wait_for) as carry_over:
        while True:
            began = time.monotonic()
            try:
                await carry_over.round()
                status.error = None
            except UnreachableError as fault:
                status.error = str(fault)
            status.message = carry_over.line()
            status.extra["behind"] = round(carry_over.behind, 1)
            status.extra["stragglers"] = len(carry_over.map.stragglers())
            status.advance(carry_over.context.tally.total)
            await asyncio.sleep(max(0.0, settings.interval - (time.monotonic() - began)))


async def _preview(settings: Settings, status: Status) -> dict[str, Any]:
    status.begin("previewing")
    async with open_carry_over(settings, dry_run=True, on_wait=status.wait_for) as carry_over:
        await carry_over.round()
        tally = carry_over.context.tally
        return {
            "kind": "carry-over-preview",
            "new": tally.new,
            "changed": tally.changed,
            "deleted": tally.deleted,
            "records": carry_over.context.preview,
            "users_without": carry_over.context.translation.users_without,
            "fields_without": carry_over.context.translation.fields_without,
            "notes": carry_over.notes,
        }


async def _prepare(settings: Settings, status: Status) -> dict[str, Any]:
    status.begin("preparing")
    cloud, box = open_portals(settings, status.wait_for)
    async with cloud, box, open_application(settings, status.wait_for) as application:
        return await prepare(settings, cloud, application)


async def _reconcile(settings: Settings, status: Status) -> dict[str, Any]:
    status.begin("comparing")
    async with open_carry_over(settings, reader=True, on_wait=status.wait_for) as carry_over:
        return await reconcile(carry_over.context, carry_over.notes)


async def _decide(settings: Settings, status: Status) -> dict[str, Any]:
    status.begin("deciding")
    answers = json.loads((settings.state / "decisions.json").read_text())
    with IdentityMap.for_answers(settings.state) as identities:
        return decide_all(identities, answers)


async def _forget(settings: Settings, status: Status) -> dict[str, Any]:
    status.begin("removing test data")
    cloud, box = open_portals(settings, status.wait_for)
    async with cloud, box:
        return await test_data.forget(box)


async def _tag(settings: Settings, status: Status) -> dict[str, Any]:
    status.begin("marking test data")
    named = json.loads((settings.state / "tag.json").read_text())
    cloud, box = open_portals(settings, status.wait_for)
    async with cloud, box:
        return await test_data.tag(box, [(str(item["entity"]), int(item["id"])) for item in named])


def _run(file: Path, name: str, body: Body) -> int:
    settings = read_settings(file)
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = Status(settings.state / f"{name}.json", unit="records", extra={"changed": name != "preview"})
    try:
        result, stopped = asyncio.run(_stoppable(body(settings, status)))
    except EncajaError as fault:
        return _failed(status, str(fault), fault.exit_code)
    except BaseExceptionGroup as group:
        first = group.exceptions[0]
        code = first.exit_code if isinstance(first, EncajaError) else 1
        return _failed(status, str(first) or type(first).__name__, code)
    except Exception as fault:
        _failed(status, f"{type(fault).__name__}: {fault}", 1)
        raise
    if stopped and name != "follow":  # without an entry: only a complete run reports that it is done
        print("stopped; run it again to continue", file=sys.stderr)
        return 128 + signal.SIGTERM
    if result is not None:
        status.extra["result"] = result
    status.extra["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    status.finish(status.message)
    return 0


def _failed(status: Status, text: str, code: int) -> int:
    with contextlib.suppress(OSError):  # the disk itself may be the problem
        status.fail(text)
    print(text, file=sys.stderr)
    return code


async def _stoppable(body: Awaitable[dict[str, Any] | None]) -> tuple[dict[str, Any] | None, bool]:
    """Run to the end, or until systemd stops it, which the second value says; nothing is lost by that."""
    task = asyncio.ensure_future(body)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await task, False
    return None, True
