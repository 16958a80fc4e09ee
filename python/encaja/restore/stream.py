"""The first phase of a restore: volumes become a tree and rows, while further volumes are still fetched."""

from __future__ import annotations

import os
import time

from encaja.restore import portal_setup
from encaja.restore.archive.tree import TreeWriter
from encaja.restore.errors import BackupError
from encaja.restore.load import database
from encaja.restore.load.loader import Loaders, LoadReport
from encaja.restore.load.statement_spool import StatementSpool
from encaja.restore.pipeline import Pipeline
from encaja.restore.prepare import Prepared, prepare
from encaja.restore.run import RestoreRun
from encaja.restore.server_settings import LoadSettings
from encaja.restore.source import Download
from encaja.restore.stream_progress import StreamProgress
from encaja.restore.target_checks import check_dump_part, owner_of

_TICK = 0.5


def stream(run: RestoreRun) -> None:
    """Prepare the restore and read the archive, from where an earlier run stopped, until every row is on the disk."""
    job = run.job
    prepared = prepare(run)
    spool = StatementSpool(job.own_work / "spool")
    settings = LoadSettings(run)
    loaders = Loaders(
        job.server,
        spool,
        prepared.collations,
        threads=job.loaders or max(2, os.cpu_count() or 2),
        dump=job.own_work / "dump.json",
        patience=job.database_patience,
        came_back=settings.apply_again,
    )
    spool.loaded = run.ask(loaders.loaded_before)
    progress = StreamProgress(run.status, prepared.source, loaders)
    try:
        with settings.applied(), prepared.source.running(), run.timed("stream"):
            _read(run, prepared, spool, loaders, progress)
            _wait_for_rows(run, spool, loaders, progress)
            run.ask(loaders.create_views)
            loaded = run.ask(loaders.total)
            run.ask(lambda: database.force_to_disk(job.server))
    finally:
        loaders.stop()
        spool.close()
    progress.note_transfer()
    _report(run, prepared, loaded)
    run.enter("finish")


def _read(
    run: RestoreRun, prepared: Prepared, spool: StatementSpool, loaders: Loaders, progress: StreamProgress
) -> None:
    """Read the volumes into the tree and the spool."""
    job, source = run.job, prepared.source
    owner = owner_of(job)
    job.tree.mkdir(parents=True, exist_ok=True)
    if owner:
        os.chown(job.tree, *owner)
    writer = TreeWriter(job.tree, owner=owner, rename=portal_setup.place)

    def check_part(size: int, read: int) -> None:
        check_dump_part(job, size, max(size, source.unpacked - read))

    def beat(number: int, proven: bool) -> None:
        run.check_stopped()
        loaders.check()
        if proven:
            _start_loading(run, spool, loaders)
        progress.show(number)

    pipeline = Pipeline(
        source,
        prepared.stream,
        writer,
        spool=spool,
        journal=run.journal,
        loaders=loaders,
        check_part=check_part,
        beat=beat,
        low_disk=job.low_disk,
    )
    try:
        pipeline.run()
        progress.show(pipeline.number, at_once=True)
        run.journal.report.update({"files": writer.files, "bytes": writer.bytes, "volumes": source.count})
    finally:
        writer.release()


def _start_loading(run: RestoreRun, spool: StatementSpool, loaders: Loaders) -> None:
    if loaders.started or not spool.tables:
        return
    journal = run.journal
    charset = journal.charset or spool.charset or "utf8mb4"
    loaders.start(charset, run.ask(lambda: loaders.settle_database(charset, journal.collation)))


def _wait_for_rows(run: RestoreRun, spool: StatementSpool, loaders: Loaders, progress: StreamProgress) -> None:
    _start_loading(run, spool, loaders)
    if not loaders.started:
        raise BackupError("the dump has no tables", run.journal.archive, "have the vendor make a new backup")
    status = run.status
    status.measured = None
    status.unit = "bytes"
    status.begin("load", spool.size, "loading the last rows", done=loaders.report.bytes)
    while not loaders.finish(_TICK):
        run.check_stopped()
        loaders.check()
        progress.show_loaded("everything is unpacked")
        status.advance(min(spool.size, loaders.report.bytes))
    progress.show_loaded("everything is unpacked and loaded")


def _report(run: RestoreRun, prepared: Prepared, loaded: LoadReport) -> None:
    report, source = run.journal.report, prepared.source
    report.update(
        {
            "tables": loaded.tables,
            "rows": loaded.rows,
            "warnings": loaded.warnings,
            "fulltext_failed": loaded.fulltext_failed,
        }
    )
    if isinstance(source, Download) and source.last_byte is not None:
        report["seconds_after_last_byte"] = round(time.monotonic() - source.last_byte, 1)
