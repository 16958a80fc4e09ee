"""Whether host, disk and database are ready for a restore; all problems are reported together."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from encaja.errors import EncajaError
from encaja.restore import space, switch
from encaja.restore.errors import TargetNotReady
from encaja.restore.job import RestoreJob
from encaja.restore.load import database
from encaja.restore.source import VolumeSource


def owner_of(job: RestoreJob) -> tuple[int, int] | None:
    """User and group id of the new tree; None to leave them."""
    if not job.owner:
        return None
    try:
        user = pwd.getpwnam(job.owner)
        group = grp.getgrnam(job.group).gr_gid if job.group else user.pw_gid
    except KeyError as error:
        raise TargetNotReady(
            f"no such user or group: {error.args[0]}", "owner", "install the web server first"
        ) from error
    return user.pw_uid, group


def check_target(job: RestoreJob, source: VolumeSource, front: bytes) -> None:
    """Check everything that a new restore needs of its host.

    Args:
        job: what to restore, and where.
        source: the archive.
        front: the archive's first tar bytes.

    Raises:
        TargetNotReady: something is missing; when more than one thing is, the message names all of them.
    """
    data: list[Path | None] = [None]

    def check_database() -> None:
        data[0] = database.look(job.server)

    faults = _faults(
        lambda: switch.check_link(job.link),
        lambda: _check_tree(job.tree),
        lambda: owner_of(job),
        check_database,
        lambda: _check_space(job, source, front, data[0]),
    )
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise TargetNotReady(
            f"{len(faults)} things are not ready: " + "; ".join(map(str, faults)), job.stamp, "fix all of them"
        )


def _faults(*checks: Callable[[], object]) -> list[EncajaError]:
    found = []
    for check in checks:
        try:
            check()
        except EncajaError as error:
            found.append(error)
    return found


def _check_tree(tree: Path) -> None:
    if tree.exists() and any(tree.iterdir()):
        raise TargetNotReady("the new tree is not empty", str(tree), "give this restore another stamp")


def _check_space(job: RestoreJob, source: VolumeSource, front: bytes, data: Path | None) -> None:
    space.check_space(
        space.needs(
            unpacked=source.unpacked,
            dump=space.dump_size(front),
            volumes_room=source.room(low_disk=job.low_disk),
            tree=job.tree,
            volumes=job.directory,
            spool=job.own_work,
            database=data,
        ),
        low_disk=job.low_disk,
    )


def check_dump_part(job: RestoreJob, size: int, left: int) -> None:
    """Check that a further file of the dump fits: only the first one's size is known before the restore starts.

    Args:
        job: the restore.
        size: bytes of the file.
        left: bytes of the unpacked archive that are still to be read, with this file.
    """
    data: Path | None = None
    with suppress(TargetNotReady):  # a server that is away for the moment is waited for elsewhere
        data = database.look(job.server)
    space.check_space(
        space.needs(
            unpacked=left,
            dump=size,
            volumes_room=0,
            tree=job.tree,
            volumes=job.directory,
            spool=job.own_work,
            database=data,
        ),
        low_disk=job.low_disk,
    )
