"""Reading volumes in order into tree and spool, with a checkpoint at the end of each volume.

A volume that turns out bad while it is read takes everything back to its beginning, and so does a crash.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from encaja.restore.archive.stream import ArchiveStream, read_ahead
from encaja.restore.archive.tars import TarError, TarReader
from encaja.restore.archive.tree import TreeWriter
from encaja.restore.errors import BadVolume
from encaja.restore.journal import Journal, boot_id
from encaja.restore.load.loader import Loaders
from encaja.restore.load.statement_spool import StatementSpool
from encaja.restore.member_router import BEGINNING, MemberRouter
from encaja.restore.source import VolumeSource

_DURABLE_SECONDS = 30.0


class Pipeline:
    """Volumes in, tree and statements out.

    Args:
        source: gives the volumes.
        stream: unpacks and decrypts them.
        writer: the new tree.
        spool: takes the dump.
        journal: keeps the checkpoints.
        loaders: load what the spool holds.
        check_part: called with the bytes of each further file of the dump, and the bytes of the tar stream read so far.
        beat: called after every piece and volume, with the number of the volume being read and whether what was read is
            verified.
        low_disk: volumes are deleted as soon as they are consumed.
    """

    def __init__(
        self,
        source: VolumeSource,
        stream: ArchiveStream,
        writer: TreeWriter,
        *,
        spool: StatementSpool,
        journal: Journal,
        loaders: Loaders,
        check_part: Callable[[int, int], None],
        beat: Callable[[int, bool], None],
        low_disk: bool,
    ) -> None:
        self._source = source
        self._stream = stream
        self._spool = spool
        self._journal = journal
        self._loaders = loaders
        self._beat = beat
        self._low_disk = low_disk
        self._check_part = check_part
        self._router = MemberRouter(writer, spool, self._keep_collation, self._part_begins)
        self._reader = TarReader(self._router)
        self.number = 0

    def run(self) -> None:
        """Read to the end, from the last checkpoint.

        Raises:
            BadVolume: a volume is bad and cannot be fetched again.
            BackupError: this is no archive, the disk is full, a loader failed …
        """
        self._resume()
        durable = time.monotonic()
        while self.number < self._source.count:
            path = self._source.wait(self.number, lambda: self._beat(self.number, False))
            try:
                self._read(path)
            except (BadVolume, TarError) as error:
                self._source.reject(self.number, error.reason)
                self._resume()
                continue
            self.number += 1
            self._spool.commit(ended=self._router.dump_ended)
            self._beat(self.number, True)
            self._checkpoint()
            if self._low_disk or time.monotonic() - durable > _DURABLE_SECONDS:
                self._make_durable()
                durable = time.monotonic()
            self._source.consumed(self.number - 1, delete=self._low_disk)

    def _read(self, path: Path) -> None:
        with read_ahead(self._stream.pieces(self.number, path)) as pieces:
            for piece in pieces:
                self._reader.feed(piece)
                if self._source.proven_first:
                    self._spool.commit()
                self._beat(self.number, self._source.proven_first)
        if self.number == self._source.count - 1:
            self._reader.finish()
            self._router.finish()

    def _part_begins(self, size: int) -> None:
        self._check_part(size, self._reader.offset)

    def _keep_collation(self, charset: str | None, collation: str | None) -> None:
        self._journal.charset, self._journal.collation = charset, collation

    def _resume(self) -> None:
        """Take tree, spool and tar reader back to the last checkpoint."""
        point = self._journal.resume_point()
        if point is None:
            self._router.resume(BEGINNING, "")
            self.number, self._reader = 0, TarReader(self._router)
            return
        self._router.resume(point["sink"], point["pending"])
        self.number, self._reader = int(point["volume"]), TarReader(self._router, point["tar"])

    def _checkpoint(self) -> None:
        journal = self._journal
        taken = journal.durable["pending"] if journal.durable else None
        before = journal.checkpoint["pending"] if journal.checkpoint else None
        pending = f"pending-{self.number}.bin"
        self._router.save_pending(pending)
        journal.checkpoint = {
            "volume": self.number,
            "count": self._source.count,
            "tar": self._reader.state(),
            "sink": self._router.state(),
            "pending": pending,
        }
        journal.boot = boot_id()
        journal.save()
        if before and before not in (taken, pending):
            self._router.forget_pending(before)

    def _make_durable(self) -> None:
        """Force everything to the disk, and delete the statements of tables that are loaded completely."""
        done = self._loaders.take_done()
        os.sync()
        self._journal.durable = self._journal.checkpoint
        self._journal.save()
        for table in done:
            self._spool.drop(table)
