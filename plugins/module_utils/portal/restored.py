"""Which restore the live portal came from, and whether it is the one that this host was asked for.

A restore writes ``RECORD`` into its tree as the last thing before the tree can go live, so link, tree and record cannot
say different things. A copy brings its source's record along with the tree. What this host was asked for is in its job
(``encaja.restore.job``), how far it came in the journal of that restore (``encaja.restore.journal``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

RECORD: Final = "bitrix/.encaja-restore.json"
JOB: Final = Path("/etc/encaja/restore.json")
ANY: Final = "any"
"""In place of a restore's name: whatever is live is meant, as after a way back to the portal before."""


@dataclass(frozen=True)
class Restored:
    """What the live portal stands on.

    Attributes:
        record: what its restore wrote into the tree: ``stamp``, ``archive``, ``run``, ``database``, ``host``,
            ``restored``; empty where the kit did not restore it.
        wanted: name of the restore that it has to stand on; empty for none.
        tree: the live tree.
        fault: why it does not stand on that restore; empty when it does.
        hint: what to do about it.
        is_copy: it was copied from another environment, record and all.
    """

    record: dict[str, Any] = field(default_factory=dict)
    wanted: str = ""
    tree: str = ""
    fault: str = ""
    hint: str = ""
    is_copy: bool = False

    @property
    def evidence(self) -> str:
        """What it is, in a line."""
        if not self.record:
            return f"{self.tree}: not restored by the kit"
        origin = "restore {stamp} of {archive}, made on {host} at {restored}".format_map(self.record)
        return f"{self.tree}: {'a copy of ' if self.is_copy else ''}{origin}, database {self.record['database']}"

    @property
    def report(self) -> dict[str, Any]:
        """For results and reports."""
        return {**self.record, "tree": self.tree, "copy": self.is_copy, "evidence": self.evidence}


def read_record(root: Path) -> dict[str, Any]:
    """The record of a tree; empty where there is none that can be used."""
    found = _read(root / RECORD)
    named = {"stamp", "archive", "run", "database", "host", "restored"}
    return found if named <= set(found) else {}


def look(root: Path, database: str, *, is_copy: bool, wanted: str = "", job: Path = JOB) -> Restored:
    """See what the live portal stands on.

    Args:
        root: the document root.
        database: the one that its settings name.
        is_copy: whether it was copied from another environment.
        wanted: name of the restore that it has to stand on; empty for the one of this host's job, ``ANY`` for whatever
            is live.
        job: the host's job.
    """
    record, tree = read_record(root), str(root.resolve())
    given = _read(job)
    wanted = wanted or str(given.get("stamp") or "")
    if is_copy or not wanted or wanted == ANY:
        return Restored(record, wanted, tree, is_copy=is_copy)
    journal = _read(Path(str(given.get("work") or "/var/lib/encaja/restore")) / wanted / "journal.json")
    fault, hint = _fault(record, tree, database, wanted, journal)
    return Restored(record, wanted, tree, fault, hint)


def _fault(record: dict[str, Any], tree: str, database: str, wanted: str, journal: dict[str, Any]) -> tuple[str, str]:
    again = "run playbooks/restore.yml (or 'encaja run --from restore') to its end"
    if (journal or not record) and journal.get("phase") != "done":
        stands = f"is not finished (it stands at {journal.get('phase')!r})" if journal else "was not made on this host"
        return f"restore {wanted} {stands}; live is {tree}", again
    if record.get("stamp") != wanted:
        other = f"restore {record['stamp']}" if record else "no restore of the kit"
        return (
            f"live is {tree}, which comes from {other} and not from restore {wanted}",
            f"{again}, or set settle_restore to {ANY} if this portal is meant",
        )
    if journal and record["run"] != journal.get("run"):
        return f"{tree} comes from another run of restore {wanted} than the last one", again
    if record["database"] != database:
        return (
            f"{tree} uses database {database}, restore {wanted} loaded {record['database']}",
            f"name {record['database']} in the tree's .settings.php, or restore again under another stamp",
        )
    return "", ""


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
