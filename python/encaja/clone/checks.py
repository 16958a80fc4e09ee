"""What has to be right before a copy starts; all problems are reported together, and nothing is changed before."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from encaja.clone import database
from encaja.clone.source import server_version, size_of

SKEW_SECONDS: Final = 60
"""How far the clocks of source and copy may differ: log-ins, agents and the copy's key depend on the clock."""
METHODS: Final = ("auto", "physical", "logical")


def environment_faults(environment: str, marker: Path) -> list[str]:
    """Why this host may not be overwritten, by its own marker."""
    marked = marker.read_text().strip() if marker.exists() else ""
    if marked in ("", "production"):
        return [f"{marker} says that this host is {marked or 'nothing'}: a copy never goes there"]
    if marked != environment:
        return [f"{marker} says {marked}, the inventory {environment}: correct the wrong one"]
    return []


def source_faults(name: str, facts: Mapping[str, Any], environment: str, own_key: Path) -> list[str]:
    """What is wrong with a source, by its answer."""
    found = []
    if facts["environment"] != environment:
        found.append(f"{name} says that it is {facts['environment'] or 'nothing'}, the inventory {environment}")
    if own_key.exists() and facts["host_key"] == own_key.read_text().split()[1]:
        found.append(f"{name} has this host's own key: it is this host, or one was made from the other's image")
    skew = facts["time"] - time.time()
    if abs(skew) > SKEW_SECONDS:
        found.append(f"its clock is {skew:+.0f} s from this host's: see chrony on both ('chronyc tracking')")
    return found


def files_faults(facts: Mapping[str, Any]) -> list[str]:
    """What forbids copying the files."""
    return [] if facts.get("tree") else ["the source has no portal: restore one there first"]


def method(wanted: str, theirs: str, ours: str) -> str:
    """How the database is copied: as the operator wants, or by what the two servers are."""
    return wanted if wanted != "auto" else "physical" if database.same_series(theirs, ours) else "logical"


def database_faults(facts: Mapping[str, Any], wanted: str, datadir: Path) -> list[str]:
    """What forbids copying the database."""
    theirs, ours = str(facts.get("mariadb", "")), server_version()
    if not theirs or not ours:
        return [f"MariaDB is not installed {'at the source' if not theirs else 'here'}: run site.yml first"]
    if fault := facts.get("mariadb_fault"):
        return [f"MariaDB at the source does not answer: {fault}; start it, or name its host in group 'database'"]
    found = []
    if wanted not in METHODS:
        found.append(f"clone_database_method {wanted!r} is not one of {', '.join(METHODS)}")
    if wanted == "physical" and not database.same_series(theirs, ours):
        found.append(
            f"the source runs MariaDB {theirs}, this host {ours}: set clone_database_method to auto or logical"
        )
    if os.path.ismount(datadir):
        found.append(f"{datadir} is a mount point, it cannot be replaced: mount its parent, or copy logically")
    found += [f"table {name} is crashed at the source: REPAIR TABLE there first" for name in facts["crashed"]]
    return found


def space_faults(wanted: Mapping[Path, float]) -> list[str]:
    """Where there is too little space, by file system: directory to the bytes that will be added there."""
    needed: dict[int, float] = {}
    named: dict[int, Path] = {}
    for directory, size in wanted.items():
        device = directory.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        named.setdefault(device, directory)
    found = []
    for device, size in needed.items():
        free = shutil.disk_usage(named[device]).free
        if free < size:
            found.append(
                f"{named[device]} has {free / 1e9:.2f} GB free, {size / 1e9:.2f} GB are needed: enlarge the disk"
            )
    return found


def files_size(facts: Mapping[str, Any], home: Path) -> float:
    """Bytes that the files will add, with a reserve of 5 %."""
    tree = home / "trees" / str(facts.get("tree", ""))
    present = size_of(tree) if facts.get("tree") and tree.exists() else 0
    return float(max(0, int(facts.get("files_bytes", 0)) - present)) * 1.05


def database_size(facts: Mapping[str, Any]) -> float:
    """Bytes that the database will add next to the old one until the switch, with room to prepare it."""
    return float(facts.get("database_bytes", 0)) * 1.2
