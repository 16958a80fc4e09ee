"""The host tool ``clone``: parts of a copy (files, database, the switch to either), in the order that its job says.

Job: ``{"parts": ["files", "database", "files", …], "copy": "...", "tree": "...", "home": "/srv/portal",
"datadir": "/var/lib/mysql", "state": "/var/lib/encaja/clone", "source": {"address", "key", "known_hosts", "port"}}``.
Every part can be cut off at any moment and run again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..errors import EncajaError
from ..status import Status
from . import files
from .database import DatabaseCopy
from .remote import Source


def run(job: Path) -> int:
    """Do the parts that the job names; returns the exit code.

    Progress and, at the end, what was measured are in ``state/status.json``.
    """
    given: dict[str, Any] = json.loads(job.read_text())
    state = Path(given["state"])
    state.mkdir(parents=True, exist_ok=True)
    measured: list[dict[str, Any]] = []
    status = Status(state / "status.json", extra={"copy": given["copy"], "measured": measured})
    try:
        refuse_production()
        for part in given["parts"]:
            measured.append({"part": part, **_part(part, given, state, status)})
    except (EncajaError, OSError) as fault:
        status.error = str(fault)
        status.write()
        print(fault, file=sys.stderr)
        return 1
    status.phase, status.message = "done", ""
    status.write()
    return 0


def refuse_production(marker: Path = Path("/etc/encaja/environment")) -> None:
    """Refuse a host that is production, or that nobody has marked.

    Raises:
        EncajaError: with what the marker says.
    """
    marked = marker.read_text().strip() if marker.exists() else ""
    if marked in ("", "production"):
        raise EncajaError(
            f"this host is {marked or 'not marked'}, a copy never goes there", str(marker), "aim elsewhere"
        )


def _part(part: str, given: dict[str, Any], state: Path, status: Status) -> dict[str, Any]:
    reached = given["source"]
    source = Source(
        reached["address"], Path(reached["key"]), Path(reached["known_hosts"]), int(reached.get("port", 22))
    )
    if part == "files":
        status.begin("files", int(source.facts()["files_bytes"]))
        return files.copy_tree(source, Path(given["home"]), given["tree"], status.advance)
    if part == "switch-files":
        files.switch(Path(given["home"]), given["tree"])
        return {"tree": given["tree"]}
    copy = DatabaseCopy(source, Path(given["datadir"]), state, given["copy"])
    if part == "database":
        if copy.is_prepared() or copy.is_done():
            return {"kept": True}
        status.begin("database", int(source.facts()["database_bytes"]))
        return copy.fetch(status.advance)
    if part == "switch-database":
        if not copy.is_done():
            copy.switch()
        return {"kept": False}
    raise EncajaError(f"unknown part {part!r}", str(state), "use files, database, switch-database or switch-files")
