"""What a restore does before its first change, and again in each later run: find the archive, check it and the target.

A later run checks only the password, the archive's name and the link: the rest is its own work by then.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from encaja.atomic import write_atomically
from encaja.restore import space, switch
from encaja.restore.archive import verify_volume
from encaja.restore.archive.naming import VolumeName
from encaja.restore.archive.stream import ArchiveStream
from encaja.restore.errors import BackupUsageError
from encaja.restore.fetch import Fetcher
from encaja.restore.fetch.links import Source, make_link
from encaja.restore.fetch.vendor_storage import VendorStorage, open_stored
from encaja.restore.load import database
from encaja.restore.load.ddl import Collations
from encaja.restore.run import RestoreRun
from encaja.restore.source import AHEAD, Download, Folder, VolumeSource
from encaja.restore.target_checks import check_target


@dataclass(frozen=True)
class Prepared:
    """The volumes, the way to unpack them, and the collations that the database server knows."""

    source: VolumeSource
    stream: ArchiveStream
    collations: Collations


def prepare(run: RestoreRun) -> Prepared:
    """Check archive and target, create the database and start the journal, where no earlier run did.

    Raises:
        EncajaError: something is not as it has to be; nothing was changed.
    """
    job = run.job
    run.status.begin("check", message="checking archive, disk and database")
    source = run.source = _open_source(run)
    run.status.message = f"checking disk and database {job.server.place}"
    run.status.write()
    stream = ArchiveStream(source.name, job.password)
    _check(run, source, stream)
    identity = run.known.run if run.known else _identity(job.own_work / "identity")
    # The server answered the checks: from here on, one that went away is waited for.
    collations = run.ask(partial(database.prepare_database, job.server, identity))
    if run.known is None:
        run.start_journal(str(source.name), identity, stream.header)
    return Prepared(source, stream, collations)


def _open_source(run: RestoreRun) -> VolumeSource:
    """Find the archive, by link, in the vendor's storage or in its folder."""
    job, known = run.job, run.known
    job.directory.mkdir(parents=True, exist_ok=True)
    if job.url is None:
        point = known.resume_point() if known else None
        begun = (VolumeName.require(known.archive), int(point["count"])) if known and point else None
        return Folder(job.directory, begun)
    link: Source = (
        open_stored(VendorStorage(job.licence, job.url), job.password, job.archive)
        if job.licence
        else make_link(job.url, job.volumes, job.listing)
    )
    ahead = AHEAD if job.low_disk else None
    return Download(Fetcher(link, job.directory, job.fetch, ahead=ahead, tell=run.status.wait_for))


def _check(run: RestoreRun, source: VolumeSource, stream: ArchiveStream) -> None:
    job, known = run.job, run.known
    where = job.url or str(job.directory)
    if known and known.archive != str(source.name):
        raise BackupUsageError(
            f"{job.stamp} was started with {known.archive}", str(job.own_work), "give this restore another stamp"
        )
    if source.name.encrypted:
        stream.open(source.first_block or bytes.fromhex(known.header if known else ""), where)
    if known:
        switch.check_link(job.link)
        return
    opened = ArchiveStream(source.name, job.password, stream.header or None)
    front = space.unpack_prefix(source.head, compressed=source.name.compressed, decryptor=opened.decryptor)
    verify_volume.check_front(front, where)
    check_target(job, source, front)


def _identity(file: Path) -> str:
    """What marks the new database as ours: on disk before the mark is, so that a kill in between does no harm."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, secrets.token_hex(8).encode())
    return file.read_text()
