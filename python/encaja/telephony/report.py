"""Reports calls to the portal step by step, each step exactly once.

Sources: apidocs.bitrix24.com, api-reference/telephony. ``register`` returns the same ``CALL_ID`` for the same
``EXTERNAL_CALL_ID`` within 30 minutes, so it may be repeated for that long; ``finish`` knows a call only until it has
been finished; ``attachRecord`` replaces the recording. ``voximplant.statistic.get`` lists finished calls, and is called
wherever it is not certain what the portal has done. Known problem: two calls between the same numbers may get the same
``CALL_ID`` (bitrix-tools/b24-rest-docs #175); then the second one waits until the first is finished.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from encaja.telephony import recording
from encaja.telephony.call import Summary, summarise
from encaja.telephony.plan import Action, next_action
from encaja.telephony.rest import RefusalError, TelephonyRest, UnreachableError
from encaja.telephony.settings import Settings
from encaja.telephony.spool import Entry, Spool

log = logging.getLogger("encaja.telephony")

REPEAT_SECONDS = 25 * 60  # within which a repeated registration returns the same call, with a margin
RECORD_SECONDS = 5 * 60  # after which a missing recording is given up
GIVE_UP_SECONDS = 7 * 86400
LONGEST_PAUSE = 60.0
LONGEST_REFUSAL = 6 * 3600.0
INLINE_BYTES = 8_000_000
TYPES = {"out": 1, "in": 2}

Lane = Literal["live", "recordings"]


@dataclass(frozen=True)
class Turn:
    """A call with its next step."""

    entry: Entry
    summary: Summary
    action: Action


class Reporter:
    """Reports calls to the portal.

    Recordings have a lane of their own, so that a long one does not delay a card.

    Args:
        settings: agents, trunks, recordings and portal.
        spool: the calls.
        portal: the portal.
        host: name of this exchange, part of a call's identity in the portal.
    """

    def __init__(self, settings: Settings, spool: Spool, portal: TelephonyRest, host: str = "") -> None:
        self._settings = settings
        self._spool = spool
        self._portal = portal
        self._host = host or socket.gethostname()
        self._wakes: dict[Lane, asyncio.Event] = {"live": asyncio.Event(), "recordings": asyncio.Event()}
        self._pauses = 0
        self._resume = 0.0
        self.trouble = ""

    def wake(self) -> None:
        """Check the calls again: there are new events."""
        for event in self._wakes.values():
            event.set()

    async def run(self, lane: Lane) -> None:
        """Work until cancelled."""
        while True:
            self._wakes[lane].clear()
            pause = await self.work(lane)
            try:
                async with asyncio.timeout(pause):
                    await self._wakes[lane].wait()
            except TimeoutError:
                continue

    async def work(self, lane: Lane) -> float:
        """Take all steps that are due, and return the seconds until the next check."""
        while time.time() >= self._resume:
            turn = self._next(lane)
            if turn is None:
                break
            await self._take(turn)
        now = time.time()
        if now < self._resume:
            return self._resume - now
        dues = [entry.report.not_before - now for entry in self._spool.open_entries() if entry.report.not_before > now]
        return max(0.05, min([LONGEST_PAUSE, *dues]))

    def _next(self, lane: Lane) -> Turn | None:
        """The next step: that of a call that lasts before that of one that is over."""
        later: Turn | None = None
        now = time.time()
        for entry in self._spool.open_entries():
            if entry.report.not_before > now:
                continue
            summary = summarise(entry.call, self._settings.agents, self._settings.trunks)
            action = next_action(
                summary,
                entry.report,
                self._settings.portal.default_user_id,
                has_recordings=self._settings.recordings is not None,
                now=now,
            )
            if action.step == "wait" or (action.step == "record") != (lane == "recordings"):
                continue
            turn = Turn(entry, summary, action)
            if summary.ended is None:
                return turn
            later = later or turn
        return later

    async def _take(self, turn: Turn) -> None:
        """Take the next step of one call, and store the outcome."""
        steps: dict[str, Callable[[Turn], Awaitable[None]]] = {
            "register": self._register,
            "show": self._show,
            "hide": self._hide,
            "finish": self._finish,
            "record": self._record,
            "close": self._close,
        }
        try:
            await steps[turn.action.step](turn)
        except RefusalError as refusal:
            self._refused(turn, refusal)
        except UnreachableError as fault:
            if not fault.may_have_happened:
                turn.entry.report.tried = ""
            self._pause(fault)
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as fault:
            # An unreadable recording or an undocumented answer concerns this call only.
            self._refused(turn, RefusalError("UNEXPECTED", f"{type(fault).__name__}: {fault}", turn.action.step))
        else:
            self._pauses = 0
            self.trouble = ""
        self._spool.save_report(turn.entry)
        self.wake()  # the next step may be the other lane's

    async def _write(self, entry: Entry, step: str, method: str, parameters: dict[str, Any]) -> Any:
        """Call a method that must not be carried out twice: the attempt is stored before it is made."""
        entry.report.tried = step
        self._spool.save_report(entry)
        try:
            result = await self._portal.call(method, parameters)
        except RefusalError:
            entry.report.tried = ""
            raise
        report = entry.report
        report.tried, report.attempts, report.error, report.not_before = "", 0, "", 0.0
        return result

    async def _register(self, turn: Turn) -> None:
        entry, summary = turn.entry, turn.summary
        report, external = entry.report, f"{self._host}-{entry.call.linked}"
        # A call that is over may have been finished already, before the spool was lost.
        is_late = summary.ended is not None or time.time() - summary.started > REPEAT_SECONDS
        if is_late and (row := await self._finished({"EXTERNAL_CALL_ID": external})):
            self._adopt(entry, row)
            return
        portal = self._settings.portal
        # The user is part of a call's identity in the portal: a repetition must name the same one.
        report.registered_for = report.registered_for or turn.action.users[0]
        parameters = {
            "USER_ID": report.registered_for,
            "PHONE_NUMBER": summary.number,
            "TYPE": TYPES[summary.direction],
            "CALL_START_DATE": datetime.fromtimestamp(summary.started, UTC).isoformat(timespec="seconds"),
            "CRM_CREATE": int(portal.create_lead),
            "CRM_SOURCE": portal.source,
            "SHOW": 0,
            "EXTERNAL_CALL_ID": external,
        }
        if summary.line:
            parameters["LINE_NUMBER"] = summary.line
        result = await self._for_user(entry, "register", "telephony.externalcall.register", parameters)
        call_id = str(result["CALL_ID"])
        holder = self._spool.owner_of(call_id)
        if holder not in (None, entry.call.linked):
            raise RefusalError("SAME_CALL_ID", f"the portal gives it the ID of call {holder}", "register")
        report.call_id, report.registered = call_id, time.time()
        kind, number = result.get("CRM_ENTITY_TYPE"), result.get("CRM_ENTITY_ID")
        report.entity = f"{kind} {number}" if kind and number else ""
        report.created = bool(result.get("CRM_CREATED_LEAD") or result.get("CRM_CREATED_ENTITIES"))
        log.info("call %s registered as %s %s", entry.call.linked, call_id, report.entity)

    async def _show(self, turn: Turn) -> None:
        await self._card(turn, "telephony.externalcall.show")
        turn.entry.report.shown += turn.action.users

    async def _hide(self, turn: Turn) -> None:
        await self._card(turn, "telephony.externalcall.hide")
        turn.entry.report.hidden += turn.action.users

    async def _card(self, turn: Turn, method: str) -> None:
        """Show or hide a card. A refusal is not repeated: the call goes on without it."""
        try:
            parameters = {"CALL_ID": turn.entry.report.call_id, "USER_ID": list(turn.action.users)}
            await self._portal.call(method, parameters)
        except RefusalError as refusal:
            log.warning("call %s: %s", turn.entry.call.linked, refusal)

    async def _finish(self, turn: Turn) -> None:
        entry, summary = turn.entry, turn.summary
        report = entry.report
        if report.tried == "finish" and (row := await self._finished({"CALL_ID": report.call_id})):
            self._adopt(entry, row)
            return
        parameters = {
            "CALL_ID": report.call_id,
            "USER_ID": turn.action.users[0],
            "DURATION": summary.duration,
            "STATUS_CODE": summary.status,
        }
        try:
            result = await self._for_user(entry, "finish", "telephony.externalcall.finish", parameters)
        except RefusalError as refusal:
            if "not found" not in refusal.description.lower() or "user" in refusal.description.lower():
                raise
            if row := await self._finished({"CALL_ID": report.call_id}):
                self._adopt(entry, row)
                return
            # The portal no longer knows the call: it expired, or another database was restored.
            report.call_id, report.registered, report.forgotten = "", None, report.forgotten + 1
            raise
        report.finished = time.time()
        report.activity = str(result.get("CRM_ACTIVITY_ID") or "") if isinstance(result, dict) else ""
        log.info("call %s finished: %s, %d s", entry.call.linked, summary.status, summary.duration)

    async def _record(self, turn: Turn) -> None:
        entry, summary = turn.entry, turn.summary
        report, now = entry.report, time.time()
        folder = self._settings.recordings
        if folder is None or summary.ended is None:
            return
        path = recording.path_of(folder, entry.call.linked)
        try:
            data = await asyncio.to_thread(recording.read, path, now)
        except FileNotFoundError:
            if now - summary.ended < RECORD_SECONDS:
                report.not_before = now + 2
            else:
                report.recorded = "none: the file is missing"
                log.warning("call %s: no recording at %s", entry.call.linked, path)
            return
        if data is None:
            report.not_before = now + 1
        elif not data:
            report.recorded = "none: it is empty"
        else:
            report.recorded = await self._attach(report.call_id, path.name, data)
            log.info("call %s: recording of %d bytes attached", entry.call.linked, len(data))

    async def _attach(self, call_id: str, name: str, data: bytes) -> str:
        """Attach a recording and return its file's ID; a long one is sent to an address that the portal gives."""
        method, parameters = "telephony.externalCall.attachRecord", {"CALL_ID": call_id, "FILENAME": name}
        result: Any = {}
        if len(data) > INLINE_BYTES:
            result = await self._portal.call(method, parameters)
        if address := result.get("uploadUrl"):
            result = await self._portal.upload(address, result.get("fieldName", "file"), name, data)
        else:
            content = base64.b64encode(data).decode()
            result = await self._portal.call(method, {**parameters, "FILE_CONTENT": content})
        return str(result.get("FILE_ID") or "attached")

    async def _close(self, turn: Turn) -> None:
        turn.entry.report.outcome = turn.action.reason
        log.info("call %s done: %s", turn.entry.call.linked, turn.action.reason)

    async def _for_user(self, entry: Entry, step: str, method: str, parameters: dict[str, Any]) -> Any:
        """Write for a user, or for the default user where the portal no longer knows the first one."""
        try:
            return await self._write(entry, step, method, parameters)
        except RefusalError as refusal:
            default = self._settings.portal.default_user_id
            text = refusal.description.lower()
            if not text.startswith(("user is not", "user_id or")) or parameters["USER_ID"] == default:
                raise
            log.warning("user %s is not active in the portal; using %s", parameters["USER_ID"], default)
        return await self._write(entry, step, method, {**parameters, "USER_ID": default})

    async def _finished(self, wanted: dict[str, str]) -> dict[str, Any] | None:
        """The portal's record of a finished call, or None where there is none or the portal refuses."""
        try:
            rows = await self._portal.call(
                "voximplant.statistic.get", {"FILTER": wanted, "SORT": "ID", "ORDER": "DESC"}
            )
        except RefusalError as refusal:
            log.warning("the portal does not list finished calls: %s", refusal)
            return None
        return next((row for row in rows if all(str(row.get(key)) == value for key, value in wanted.items())), None)

    def _adopt(self, entry: Entry, row: dict[str, Any]) -> None:
        """Adopt the portal's record of a finished call."""
        report = entry.report
        report.call_id, report.finished, report.tried = str(row["CALL_ID"]), time.time(), ""
        report.activity = str(row.get("CRM_ACTIVITY_ID") or "")
        report.recorded = report.recorded or str(row.get("RECORD_FILE_ID") or "")
        log.info("call %s was finished already as %s", entry.call.linked, report.call_id)

    def _refused(self, turn: Turn, refusal: RefusalError) -> None:
        report, now = turn.entry.report, time.time()
        report.attempts += 1
        report.error = str(refusal)
        report.not_before = now + min(LONGEST_REFUSAL, 2.0 * 3 ** (max(report.attempts, report.forgotten) - 1))
        if now - turn.summary.started > GIVE_UP_SECONDS:
            report.outcome = f"given up: {refusal}"
        log.warning("call %s, attempt %d: %s", turn.entry.call.linked, report.attempts, refusal)

    def _pause(self, fault: UnreachableError) -> None:
        """Make all calls wait, since the portal is unreachable."""
        self._pauses += 1
        pause = min(LONGEST_PAUSE, 2.0 ** (self._pauses - 1)) * random.uniform(0.8, 1.2)  # noqa: S311 - spread only
        self._resume = time.time() + pause
        if str(fault) != self.trouble:
            log.warning("%s", fault)
        self.trouble = str(fault)
