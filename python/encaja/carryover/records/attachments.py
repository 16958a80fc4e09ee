"""Files of activities and comments: fetched from the cloud, and sent to the box in Base64.

Source: apidocs.bitrix24.com, files (how to upload and download: the address that a record gives is for a browser that
is logged in; ``disk.file.get`` gives the one for a webhook, with name and size).
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encaja.carryover.context import Context
from encaja.carryover.mapping.translation import Wanted
from encaja.rest.command import Command
from encaja.rest.errors import RefusedError

LARGEST = 50_000_000
"""Most bytes of files that are sent with a record; the request has to fit into the box's memory."""


def described(value: Any) -> list[dict[str, Any]]:
    """The files of an activity or a comment: a list, or a map by identifier."""
    items = value.values() if isinstance(value, dict) else value or []
    return [item for item in items if isinstance(item, dict) and (item.get("id") or item.get("ID"))]


async def fetch(context: Context, files: Sequence[dict[str, Any]], want: Wanted) -> list[list[str]]:
    """Fetch files; what cannot be fetched becomes a problem of the record.

    Returns:
        Name and content in Base64 of each.
    """
    answers = await context.cloud.batch([Command("disk.file.get", {"id": _key(item)}) for item in files])
    left = LARGEST
    found: list[list[str]] = []
    with tempfile.TemporaryDirectory(dir=context.settings.state, prefix="files-") as folder:
        for item, answer in zip(files, answers, strict=True):
            about = answer.result or {}
            name = str(item.get("name") or about.get("NAME") or f"file-{_key(item)}")
            target = Path(folder) / "content"
            try:
                if answer.error:
                    raise answer.error
                address, size = str(about.get("DOWNLOAD_URL") or ""), int(about.get("SIZE") or 0) or None
                left -= (await context.cloud.fetch(address, target, limit=left, size=size)).size
            except RefusedError as fault:
                want.problems.append(f"file {name} could not be fetched: {fault.what}")
                continue
            found.append([name, base64.b64encode(target.read_bytes()).decode()])
    return found


def _key(item: dict[str, Any]) -> int:
    return int(item.get("id") or item.get("ID") or 0)
