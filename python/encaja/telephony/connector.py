"""The connector: receives Asterisk's events, stores them, and reports calls to the portal.

It can be killed at any time without loss: events that it missed are in Asterisk's database, which is read from where it
stopped, at every start and twice a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import signal
import sqlite3
import sys
import time
from pathlib import Path

from encaja.errors import ConfigurationError
from encaja.status import Status, waiting_for
from encaja.telephony import events
from encaja.telephony.ami import ManagerClient, ManagerError
from encaja.telephony.report import Reporter
from encaja.telephony.rest import TelephonyRest
from encaja.telephony.settings import Settings, read_settings
from encaja.telephony.spool import Spool

log = logging.getLogger("encaja.telephony")

LOOK_SECONDS = 30.0
FIRST_LOOK_SECONDS = 86400.0
LOST_SECONDS = 15.0
STATUS_SECONDS = 5.0
LONGEST_PAUSE = 30.0
CHUNK = 1000


class Connector:
    """One exchange, one portal.

    Args:
        settings: its settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spool = Spool(settings.state / "calls.db")
        self._portal = TelephonyRest(settings.portal, settings.state)
        self._reporter = Reporter(settings, self._spool, self._portal)
        self._status = Status(settings.state / "status.json", unit="calls")
        self._phase = "starting"
        self._message = "connecting to Asterisk"
        self._swept = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._reporter.run("live"))
                group.create_task(self._reporter.run("recordings"))
                group.create_task(self._report_status())
        finally:
            self._set("stopped", "not running")
            await self._portal.close()
            self._spool.close()

    async def _listen(self) -> None:
        pause, reported, since = 1.0, "", time.time()
        while True:
            client = ManagerClient(self._settings.ami)
            watch: asyncio.Task[None] | None = None
            try:
                await client.connect()
                # Events queue up from here on; earlier ones are in Asterisk's database.
                self.catch_up()
                watch = asyncio.create_task(self._watch(client))
                self._set("listening", "receives Asterisk's events")
                pause, reported = 1.0, ""
                async for message in client.events():
                    self._take(message)
            except ManagerError as fault:
                if self._phase != "deaf":
                    since = time.time()
                if reported != str(fault):
                    log.warning("%s", fault)
                reported = str(fault)
                self._set("deaf", waiting_for("Asterisk", reported, since, None))
            finally:
                if watch:
                    watch.cancel()
                await client.close()
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _take(self, message: dict[str, str]) -> None:
        try:
            event = events.from_manager(message)
        except (KeyError, ValueError) as fault:
            log.warning("channel event not understood (%s): %s", fault, message.get("EventName"))
            return
        if event and self._spool.fold([event]):
            self._reporter.wake()

    async def _watch(self, client: ManagerClient) -> None:
        """Look regularly for missed events, lost calls, and old data to remove."""
        try:
            while True:
                await self._close_lost(client)
                self._sweep()
                await asyncio.sleep(LOOK_SECONDS)
                self.catch_up()
        except ManagerError:
            await client.close()

    def catch_up(self) -> None:
        """Add the events of Asterisk's database that are not known yet.

        Of a database that was never read, or that was recreated, only the last day is read; what was reported before is
        found in the portal (see :mod:`report`).
        """
        path = self._settings.cel_database
        try:
            known = self._spool.position("cel")
            last = events.last_row(path)
            is_new = known is None or last < known
            since = time.time() - FIRST_LOOK_SECONDS if is_new else 0.0
            rows = list(events.from_database(path, 0 if is_new else known or 0, since))
        except sqlite3.Error as fault:
            log.warning("%s: %s", path, fault)
            return
        touched = []
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            touched += self._spool.fold([event for _, event in chunk], ("cel", chunk[-1][0]))
        if is_new and not rows:
            self._spool.fold([], ("cel", last))
        if touched:
            self._reporter.wake()

    async def _close_lost(self, client: ManagerClient) -> None:
        """End the calls that Asterisk no longer has without an event, as after a crash."""
        alive = {channel.get("Linkedid") for channel in await client.list({"Action": "CoreShowChannels"})}
        for entry in self._spool.open_entries():
            call = entry.call
            if call.closed is None and call.linked not in alive and time.time() - call.last_event > LOST_SECONDS:
                log.warning("call %s: Asterisk lost it", call.linked)
                self._spool.fold([events.Event("LINKEDID_END", call.last_event, "", call.linked, call.linked)])
                self._reporter.wake()

    def _sweep(self) -> None:
        """Once a day, remove events and calls that are too old."""
        now = time.time()
        if now - self._swept < FIRST_LOOK_SECONDS:
            return
        self._swept = now
        age = self._settings.event_days * 86400
        with contextlib.suppress(sqlite3.Error):  # Asterisk is writing; it is retried tomorrow
            events.forget(self._settings.cel_database, now - age)
        self._spool.forget(now - 2 * age)

    async def _report_status(self) -> None:
        while True:
            self._write_status()
            await asyncio.sleep(STATUS_SECONDS)

    def _set(self, phase: str, message: str) -> None:
        self._phase, self._message = phase, message
        self._write_status()

    def _write_status(self) -> None:
        total, done = self._spool.counts()
        trouble = self._reporter.trouble
        waiting = [entry.report for entry in self._spool.open_entries()]
        refused = [report.error for report in waiting if report.error]
        status = self._status
        status.phase, status.message, status.done, status.total = self._phase, self._message, done, total
        status.error = trouble or (refused[0] if refused else None)
        status.extra = {"portal": self._settings.portal.url, "refused": len(refused)}
        status.write()


def run(job: Path) -> int:
    """Run the connector until it is stopped.

    Args:
        job: the job file (see :mod:`settings`).

    Returns:
        The exit code, 0.
    """
    settings = read_settings(job)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    settings.state.mkdir(parents=True, exist_ok=True)
    lock = (settings.state / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        hint = "stop it first: systemctl stop encaja-telephony"
        raise ConfigurationError("another connector is running", str(settings.state), hint) from fault
    with lock:
        asyncio.run(_until_stopped(settings))
    return 0


async def _until_stopped(settings: Settings) -> None:
    connector = asyncio.create_task(Connector(settings).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, connector.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await connector
