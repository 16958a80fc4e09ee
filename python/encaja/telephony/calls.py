"""The host tool ``telephony-calls``: the latest calls, what was reported, and what the portal has, as JSON.

It only reads the connector's file and the portal's call statistics.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from encaja.errors import EncajaError
from encaja.telephony.call import summarise
from encaja.telephony.rest import TelephonyRest
from encaja.telephony.settings import PortalSettings, Settings, read_settings
from encaja.telephony.spool import Entry, Spool

LATEST = 20


def describe(entry: Entry, settings: Settings) -> dict[str, Any]:
    """One call with its report, as plain values (times in seconds since 1970)."""
    summary = summarise(entry.call, settings.agents, settings.trunks)
    report = entry.report
    return {
        "id": entry.call.linked,
        "direction": summary.direction,
        "number": summary.number,
        "line": summary.line,
        "started": summary.started,
        "answered": summary.answered,
        "ended": summary.ended,
        "duration": summary.duration,
        "status": summary.status,
        "user": summary.speaker,
        "call_id": report.call_id,
        "registered": report.registered,
        "entity": report.entity,
        "created": report.created,
        "shown": report.shown,
        "finished": report.finished,
        "activity": report.activity,
        "recorded": report.recorded,
        "outcome": report.outcome,
        "error": report.error,
    }


async def with_portal(calls: list[dict[str, Any]], settings: Settings) -> None:
    """Add to each finished call its row in the portal's statistics (``portal``), or None."""
    portal = TelephonyRest(_without_renewing(settings.portal, settings.state), settings.state)
    try:
        for call in calls:
            call["portal"] = None
            if call["finished"]:
                rows = await portal.call("voximplant.statistic.get", {"FILTER": {"CALL_ID": call["call_id"]}})
                call["portal"] = next((row for row in rows if row.get("CALL_ID") == call["call_id"]), None)
    finally:
        await portal.close()


def run(job: Path) -> int:
    """Print the latest calls.

    Args:
        job: the connector's job file.

    Returns:
        The exit code, 0.
    """
    settings = read_settings(job)
    path = settings.state / "calls.db"
    calls: list[dict[str, Any]] = []
    trouble = ""
    if path.exists():
        spool = Spool(path)
        calls = [describe(entry, settings) for entry in spool.recent(LATEST)]
        spool.close()
        try:
            asyncio.run(with_portal(calls, settings))
        except EncajaError as fault:
            trouble = str(fault)
    json.dump({"calls": calls, "trouble": trouble, "recordings": settings.recordings is not None}, sys.stdout)
    return 0


def _without_renewing(portal: PortalSettings, state: Path) -> PortalSettings:
    """Settings that use the connector's current token: only the connector may renew tokens."""
    if portal.oauth is None:
        return portal
    kept = state / "tokens.json"
    token = json.loads(kept.read_text())["access_token"] if kept.exists() else ""
    return replace(portal, oauth=None, token=token)
