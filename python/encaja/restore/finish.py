"""What a restore does between the last row and the switch; it can be repeated."""

from __future__ import annotations

import ctypes
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pymysql
import pymysql.cursors

from encaja.atomic import write_atomically
from encaja.errors import EncajaError
from encaja.portal import module_versions, restored, silence
from encaja.portal.database import Database
from encaja.portal.plan import Plan
from encaja.restore import cloud_files, portal_setup, space
from encaja.restore.errors import BackupError
from encaja.restore.job import RestoreJob
from encaja.restore.load import database
from encaja.restore.run import RestoreRun
from encaja.restore.target_checks import owner_of


def finish(run: RestoreRun) -> None:
    """Fetch the files of the source's cloud, configure tree and database, and force the tree to the disk.

    Raises:
        BackupError: the tree is no portal's, the database refuses a change, there is no room for the cloud's files.
    """
    job, journal = run.job, run.journal
    owner = owner_of(job)
    _fetch_clouds(run, owner)
    run.status.begin("finish", message="configuring the new tree")
    portal_setup.configure(job.tree, job.server, owner, freeze=job.freeze)
    try:
        connection = database.connect(job.server, charset=journal.charset or "utf8mb4")
        try:
            journal.report["changes"] = portal_setup.adjust_database(
                connection,
                job.domain,
                fulltext_failed=bool(journal.report.get("fulltext_failed")),
                clouds=job.tree / "upload" / "clouds",
            )
            connection.commit()
            if job.freeze:
                journal.report["silenced"] = _silence(run, connection)
            database.force_to_disk(job.server)
            connection.query(f"DROP TABLE IF EXISTS `{database.STATE_TABLE}`")
            connection.commit()
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise database.explain(error, job.server) from error
    _write_record(run, owner)
    sync_tree(job.tree)
    for file in (job.own_work / "spool").glob("*"):
        file.unlink()


def _silence(run: RestoreRun, connection: database.Connection) -> dict[str, int]:
    """Switch off in the data what no switch reaches, until the release; returns what is held."""
    connection.cursorclass = pymysql.cursors.DictCursor
    portal, plan = Database(connection, run.job.server.name), Plan()
    try:
        silence.plan_hold(portal, plan, run.job.silence)
        plan.apply(portal)
        alive, held = silence.live(portal, run.job.silence), silence.held(portal)
    except EncajaError as error:
        if isinstance(error.__cause__, pymysql.err.Error):  # a server that is away is waited for
            raise error.__cause__ from error
        raise
    if alive:
        raise BackupError(f"still switched on: {', '.join(alive)}", run.job.server.place, "run the restore again")
    return held


def _write_record(run: RestoreRun, owner: tuple[int, int] | None) -> None:
    """Write into the tree which restore it comes from."""
    job, journal = run.job, run.journal
    record = {
        "stamp": job.stamp,
        "archive": journal.archive,
        "run": journal.run,
        "database": job.server.name,
        "host": socket.gethostname(),
        "restored": datetime.now(UTC).isoformat(timespec="seconds"),
        "modules": (modules := module_versions.read_versions(job.tree)),
        "box_modules": (box := _live_versions(job)),
    }
    journal.report["versions"] = _compare_versions(modules, box)
    write_atomically(job.tree / restored.RECORD, (json.dumps(record, indent=1) + "\n").encode(), 0o640, owner)


def _live_versions(job: RestoreJob) -> dict[str, str]:
    """Versions of the modules of the tree that the restore is to replace; none where there is no other."""
    live = job.link.resolve()
    return module_versions.read_versions(live) if live != job.tree.resolve() else {}


def _compare_versions(archive: dict[str, str], box: dict[str, str]) -> list[str]:
    """What a person has to know of the versions on both sides before the archive's code goes live."""
    sides = {
        "newer in the archive than in the box that was live; never copy its code over it": (box, archive),
        "older in the archive than in the box that was live; update after the restore": (archive, box),
    }
    pairs = {said: module_versions.older(*both) for said, both in sides.items()}
    return [
        f"{len(found)} modules are {said}: {module_versions.shown(found)}" for said, found in pairs.items() if found
    ]


def _fetch_clouds(run: RestoreRun, owner: tuple[int, int] | None) -> None:
    job, status, report = run.job, run.status, run.journal.report
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
        report["cloud_files"] = {
            "fetched": found.fetched,
            "present": found.present,
            "missing": len(found.missing),
        }
        if found.missing:
            listed = "<?php die(); ?>\n" + "\n".join(sorted(found.missing)) + "\n"
            (job.tree / cloud_files.MISSING_LIST).write_text(listed, encoding="utf-8", errors="surrogateescape")
            report.setdefault("warnings", []).append(
                f"{len(found.missing)} files of the cloud are at no mirror: {cloud_files.MISSING_LIST}"
            )
        else:
            manifest.unlink()


def sync_tree(tree: Path) -> None:
    """Force a tree's file system to the disk before it goes live."""
    descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)
