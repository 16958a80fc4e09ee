"""The restore of a portal, from the vendor's archive to a live site.

Verified volumes go in order through decrypt, gunzip and untar into a new tree, and the dump into a new database.
Fetching, unpacking and loading run at the same time. Nothing live is touched before the end, where one rename switches
tree and database together.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pymysql

from encaja.atomic import write_atomically
from encaja.restore import portal_setup, space, switch
from encaja.restore.archive import verify_volume
from encaja.restore.archive.naming import VolumeName
from encaja.restore.archive.stream import ArchiveStream
from encaja.restore.archive.tree import TreeWriter
from encaja.restore.checks import check_dump_part, check_target, owner_of
from encaja.restore.errors import BackupError, BackupUsageError, disk_error
from encaja.restore.fetch import Fetcher
from encaja.restore.fetch.links import Source, make_link
from encaja.restore.fetch.vendor_storage import VendorStorage, open_stored
from encaja.restore.finish import finish, prove
from encaja.restore.job import RestoreJob
from encaja.restore.journal import Journal, load_journal
from encaja.restore.load import database
from encaja.restore.load.loader import Loaders
from encaja.restore.load.statement_spool import Spool
from encaja.restore.member_router import RestoreSink
from encaja.restore.pipeline import Pipeline
from encaja.restore.source import AHEAD, Download, Folder, VolumeSource
from encaja.status import Status

_TICK = 0.5


class Restore:
    """One restore, from wherever it stands to its end.

    Args:
        job: what to restore.
    """

    def __init__(self, job: RestoreJob) -> None:
        self.job = job
        self.status = Status(job.status_file)
        self._journal: Journal | None = None
        self._source: VolumeSource | None = None
        self._loaders: Loaders | None = None
        self._pipeline: Pipeline | None = None
        self._server_settings: dict[str, int] = {}
        self._stopped = threading.Event()

    @property
    def journal(self) -> Journal:
        """The journal; there is one once the checks are done."""
        if self._journal is None:
            raise BackupError("the restore was not begun", str(self.job.own_work))
        return self._journal

    def run(self) -> dict[str, Any]:
        """Restore, or go on; does nothing when it is done.

        Returns:
            The report: files, tables, rows, seconds by phase, warnings.

        Raises:
            EncajaError: what a person has to fix; the next run goes on.
        """
        try:
            return self._run()
        except OSError as error:
            raise disk_error(error, str(self.job.own_work)) from error

    def _run(self) -> dict[str, Any]:
        self._journal = load_journal(self.job.own_work / "journal.json")
        if self._journal and self._journal.phase == "done":
            return self._done_before()
        if self._journal is None or self._journal.phase == "stream":
            self._stream()
        if self.journal.phase == "finish":
            with self._timed("finish"):
                self._ask(lambda: finish(self.job, self.journal, self.status))
            self._enter("switch" if self.job.switch else "done")
        if self.journal.phase == "switch":
            with self._timed("switch"):
                self._ask(lambda: prove(replace(self.job, switch=False), self.journal, fresh=True))
                self._switch()
        self.status.begin("proof", message="looking at link, tree and database")
        self._ask(lambda: prove(self.job, self.journal, fresh=True))
        self.status.finish("restored")
        return self.journal.report

    def _done_before(self) -> dict[str, Any]:
        """See that what an earlier run made is still there, and the live one."""
        self.status.begin("proof", message="this restore is done: looking at link, tree and database")
        again = self.job.switch and self.job.link.resolve() != self.job.tree.resolve()
        if again:
            prove(replace(self.job, switch=False), self.journal, fresh=False)
            self._switch()
        prove(self.job, self.journal, fresh=False)
        self.status.extra["changed"] = again
        self.status.finish("made live again" if again else "nothing to do: this restore is done and live")
        return self.journal.report

    def cancel(self) -> None:
        """Break off soon; the next run goes on."""
        self._stopped.set()
        if self._source:
            self._source.stop()

    def _enter(self, phase: str) -> None:
        self.journal.phase = phase
        self.journal.report["seconds"] = self.journal.seconds
        self.journal.save()

    # --- before it begins ---

    def _begin(self, source: VolumeSource, stream: ArchiveStream) -> None:
        """Check password, archive and target, and make the journal; nothing is changed before all of it is right."""
        known = self._journal
        if known and known.archive != str(source.name):
            raise BackupUsageError(
                f"{self.job.stamp} was begun with {known.archive}",
                str(self.job.own_work),
                "give this restore another stamp",
            )
        if source.name.encrypted:
            stream.open(source.first_block or bytes.fromhex(known.header if known else ""), self._where)
        if known:
            switch.check_link(self.job.link)
            return
        opened = ArchiveStream(source.name, self.job.password, stream.header or None)
        front = space.unpack_prefix(source.head, compressed=source.name.compressed, decryptor=opened.decryptor)
        verify_volume.check_front(front, self._where)
        check_target(self.job, source, front)

    @property
    def _where(self) -> str:
        return self.job.url or str(self.job.directory)

    def _identity(self) -> str:
        """What marks the new database as ours: on disk before the mark is, so that a kill in between is no loss."""
        path = self.job.own_work / "identity"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, secrets.token_hex(8).encode())
        return path.read_text()

    def _open_source(self) -> VolumeSource:
        """Find the archive, by link or in its folder."""
        job = self.job
        job.directory.mkdir(parents=True, exist_ok=True)
        if job.url is None:
            point = self._journal.resume_point() if self._journal else None
            begun = (
                (VolumeName.require(self._journal.archive), int(point["count"])) if self._journal and point else None
            )
            return Folder(job.directory, begun)
        link: Source = (
            open_stored(VendorStorage(job.licence, job.url), job.password, job.archive)
            if job.licence
            else make_link(job.url, job.volumes, job.listing)
        )
        fetcher = Fetcher(
            link, job.directory, job.fetch, ahead=AHEAD if job.low_disk else None, tell=self.status.wait_for
        )
        return Download(fetcher)

    # --- volumes to tree and rows ---

    def _stream(self) -> None:
        job = self.job
        self.status.begin("check", message="looking at archive, disk and database")
        source = self._source = self._open_source()
        self.status.message = f"looking at disk and database {job.server.place}"
        self.status.write()
        stream = ArchiveStream(source.name, job.password)
        self._begin(source, stream)
        run = self._journal.run if self._journal else self._identity()
        # It answered when the target was checked: from here on a server that went away is waited for.
        collations = self._ask(partial(database.prepare_database, job.server, run))
        if self._journal is None:
            self._journal = Journal(job.own_work / "journal.json", str(source.name), run, header=stream.header.hex())
            self._journal.save()
        spool = Spool(job.own_work / "spool")
        threads = job.loaders or max(2, os.cpu_count() or 2)
        loaders = self._loaders = Loaders(
            job.server,
            spool,
            collations,
            threads=threads,
            dump=job.own_work / "dump.json",
            patience=job.database_patience,
            came_back=self._set_server_again,
        )
        spool.loaded = self._ask(loaders.loaded_before)
        progress = source.progress()
        before, began = progress.done if progress else 0, time.monotonic()
        try:
            with self._load_settings(), source.running(), self._timed("stream"):
                self._read(source, stream, spool, loaders)
                self._wait_for_rows(spool, loaders)
                self._ask(loaders.create_views)
                load = self._ask(loaders.total)
                self._ask(lambda: database.force_to_disk(job.server))
        finally:
            loaders.stop()
            spool.close()
        self._tell_download(source, before, began)
        self.journal.report.update(
            {
                "tables": load.tables,
                "rows": load.rows,
                "warnings": load.warnings,
                "fulltext_failed": load.fulltext_failed,
            }
        )
        if isinstance(source, Download) and source.last_byte is not None:
            self.journal.report["seconds_after_last_byte"] = round(time.monotonic() - source.last_byte, 1)
        self._enter("finish")

    def _tell_download(self, source: VolumeSource, before: int, began: float) -> None:
        """Put the whole download into the status: a quick one is over before anybody looks."""
        progress = source.progress()
        if progress is None or not isinstance(source, Download) or source.last_byte is None:
            return
        seconds = source.last_byte - began
        if progress.done > before and seconds > 0:
            self.status.extra["transfer"] = {
                "phase": "stream",
                "done": progress.done,
                "total": progress.total,
                "unit": "bytes",
                "rate": round((progress.done - before) / seconds, 1),
                "ended": time.time() - (time.monotonic() - source.last_byte),
            }

    def _read(self, source: VolumeSource, stream: ArchiveStream, spool: Spool, loaders: Loaders) -> None:
        """Read the volumes into the tree and the spool."""
        tree = self.job.tree
        owner = owner_of(self.job)
        tree.mkdir(parents=True, exist_ok=True)
        if owner:
            os.chown(tree, *owner)
        writer = TreeWriter(tree, owner=owner, rename=portal_setup.place)

        def part_begins(size: int) -> None:
            check_dump_part(self.job, size, max(size, source.unpacked - pipeline.offset))

        def beat(proven: bool) -> None:
            self._check_alive()
            if proven:
                self._start_loading(spool, loaders)
            self._show(source)

        sink = RestoreSink(writer, spool, self._remember_collation, part_begins)
        pipeline = Pipeline(
            source,
            stream,
            sink,
            spool=spool,
            journal=self.journal,
            loaders=loaders,
            beat=beat,
            low_disk=self.job.low_disk,
        )
        self._pipeline = pipeline
        try:
            pipeline.run()
            self._show(source, at_once=True)
            self.journal.report.update({"files": writer.files, "bytes": writer.bytes, "volumes": source.count})
        finally:
            writer.release()

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise BackupError("broken off", str(self.job.own_work), "run the same command again; it goes on")

    def _check_alive(self) -> None:
        self._check_stopped()
        if self._loaders:
            self._loaders.check()

    def _remember_collation(self, charset: str | None, collation: str | None) -> None:
        self.journal.charset, self.journal.collation = charset, collation

    def _start_loading(self, spool: Spool, loaders: Loaders) -> None:
        if loaders.started or not spool.tables:
            return
        charset = self.journal.charset or spool.charset or "utf8mb4"
        loaders.start(charset, self._ask(lambda: loaders.settle_database(charset, self.journal.collation)))

    def _wait_for_rows(self, spool: Spool, loaders: Loaders) -> None:
        self._start_loading(spool, loaders)
        if not loaders.started:
            raise BackupError("the dump has no tables", self.journal.archive, "have the vendor make a new backup")
        self.status.measured = None
        self.status.unit = "bytes"
        self.status.begin("load", spool.size, "loading the last rows", done=loaders.report.bytes)
        while not loaders.finish(_TICK):
            self._check_alive()
            self._say_loaded("everything is unpacked")
            self.status.advance(min(spool.size, loaders.report.bytes))
        self._say_loaded("everything is unpacked and loaded")

    # --- around it ---

    def _ask(self, action: Callable[[], database.Answer]) -> database.Answer:
        """Do something with the database that may be repeated; a server that went away is waited for."""
        job = self.job
        return database.patiently(action, job.server, job.database_patience, self.status.wait_for, self._check_stopped)

    @contextmanager
    def _load_settings(self) -> Iterator[None]:
        """Set the server's settings for the load, and put them back; the journal knows what they were."""
        self._ask(self._set_server)
        try:
            yield
        finally:
            put_back_settings(self.journal, self.job)

    def _set_server(self) -> None:
        server = self.job.server
        if self.journal.settings is None:
            self.journal.settings = database.read_settings(server)
            self.journal.save()
        wanted = dict(database.LOAD_SETTINGS)
        if self.journal.settings["innodb_flush_log_at_trx_commit"] != 1:
            del wanted["innodb_flush_log_at_trx_commit"]
        if database.apply_settings(server, wanted):
            self._server_settings = wanted
        else:
            self.journal.settings = None
            self.journal.report["note"] = "the server's settings could not be changed for the load"

    def _set_server_again(self) -> None:
        """A server that was started anew has its own settings again."""
        if self._server_settings:
            database.apply_settings(self.job.server, self._server_settings)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        progress = self._source.progress() if self._source else None
        self.status.begin(phase, done=progress.done if progress else 0)
        try:
            yield
        finally:
            spent = self.journal.seconds.get(phase, 0.0) + time.monotonic() - began
            self.journal.seconds[phase] = round(spent, 2)
            self.journal.save()

    def _show(self, source: VolumeSource, *, at_once: bool = False) -> None:
        """Write the progress, at most twice a second."""
        status = self.status
        if not status.due and not at_once:
            return
        reading = self._pipeline.number if self._pipeline else 0
        progress, waiting = source.progress(), ""
        status.extra |= {"volume": reading, "volumes": source.count}
        if progress is None:
            status.unit, status.total, done = "volumes", source.count, reading
            message = f"reading volume {reading} of {source.count}"
        else:
            status.total, done, status.measured = progress.total, progress.done, progress.rate
            status.extra |= {
                "volumes_good": progress.good,
                "volumes_under_way": progress.under_way,
                "volumes_rejected": progress.rejected,
            }
            rejected = f", {progress.rejected} times one was bad" if progress.rejected else ""
            waiting = progress.waiting
            message = f"{progress.good} of {progress.count} volumes proven{rejected}, reading volume {reading}"
        self._say_loaded(message, waiting)
        status.advance(done)

    def _say_loaded(self, message: str, waiting: str = "") -> None:
        if self._loaders:
            loaded = self._loaders.report
            waiting = self._loaders.waiting or waiting
            message += f", {loaded.tables} tables and {loaded.rows} rows loaded"
            self.status.extra |= {"tables_loaded": loaded.tables, "rows_loaded": loaded.rows}
        self.status.message, self.status.waiting = message, waiting

    # --- the end ---

    def _switch(self) -> None:
        self.status.begin("switch", message="making the new tree the live one")
        done = switch.switch(self.job.link, self.job.tree, self.job.work, self.job.after_switch)
        self.journal.previous = done.before
        self._enter("done")


def put_back_settings(journal: Journal, job: RestoreJob) -> None:
    """Set the server's settings to what they were before the load, if that is not done yet."""
    if journal.settings is None:
        return
    try:
        database.apply_settings(job.server, journal.settings)
    except pymysql.err.Error as error:
        if not database.lost(error):
            raise database.explain(error, job.server) from error
        return  # a server that is away comes back with its own settings
    journal.settings = None
    journal.save()
