"""Files of activities and comments: fetched from the cloud, and sent to the box in Base64.

Source: apidocs.bitrix24.com, files/how-to-upload-files and disk/file (disk.file.get gives the name).
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
"""Largest file that is sent, in bytes; the request has to fit into the box's memory."""


def described(value: Any) -> list[dict[str, Any]]:
    """The files of an activity or a comment: a list, or a map by identifier."""
    items = value.values() if isinstance(value, dict) else value or []
    return [item for item in items if isinstance(item, dict) and (item.get("id") or item.get("ID"))]


async def fetch(context: Context, files: Sequence[dict[str, Any]], want: Wanted) -> list[list[str]]:
    """Fetch files; what cannot be fetched becomes a problem of the record.

    Returns:
        Name and content in Base64 of each.
    """
    names = await context.cloud.batch([Command("disk.file.get", {"id": _key(item)}) for item in files])
    found: list[list[str]] = []
    with tempfile.TemporaryDirectory(dir=context.settings.state, prefix="files-") as folder:
        for item, answer in zip(files, names, strict=True):
            about = answer.result if answer.error is None else {}
            name = str(item.get("name") or about.get("NAME") or f"file-{_key(item)}")
            address = str(item.get("urlDownload") or item.get("url") or about.get("DOWNLOAD_URL") or "")
            target = Path(folder) / "content"
            try:
                size = (await context.cloud.fetch(address, target)).size
            except RefusedError as fault:
                want.problems.append(f"file {name} could not be fetched: {fault.what}")
                continue
            if size > LARGEST:
                want.problems.append(f"file {name} is too large to be sent ({size / 1e6:.0f} MB): copy it by hand")
                continue
            found.append([name, base64.b64encode(target.read_bytes()).decode()])
    return found


def _key(item: dict[str, Any]) -> int:
    return int(item.get("id") or item.get("ID") or 0)
