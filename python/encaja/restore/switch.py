"""Making a tree the live one, and going back.

The document root is a symbolic link to a tree; the tree's own configuration names its database, so one rename
switches both.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from encaja.atomic import link_atomically, sync_folder, write_atomically
from encaja.portal import php
from encaja.restore.errors import BackupError, TargetNotReady
from encaja.restore.job import RestoreJob
from encaja.restore.portal_setup import DBCONN, FREEZE
from encaja.restore.run import RestoreRun

HISTORY = "switches.json"


@dataclass(frozen=True)
class Switched:
    """A switch: the tree that was live before (None: there was none), and the one that is now."""

    before: str | None
    after: str


def check_link(link: Path) -> None:
    """Check that the document root can be switched.

    Raises:
        TargetNotReady: it is a folder, not a link.
    """
    if link.exists() and not link.is_symlink():
        raise TargetNotReady(
            "the document root is a folder, not a symbolic link to a tree",
            str(link),
            f"move it to {link.parent / 'trees' / 'before'} and make the link",
        )


def is_in_use(link: Path) -> bool:
    """Whether the live tree is a portal that is not frozen: one that was released, or never restored."""
    dbconn = link / DBCONN
    if not dbconn.is_file():
        return False
    text = php.decode(dbconn.read_bytes())
    return not all(php.read_define(text, name) is True for name in FREEZE)


def close(job: RestoreJob) -> None:
    """Keep the portal's programs in, from before the first change of a restore that will go live.

    A portal in use serves until the switch: it is not cut off, and nothing of the new tree is reached before.
    """
    if job.switch and not is_in_use(job.link):
        _run(job.close)


def go_live(run: RestoreRun) -> None:
    """The last phase of a restore: make its tree the live one."""
    job = run.job
    run.status.begin("switch", message="making the new tree the live one")
    _run(job.close)
    run.journal.previous = switch(job.link, job.tree, job.work, job.after_switch).before
    run.enter("done")


def switch(link: Path, tree: Path, work: Path, after: tuple[tuple[str, ...], ...] = ()) -> Switched:
    """Point the document root at a tree, in one step.

    Args:
        link: the document root.
        tree: the new tree.
        work: folder of the switches' history.
        after: commands to run afterwards, such as a reload of PHP.
    """
    check_link(link)
    before = str(link.readlink()) if link.is_symlink() else None
    target = os.path.relpath(tree, link.parent)
    if before is not None and (link.parent / before).resolve() == tree.resolve():
        sync_folder(link.parent)
        _run(after)
        return Switched(_last_before(work, str(tree)), str(tree))
    done = Switched(str((link.parent / before).resolve()) if before else None, str(tree))
    note(work, done)
    link_atomically(link, target)
    _run(after)
    return done


def roll_back(link: Path, work: Path, after: tuple[tuple[str, ...], ...] = ()) -> Switched:
    """Point the document root at the tree that was live before the last switch.

    Raises:
        BackupError: there is none, or it is gone.
    """
    live = str(link.resolve()) if link.is_symlink() else ""
    before = _last_before(work, live)
    if before is None:
        raise BackupError(
            f"no earlier tree is known for {live or 'nothing'}", str(work / HISTORY), "point the link by hand"
        )
    if not Path(before).is_dir():
        raise BackupError("the earlier tree is gone", before, "restore it, or point the link by hand")
    return switch(link, Path(before), work, after)


def _history(work: Path) -> list[dict[str, str | None]]:
    try:
        content: list[dict[str, str | None]] = json.loads((work / HISTORY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return content


def _last_before(work: Path, live: str) -> str | None:
    for entry in reversed(_history(work)):
        if entry["after"] == live:
            return entry["before"]
    return None


def note(work: Path, done: Switched) -> None:
    """Add to the history which tree was live before another one; it is on the disk afterwards."""
    work.mkdir(parents=True, exist_ok=True)
    entry = {"before": done.before, "after": done.after, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    write_atomically(work / HISTORY, json.dumps([*_history(work), entry], indent=1).encode())


def _run(commands: tuple[tuple[str, ...], ...]) -> None:
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackupError(
                f"ended with {done.returncode}: {done.stderr.strip()[-200:]}",
                " ".join(command),
                "fix it and rerun the command",
            )
