"""Of tables that must arrive complete: how many rows the dump held, and some of them as they were written.

They are taken from the dump's own statements and not from the database, so that settling can compare the two: of a
portal that was moved by hand only part of the task comments was shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from encaja.atomic import write_atomically

TABLES = frozenset({"b_forum_message"})
"""Comments of tasks and of other discussions are messages of the forum module."""
SAMPLES = 24


def take(frames: Iterable[bytes | None]) -> dict[str, Any]:
    """Count the rows of a table's statements and keep some, spread over all of them.

    Args:
        frames: ``INSERT`` statements as the vendor writes them: a row a line, line breaks in texts escaped.

    Returns:
        ``rows`` (their number) and ``samples`` (their SQL text, at most :data:`SAMPLES`).
    """
    rows, stride = 0, 1
    kept: list[bytes] = []
    for frame in frames:
        for line in (frame or b"").split(b"\n"):
            if not line.startswith(b"("):
                continue
            if rows % stride == 0:
                kept.append(line.rstrip(b",;\r"))
                if len(kept) > SAMPLES:
                    kept, stride = kept[::2], stride * 2
            rows += 1
    return {"rows": rows, "samples": [row.decode("utf-8", "surrogateescape") for row in kept[:SAMPLES]]}


def keep(path: Path, database: str, table: str, found: dict[str, Any], begun: str = "") -> None:
    """Add what was taken of one table to the file; only root reads it.

    Args:
        path: the file.
        database: the database that the dump went into.
        table: the table.
        found: what was taken of it.
        begun: when the dump was started, by the clock of its source.
    """
    try:
        known: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        known = {}
    tables = {**known.get("tables", {}), table: found}
    said = {"database": database, "begun": begun, "tables": tables}
    write_atomically(path, json.dumps(said).encode("utf-8", "surrogateescape"))
