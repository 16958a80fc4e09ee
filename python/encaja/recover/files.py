"""The portal's tree as of a moment, from the snapshot before it and the first one after it.

A file of the later snapshot that has not changed since before the moment was so at the moment; of one that has changed
since, the earlier snapshot has what is known. Uploaded files are written once, so this brings back each that a row of
the database names, but for those of the time since the newest snapshot.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encaja import nightly_backup
from encaja.errors import EncajaError
from encaja.recover import plan
from encaja.restore.finish import sync_tree

_AT_A_TIME = 500


def tree_of(snapshot: plan.Files, home: Path) -> str:
    """The path of the portal's tree in a snapshot.

    Raises:
        EncajaError: it has none.
    """
    for path in snapshot.paths:
        if Path(path).parent == home / "trees":
            return path
    raise EncajaError(f"no tree of {home / 'trees'} in it", f"snapshot {snapshot.snapshot[:8]}", "see backup_paths")


def restore(  # noqa: PLR0917  what from, where to, and which moment
    restic: nightly_backup.Restic, home: Path, tree: Path, before: plan.Files, after: plan.Files | None, moment: float
) -> dict[str, int]:
    """Bring the tree back; a stopped attempt's half is replaced.

    Returns:
        How many files come from the later snapshot, and how many files there are.

    Raises:
        BackupError: the repository does not give a file.
        EncajaError: a snapshot has no tree in it.
    """
    staging = tree.with_name(f".{tree.name}.part")
    if tree.exists():
        shutil.rmtree(tree)
    source = tree_of(before, home)
    staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    restic.run("restore", before.snapshot, "--target", str(staging), f"--include={nightly_backup.escape(source)}")
    later = list(_later(restic, source, before, after, moment)) if after and source in after.paths else []
    for begin in range(0, len(later), _AT_A_TIME):
        include = [f"--include={nightly_backup.escape(path)}" for path in later[begin : begin + _AT_A_TIME]]
        restic.run("restore", after.snapshot if after else "", "--target", str(staging), *include)
    restored = staging / source.lstrip("/")
    count = sum(1 for path in restored.rglob("*") if path.is_file())
    sync_tree(restored)
    restored.rename(tree)
    shutil.rmtree(staging)
    return {"files": count, "later": len(later)}


def _listed(restic: nightly_backup.Restic, snapshot: plan.Files, source: str) -> dict[str, dict[str, Any]]:
    lines = restic.run("ls", "--json", "--recursive", snapshot.snapshot, source).stdout.splitlines()
    items = (json.loads(line) for line in lines)
    return {item["path"]: item for item in items if item.get("type") in ("file", "symlink")}


def _later(
    restic: nightly_backup.Restic, source: str, before: plan.Files, after: plan.Files, moment: float
) -> Iterator[str]:
    """Paths of the later snapshot that were so at the moment, and are not so in the earlier one."""
    known = _listed(restic, before, source)
    for path, item in _listed(restic, after, source).items():
        old = known.get(path)
        if old and all(old.get(name) == item.get(name) for name in ("mtime", "ctime", "size", "mode")):
            continue
        changed = plan.seconds(item["ctime"])
        if changed < moment or (old is None and plan.seconds(item["mtime"]) < moment):
            yield path
