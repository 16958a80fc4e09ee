"""What a restore does between the last row and the switch; it can be repeated."""

from __future__ import annotations

import ctypes
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pymysql

from encaja.atomic import write_atomically
from encaja.portal import restored
from encaja.restore import cloud_files, portal_setup, space
from encaja.restore.checks import owner_of
from encaja.restore.errors import BackupError
from encaja.restore.job import RestoreJob
from encaja.restore.journal import Journal
from encaja.restore.load import database
from encaja.status import Status


def finish(job: RestoreJob, journal: Journal, status: Status) -> None:
    """Fetch the files of the source's cloud, configure tree and database, and force the tree to the disk.

    Raises:
        BackupError: the tree is no portal's, the database refuses a change, there is no room for the cloud's files.
    """
    owner = owner_of(job)
    report = journal.report
    _fetch_clouds(job, journal, status, owner)
    status.begin("finish", message="configuring the new tree")
    portal_setup.configure(job.tree, job.server, owner, freeze=job.freeze)
    try:
        connection = database.connect(job.server, charset=journal.charset or "utf8mb4")
        try:
            report["changes"] = portal_setup.adjust_database(
                connection,
                job.domain,
                fulltext_failed=bool(report.get("fulltext_failed")),
                clouds=job.tree / "upload" / "clouds",
            )
            connection.commit()
            database.force_to_disk(job.server)
            connection.query(f"DROP TABLE IF EXISTS `{database.STATE_TABLE}`")
            connection.commit()
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise database.explain(error, job.server) from error
    _write_record(job, journal, owner)
    _sync_tree(job.tree)
    for file in (job.own_work / "spool").glob("*"):
        file.unlink()


def _write_record(job: RestoreJob, journal: Journal, owner: tuple[int, int] | None) -> None:
    """Write into the tree which restore it comes from."""
    record = {
        "stamp": job.stamp,
        "archive": journal.archive,
        "run": journal.run,
        "database": job.server.name,
        "host": socket.gethostname(),
        "restored": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomically(job.tree / restored.RECORD, (json.dumps(record, indent=1) + "\n").encode(), 0o640, owner)


def prove(job: RestoreJob, journal: Journal, *, fresh: bool) -> None:
    """See that what a restore claims is there: link, tree, its record and its database.

    Args:
        job: the restore.
        journal: what it has done.
        fresh: it was made just now, so that the database has the very tables that were loaded.

    Raises:
        BackupError: something is not there.
    """
    again = "drop the database, delete the tree and this restore's folder, and restore again; or take another stamp"
    if job.switch and (not job.link.is_symlink() or job.link.resolve() != job.tree.resolve()):
        raise BackupError("the restored tree is not the live one", str(job.link), "run the restore again")
    if not (job.tree / portal_setup.SETTINGS).is_file():
        raise BackupError("the restored tree is not there", str(job.tree), again)
    record = restored.read_record(job.tree)
    if record and (record["stamp"], record["run"]) != (job.stamp, journal.run):
        raise BackupError(f"the tree comes from restore {record['stamp']}", str(job.tree), again)
    if fresh and not record:
        raise BackupError("the tree does not say which restore it comes from", str(job.tree), "run the restore again")
    tables, loaded = database.count_tables(job.server), int(journal.report.get("tables", 0))
    if (tables != loaded) if fresh else not tables:
        raise BackupError(f"the database has {tables} tables, {loaded} were loaded", job.server.place, again)


def _fetch_clouds(job: RestoreJob, journal: Journal, status: Status, owner: tuple[int, int] | None) -> None:
    for name in portal_setup.CLOUD_MANIFESTS if job.cloud_mirrors else ():
        manifest = job.tree / name
        if not manifest.is_file():
            continue
        files = cloud_files.read_manifest(manifest.read_text(encoding="utf-8", errors="surrogateescape"), name)
        missing_bytes = sum(file.size for file in files if not file.present_in(job.tree))
        space.check_space([space.Need("files of the cloud", job.tree, missing_bytes)], low_disk=True)
        status.begin("cloud files", sum(file.size for file in files), f"{len(files)} files of the cloud")
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            status.advance(done)

        fetcher = cloud_files.CloudFetcher(job.tree, job.cloud_mirrors, owner, tell=status.wait_for)
        found = fetcher.run(files, advance)
        journal.report["cloud_files"] = {
            "fetched": found.fetched,
            "present": found.present,
            "missing": len(found.missing),
        }
        if found.missing:
            listed = "<?php die(); ?>\n" + "\n".join(sorted(found.missing)) + "\n"
            (job.tree / cloud_files.MISSING_LIST).write_text(listed, encoding="utf-8", errors="surrogateescape")
            journal.report.setdefault("warnings", []).append(
                f"{len(found.missing)} files of the cloud are at no mirror: {cloud_files.MISSING_LIST}"
            )
        else:
            manifest.unlink()


def _sync_tree(tree: Path) -> None:
    """Force the tree's file system to the disk before it goes live."""
    descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)
