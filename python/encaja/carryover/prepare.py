"""What has to be done before the backup is ordered.

Source: apidocs.bitrix24.com, events (event.bind, ``event_type=offline``; only an application may bind) and feature.get.
"""

from __future__ import annotations

import json
from typing import Any

from encaja.atomic import write_atomically
from encaja.carryover.see import see_webhook
from encaja.carryover.settings import Settings
from encaja.carryover.source.offline_events import OfflineEvents
from encaja.carryover.source.reader import moment
from encaja.rest.client import RestClient


async def prepare(settings: Settings, cloud: RestClient, application: RestClient | None) -> dict[str, Any]:
    """See that the cloud can be read, and note from when on its changes are to be carried.

    With an application, its offline events are bound: from then on the cloud itself notes what is deleted.

    The moment is kept when this is done again: a window that is too long costs reading, one that is too short records.

    Raises:
        ConfigurationError: the webhook cannot be used.
    """
    await see_webhook(cloud, "cloud")
    answer = await cloud.call("server.time")
    path = settings.state / "prepared.json"
    kept = json.loads(path.read_text()) if path.exists() else {"since": str(answer.result)}
    write_atomically(path, (json.dumps(kept) + "\n").encode())
    unbound = await OfflineEvents(application).bind() if application else {}
    events = "none: deletions are found by comparing" if application is None else "bound"
    return {"kind": "carry-over-prepared", "cloud": settings.cloud.host, **kept, "events": events, "not_bound": unbound}


def prepared_since(settings: Settings) -> str:
    """The moment that ``prepare`` noted; empty when it was never done."""
    path = settings.state / "prepared.json"
    if not path.exists():
        return ""
    since = str(json.loads(path.read_text())["since"])
    return since if moment(since) else ""
