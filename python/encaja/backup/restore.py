"""The restore of a portal, from the vendor's archive to a live site.

Verified volumes go in order through decrypt, gunzip and untar into a new tree, and the dump into a new database.
Fetching, unpacking and loading run at the same time. The pipeline's state is written down at the end of every volume; a
volume that turns out bad while it is read takes the pipeline back to its beginning, and so does a crash. Nothing live
is
touched before the end, where one rename switches tree and database together.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql

from encaja.backup import clouds, database, naming, site, space, switch
from encaja.backup.archive import describe
from encaja.backup.errors import BackupError, BackupUsageError, BadVolume, TargetNotReady
from encaja.backup.fetch import Fetcher
from encaja.backup.fetch.links import make_link
from encaja.backup.job import RestoreJob
from encaja.backup.journal import Journal, boot_id, load_journal
from encaja.backup.loader import Loaders
from encaja.backup.proof import check_first_block
from encaja.backup.spool import Spool
from encaja.backup.sqldump import AFTER_CONNECT_NAME, DUMP_NAME, after_connect
from encaja.backup.stream import ArchiveStream, first_block, read_ahead
from encaja.backup.tars import Member, TarError, TarReader
from encaja.backup.tree import TreeWriter, safe_name
from encaja.backup.unpack import require_complete
from encaja.status import Status

_AHEAD = 6
_DURABLE_SECONDS = 30.0
_TICK = 0.5
_FRONT = (b"bitrix/.config.php",)


class _RestoreSink:
    """Sends the dump to the spool and everything else to the tree.

    Args:
        writer: the new tree.
        spool: the dump's way to the database.
        settled: called with the character set and collation that ``_after_connect.sql`` gives.
    """

    def __init__(self, writer: TreeWriter, spool: Spool, settled: Callable[[str | None, str | None], None]) -> None:
        self._writer = writer
        self._spool = spool
        self._settled = settled
        self._kind = ""
        self._after = b""
        self.dump_seen = False
        self.dump_ended = False

    def begin(self, member: Member) -> None:
        """Choose where the member goes by its name."""
        name = safe_name(member.name)
        if AFTER_CONNECT_NAME.fullmatch(name):
            self._kind, self._after = "after", b""
        elif DUMP_NAME.fullmatch(name):
            self._kind, self.dump_seen = "dump", True
        else:
            self._kind = "tree"
            if not self.dump_ended and name not in _FRONT:
                self._end_dump(name)
            self._writer.begin(member)

    def data(self, piece: memoryview) -> None:
        """Pass the bytes on."""
        if self._kind == "tree":
            self._writer.data(piece)
        elif self._kind == "dump":
            self._spool.feed(piece)
        else:
            self._after += piece

    def end(self) -> None:
        """The member is complete."""
        if self._kind == "tree":
            self._writer.end()
        elif self._kind == "dump":
            self._spool.end_part()
        else:
            self._settled(*after_connect(self._after))
        self._kind = ""

    def finish(self) -> None:
        """The archive is over."""
        if not self.dump_ended:
            self._end_dump(b"")

    def _end_dump(self, name: bytes) -> None:
        """The dump stands at the front of the archive: the first file of the tree says that it is over."""
        if not self.dump_seen:
            raise BackupError(
                "the archive has no dump at its front",
                os.fsdecode(name),
                "this is no full backup of a portal; take one with its database",
            )
        self._spool.end()
        self.dump_ended = True

    def state(self) -> dict[str, Any]:
        """The whole state as plain values."""
        return {
            "kind": self._kind,
            "after": self._after.hex(),
            "seen": self.dump_seen,
            "ended": self.dump_ended,
            "tree": self._writer.state(),
            "spool": self._spool.state(),
        }

    def save_pending(self, name: str) -> None:
        """Keep what the state does not hold."""
        self._spool.save_pending(name)

    def forget_pending(self, name: str) -> None:
        """It is not needed any more."""
        self._spool.forget_pending(name)

    def resume(self, state: dict[str, Any], pending: str) -> None:
        """Go back to an earlier state."""
        self._kind, self._after = state["kind"], bytes.fromhex(state["after"])
        self.dump_seen, self.dump_ended = state["seen"], state["ended"]
        self._writer.resume(state["tree"])
        self._spool.resume(state["spool"], pending)


class Restore:
    """One restore, from wherever it stands to its end.

    Args:
        job: what to restore.
    """

    def __init__(self, job: RestoreJob) -> None:
        self.job = job
        self.status = Status(job.status_file)
        self._journal: Journal | None = None
        self._fetcher: Fetcher | None = None
        self._fetching: threading.Thread | None = None
        self._volumes: naming.VolumeSet | None = None
        self._loaders: Loaders | None = None
        self._count = 0
        self._unpacked = 0
        self._stored = 0
        self._reading = 0
        self._phase_began = time.monotonic()
        self._last_byte: float | None = None
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
        """
        self._journal = load_journal(self.job.own_work / "journal.json")
        if self._journal and self._journal.phase == "done":
            self.status.extra["changed"] = False
            self._show("done", "nothing to do: this restore is done")
            return self._journal.report
        if self._journal is None or self._journal.phase == "stream":
            self._stream_phase()
        if self.journal.phase == "finish":
            with self._timed("finish"):
                self._finish()
        if self.journal.phase == "switch":
            with self._timed("switch"):
                self._switch()
        self._show("done", "restored")
        return self.journal.report

    def cancel(self) -> None:
        """Break off soon; the next run goes on."""
        self._stopped.set()
        if self._fetcher:
            self._fetcher.stop()

    # --- checks ---

    def _stream_phase(self) -> None:
        self._show("check", "looking at archive, disk and database")
        stream = self._open_source()
        known = self._journal
        if known and known.archive != str(stream.name):
            raise BackupUsageError(
                f"{self.job.stamp} was begun with {known.archive}",
                str(self.job.own_work),
                "give this restore another stamp",
            )
        switch.check_link(self.job.link)
        if known is None:
            if self.job.tree.exists() and any(self.job.tree.iterdir()):
                raise TargetNotReady("the new tree is not empty", str(self.job.tree), "give this restore another stamp")
            self._check_space(stream)
        run = known.run if known else self._identity()
        collations = database.prepare_database(self.job.server, run)
        if known is None:
            known = Journal(self.job.own_work / "journal.json", str(stream.name), run)
            known.header = stream.header.hex()
            known.save()
        self._journal = known
        if stream.name.encrypted and not stream.header:
            stream.open(bytes.fromhex(known.header))
        spool = Spool(self.job.own_work / "spool")
        threads = self.job.loaders or max(2, os.cpu_count() or 2)
        self._loaders = Loaders(self.job.server, spool, collations, threads, self.job.database_patience)
        spool.loaded = self._loaders.loaded_before()
        try:
            with self._load_settings(), self._fetching_in_background(), self._timed("stream"):
                self._pipeline(stream, spool)
                self._wait_for_rows(spool)
                self._loaders.create_views()
        finally:
            self._loaders.stop()
            spool.close()
        load = self._loaders.report
        self.journal.report.update(
            {
                "tables": load.tables,
                "rows": load.rows,
                "warnings": load.warnings,
                "fulltext_failed": load.fulltext_failed,
            }
        )
        if self._last_byte is not None:
            self.journal.report["seconds_after_last_byte"] = round(time.monotonic() - self._last_byte, 1)
        self.journal.phase = "finish"
        self.journal.save()

    def _identity(self) -> str:
        """What marks the new database as ours: on disk before the mark is, so that a kill in between is no loss."""
        path = self.job.own_work / "identity"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(".identity.new")
            with beside.open("w") as stream:
                stream.write(secrets.token_hex(8))
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        return path.read_text()

    def _open_source(self) -> ArchiveStream:
        """Find the archive, by link or in its folder, and check its head and password before anything else."""
        self.job.directory.mkdir(parents=True, exist_ok=True)
        header = bytes.fromhex(self._journal.header) if self._journal else b""
        point = self._journal.resume_point() if self._journal else None
        if self.job.url:
            link = make_link(self.job.url, self.job.volumes, self.job.listing)
            self._fetcher = Fetcher(
                link, self.job.directory, self.job.fetch, ahead=_AHEAD if self.job.low_disk else None
            )
            self._fetcher.prepare()
            self._count = self._fetcher.count
            block, name = self._fetcher.first_block, self._fetcher.name
        elif point is not None and self._journal:
            name = naming.VolumeName.require(self._journal.archive)
            block, self._count = header, int(point["count"])
        else:
            self._volumes = naming.find_volumes(self.job.directory)
            name = self._volumes.first
            self._count = require_complete(self._volumes)
            block = first_block(name, self._volumes.path(0))
            check_first_block(name, block, str(self._volumes.path(0)))
        stream = ArchiveStream(name, self.job.password)
        if name.encrypted:
            stream.open(header or block, self.job.url or str(self.job.directory))
        return stream

    def _check_space(self, stream: ArchiveStream) -> None:
        head = b""
        if self._fetcher:
            self._stored = self._fetcher.first_size * self._count
            self._unpacked = (self._fetcher.unpacked_size or self._fetcher.first_size) * self._count
            to_fetch = max(0, self._stored - self._fetcher.progress().done)
            if self.job.low_disk:
                to_fetch = to_fetch * min(_AHEAD, self._count) // max(1, self._count)
            head = self._fetcher.head
        elif self._volumes:
            found = describe(self._volumes)
            self._unpacked = found.unpacked_bytes or found.stored_bytes * 4
            self._stored, to_fetch = found.stored_bytes, 0
            with self._volumes.path(0).open("rb") as source:
                head = source.read(1 << 16)
        opened = ArchiveStream(stream.name, self.job.password, stream.header or None)
        dump = space.dump_size(space.unpack_prefix(head, compressed=stream.name.compressed, decryptor=opened.decryptor))
        space.check_space(
            space.needs(
                unpacked=self._unpacked,
                dump=dump,
                to_fetch=to_fetch,
                tree=self.job.tree,
                volumes=self.job.directory,
                spool=self.job.own_work,
                database=_data_directory(self.job),
            )
        )

    # --- the pipeline ---

    def _pipeline(self, stream: ArchiveStream, spool: Spool) -> None:
        """Read the volumes in order; a bad one takes everything back to its beginning."""
        tree = self.job.tree
        owner = owner_of(self.job)
        for folder in (tree.parent, tree):
            if not folder.exists():
                folder.mkdir(parents=True)
                if owner and folder == tree:
                    os.chown(folder, *owner)
        writer = TreeWriter(tree, owner=owner, rename=site.place)
        sink = _RestoreSink(writer, spool, self._remember_collation)
        try:
            number, reader = self._resume(sink)
            durable = time.monotonic()
            while number < self._count:
                path = self._wait_volume(number)
                self._reading = number
                try:
                    with read_ahead(stream.pieces(number, path)) as pieces:
                        for piece in pieces:
                            reader.feed(piece)
                            self._beat(spool, proven=self._fetcher is not None and stream.name.compressed)
                    if number == self._count - 1:
                        reader.finish()
                        sink.finish()
                except (BadVolume, TarError) as error:
                    self._reject(number, path, error)
                    number, reader = self._resume(sink)
                    continue
                number += 1
                spool.commit(ended=sink.dump_ended)
                self._start_loading(spool)
                self._checkpoint(number, reader, sink)
                if self.job.low_disk or time.monotonic() - durable > _DURABLE_SECONDS:
                    self._make_durable(spool)
                    durable = time.monotonic()
                if self._fetcher:
                    self._fetcher.consumed(number - 1, delete=self.job.low_disk)
                elif self.job.low_disk:
                    path.unlink()
            self.journal.report.update({"files": writer.files, "bytes": writer.bytes, "volumes": self._count})
        finally:
            writer.release()

    def _resume(self, sink: _RestoreSink) -> tuple[int, TarReader]:
        """Put tree, spool and parser to where the journal says."""
        point = self.journal.resume_point()
        if point is None:
            sink.resume(
                {
                    "kind": "",
                    "after": "",
                    "seen": False,
                    "ended": False,
                    "tree": {"file": None, "files": 0, "bytes": 0},
                    "spool": {"charset": None, "finished": False, "pending": 0, "ended": False, "tables": []},
                },
                "",
            )
            return 0, TarReader(sink)
        sink.resume(point["sink"], point["pending"])
        return int(point["volume"]), TarReader(sink, point["tar"])

    def _checkpoint(self, number: int, reader: TarReader, sink: _RestoreSink) -> None:
        durable = self.journal.durable
        taken = durable["pending"] if durable else None
        before = self.journal.checkpoint["pending"] if self.journal.checkpoint else None
        pending = f"pending-{number}.bin"
        sink.save_pending(pending)
        self.journal.checkpoint = {
            "volume": number,
            "count": self._count,
            "tar": reader.state(),
            "sink": sink.state(),
            "pending": pending,
        }
        self.journal.boot = boot_id()
        self.journal.save()
        if before and before not in (taken, pending):
            sink.forget_pending(before)

    def _make_durable(self, spool: Spool) -> None:
        """Force everything to the disk; what is loaded for good by then needs no statements any more."""
        loaders = self._loaders
        done = loaders.take_done() if loaders else []
        os.sync()
        self.journal.durable = self.journal.checkpoint
        self.journal.save()
        for table in done:
            spool.drop(table)

    def _reject(self, number: int, path: Path, error: BackupError) -> None:
        reason = error.reason if isinstance(error, (BadVolume, TarError)) else error.what
        if self._fetcher is None:
            raise BadVolume(number, reason, str(path)) from error
        self._fetcher.reject(number, reason)

    def _wait_volume(self, number: int) -> Path:
        if self._fetcher:
            path = self._fetcher.wait(number)
            if number == self._count - 1:
                self._last_byte = self._last_byte or time.monotonic()
            return path
        path = self.job.directory / str(naming.VolumeName.require(self.journal.archive).volume(number))
        if not path.is_file():
            raise BackupError("the volume is missing", str(path), "lay it there and run the same command again")
        return path

    def _beat(self, spool: Spool, *, proven: bool) -> None:
        if self._stopped.is_set():
            raise BackupError("broken off", str(self.job.own_work), "run the same command again; it goes on")
        if self._loaders:
            self._loaders.check()
        if proven:
            spool.commit()
            self._start_loading(spool)
        self._progress()

    def _remember_collation(self, charset: str | None, collation: str | None) -> None:
        self.journal.charset, self.journal.collation = charset, collation

    def _start_loading(self, spool: Spool) -> None:
        loaders = self._loaders
        if loaders is None or loaders.started or not spool.tables:
            return
        charset = self.journal.charset or spool.charset or "utf8mb4"
        collation = loaders.settle_database(charset, self.journal.collation)
        loaders.start(charset, collation)

    def _wait_for_rows(self, spool: Spool) -> None:
        loaders = self._loaders
        if loaders is None:
            return
        self._start_loading(spool)
        if not loaders.started:
            raise BackupError("the dump has no tables", self.journal.archive, "have the vendor make a new backup")
        while not loaders.finish(_TICK):
            if self._stopped.is_set():
                raise BackupError("broken off", str(self.job.own_work), "run the same command again; it goes on")
            self._progress()

    # --- around it ---

    @contextmanager
    def _load_settings(self) -> Iterator[None]:
        """Set the server's settings for the load, and put them back; the journal knows what they were."""
        server = self.job.server
        try:
            if self.journal.settings is None:
                self.journal.settings = database.read_settings(server)
                self.journal.save()
            wanted = dict(database.LOAD_SETTINGS)
            if self.journal.settings["innodb_flush_log_at_trx_commit"] != 1:
                del wanted["innodb_flush_log_at_trx_commit"]
            if not database.apply_settings(server, wanted):
                self.journal.settings = None
                self.journal.report["note"] = "the server's settings could not be changed for the load"
        except pymysql.err.Error as error:
            raise database.explain(error, server) from error
        try:
            yield
        finally:
            put_back_settings(self.journal, self.job)

    @contextmanager
    def _fetching_in_background(self) -> Iterator[None]:
        fetcher = self._fetcher
        if fetcher is None:
            yield
            return

        def fetch() -> None:
            with suppress(BaseException):  # whoever waits for a volume gets it
                fetcher.run(hold=True)

        self._fetching = threading.Thread(target=fetch, name="fetch", daemon=True)
        self._fetching.start()
        try:
            yield
        finally:
            fetcher.stop()
            self._fetching.join()

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        self.status.begin(phase)
        try:
            yield
        finally:
            spent = self.journal.seconds.get(phase, 0.0) + time.monotonic() - began
            self.journal.seconds[phase] = round(spent, 2)
            self.journal.save()

    def _show(self, phase: str, message: str) -> None:
        self.status.begin(phase, message=message)

    def _progress(self) -> None:
        status = self.status
        loaders = self._loaders.report if self._loaders else None
        extra: dict[str, Any] = {
            "volume": self._reading,
            "volumes": self._count,
            "tables_loaded": loaders.tables if loaders else 0,
            "rows_loaded": loaders.rows if loaders else 0,
        }
        if self._fetcher:
            progress = self._fetcher.progress()
            extra |= {
                "volumes_good": progress.good,
                "volumes_under_way": progress.under_way,
                "volumes_rejected": progress.rejected,
                "fetch_rate": round(progress.rate),
                "fetch_eta_seconds": progress.eta_seconds,
            }
            status.total, done = progress.total, progress.done
            status.message = f"{progress.good} of {progress.count} volumes proven, reading volume {self._reading}"
        else:
            status.total, done = self._count, self._reading
            status.unit = "volumes"
            status.message = f"reading volume {self._reading} of {self._count}"
        if loaders:
            status.message += f", {loaders.tables} tables and {loaders.rows} rows loaded"
        status.extra.update(extra)
        status.advance(done)

    # --- the end ---

    def _finish(self) -> None:
        """Everything after the last byte and the last row, up to but without the switch; can be repeated."""
        job = self.job
        owner = owner_of(job)
        self._show("finish", "configuring the new tree")
        report = self.journal.report
        self._fetch_clouds(owner)
        buckets = job.tree / "upload" / "clouds"
        site.configure(job.tree, job.server, owner, freeze=job.freeze)
        try:
            connection = database.connect(job.server, charset=self.journal.charset or "utf8mb4")
            try:
                report["changes"] = site.adjust_database(
                    connection, job.domain, fulltext_failed=bool(report.get("fulltext_failed")), clouds=buckets
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
        self.journal.phase = "switch" if job.switch else "done"
        self.journal.save()

    def _fetch_clouds(self, owner: tuple[int, int] | None) -> None:
        if not self.job.cloud_mirrors:
            return
        for name in site.CLOUD_MANIFESTS:
            manifest = self.job.tree / name
            if not manifest.is_file():
                continue
            files = clouds.read_manifest(manifest.read_text(encoding="utf-8", errors="surrogateescape"), name)
            total = sum(file.size for file in files)
            self.status.begin("cloud files", total, f"{len(files)} files of the cloud")
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                self.status.advance(done)

            found = clouds.CloudFetcher(self.job.tree, self.job.cloud_mirrors, owner).run(files, advance)
            self.journal.report["cloud_files"] = {
                "fetched": found.fetched,
                "present": found.present,
                "missing": len(found.missing),
            }
            if found.missing:
                listed = "<?php die(); ?>\n" + "\n".join(sorted(found.missing)) + "\n"
                (self.job.tree / clouds.MISSING_LIST).write_text(listed, encoding="utf-8", errors="surrogateescape")
                self.journal.report.setdefault("warnings", []).append(
                    f"{len(found.missing)} files of the cloud are at no mirror: {clouds.MISSING_LIST}"
                )
            else:
                manifest.unlink()

    def _switch(self) -> None:
        self._show("switch", "making the new tree the live one")
        done = switch.switch(self.job.link, self.job.tree, self.job.work, self.job.after_switch)
        self.journal.previous = done.before
        self.journal.phase = "done"
        self.journal.report["seconds"] = self.journal.seconds
        self.journal.save()


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


def owner_of(job: RestoreJob) -> tuple[int, int] | None:
    """User and group id of the new tree; None to leave them."""
    if not job.owner:
        return None
    try:
        user = pwd.getpwnam(job.owner)
        group = grp.getgrnam(job.group).gr_gid if job.group else user.pw_gid
    except KeyError as error:
        raise TargetNotReady(f"no such user or group: {error}", "owner", "install the web server first") from error
    return user.pw_uid, group


def _data_directory(job: RestoreJob) -> Path | None:
    """Folder of the database when it is on this machine."""
    local = job.server.socket or job.server.host in ("localhost", "127.0.0.1", "::1")
    if not local:
        return None
    try:
        connection = database.connect(job.server, database=False)
        try:
            folder = Path(str(database.query(connection, "SELECT @@datadir")[0][0]))
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise database.explain(error, job.server) from error
    return folder if folder.is_dir() else None


def _sync_tree(tree: Path) -> None:
    """Force the tree's file system to the disk before it goes live."""
    descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)
