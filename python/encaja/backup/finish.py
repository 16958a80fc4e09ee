"""What a restore does between the last row and the switch; it can be repeated."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pymysql

from encaja.backup import clouds, database, site, space
from encaja.backup.checks import owner_of
from encaja.backup.job import RestoreJob
from encaja.backup.journal import Journal
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
    site.configure(job.tree, job.server, owner, freeze=job.freeze)
    try:
        connection = database.connect(job.server, charset=journal.charset or "utf8mb4")
        try:
            report["changes"] = site.adjust_database(
                connection,
                job.domain,
                fulltext_failed=bool(report.get("fulltext_failed")),
                clouds=job.tree / "upload" / "clouds",
            )
            connection.query(f"DROP TABLE IF EXISTS `{database.STATE_TABLE}`")
            connection.commit()
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise database.explain(error, job.server) from error
    _sync_tree(job.tree)
    for file in (job.own_work / "spool").glob("*"):
        file.unlink()


def _fetch_clouds(job: RestoreJob, journal: Journal, status: Status, owner: tuple[int, int] | None) -> None:
    for name in site.CLOUD_MANIFESTS if job.cloud_mirrors else ():
        manifest = job.tree / name
        if not manifest.is_file():
            continue
        files = clouds.read_manifest(manifest.read_text(encoding="utf-8", errors="surrogateescape"), name)
        missing_bytes = sum(file.size for file in files if not file.present_in(job.tree))
        space.check_space([space.Need("files of the cloud", job.tree, missing_bytes)], low_disk=True)
        status.begin("cloud files", sum(file.size for file in files), f"{len(files)} files of the cloud")
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            status.advance(done)

        found = clouds.CloudFetcher(job.tree, job.cloud_mirrors, owner).run(files, advance)
        journal.report["cloud_files"] = {
            "fetched": found.fetched,
            "present": found.present,
            "missing": len(found.missing),
        }
        if found.missing:
            listed = "<?php die(); ?>\n" + "\n".join(sorted(found.missing)) + "\n"
            (job.tree / clouds.MISSING_LIST).write_text(listed, encoding="utf-8", errors="surrogateescape")
            journal.report.setdefault("warnings", []).append(
                f"{len(found.missing)} files of the cloud are at no mirror: {clouds.MISSING_LIST}"
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
