"""Preparation, before the backup is ordered.

Source: apidocs.bitrix24.com, events (event.bind, ``event_type=offline``; only an application may bind) and feature.get.
"""

from __future__ import annotations

import json
from typing import Any

from encaja.atomic import write_atomically
from encaja.carryover.mapping.canonical import moment
from encaja.carryover.settings import Settings
from encaja.carryover.source.offline_events import OfflineEvents
from encaja.errors import ConfigurationError
from encaja.rest.client import RestClient
from encaja.rest.command import Command
from encaja.rest.errors import AccessError


async def prepare(settings: Settings, cloud: RestClient, application: RestClient | None) -> dict[str, Any]:
    """Check that the cloud can be read, and note from when on its changes are to be carried.

    With an application, its offline events are bound: from then on the cloud itself records deletions. A repetition
    keeps the first time: a window that is too long costs reading, one that is too short loses records.

    Raises:
        ConfigurationError: the webhook cannot be used.
    """
    await check_webhook(cloud, "cloud")
    answer = await cloud.call("server.time")
    path = settings.state / "prepared.json"
    kept = json.loads(path.read_text()) if path.exists() else {"since": str(answer.result)}
    write_atomically(path, (json.dumps(kept) + "\n").encode())
    unbound = await OfflineEvents(application).bind() if application else {}
    events = "none: deletions are found by comparing" if application is None else "bound"
    return {"kind": "carry-over-prepared", "cloud": settings.cloud.host, **kept, "events": events, "not_bound": unbound}


def prepared_since(settings: Settings) -> str:
    """The time that ``prepare`` noted; empty where it never ran."""
    path = settings.state / "prepared.json"
    if not path.exists():
        return ""
    since = str(json.loads(path.read_text())["since"])
    return since if moment(since) else ""


async def check_webhook(portal: RestClient, which: str) -> None:
    """Check that a webhook is an administrator's and has the scopes.

    Raises:
        ConfigurationError: lists all problems.
    """
    hint = "make a new inbound webhook as an administrator, with the scopes crm, user, task and disk"
    try:
        admin, scope = await portal.batch([Command("user.admin"), Command("scope")])
        for answer in (admin, scope):
            if answer.error:
                raise answer.error
    except AccessError as fault:
        raise ConfigurationError(f"the {which}'s webhook is refused: {fault.what}", portal.where, hint) from fault
    faults = [] if admin.result else ["it is not an administrator's"]
    have = set(scope.result)
    lacking = [
        name
        for name in ("crm", "user", "task", "disk")
        if name not in have and not (name == "task" and "tasks" in have)
    ]
    if lacking:
        faults.append(f"it lacks the scopes {', '.join(lacking)}")
    if faults:
        raise ConfigurationError(f"the {which}'s webhook: {'; '.join(faults)}", portal.where, hint)
