"""Reading volumes in order into tree and spool, so that it can be taken back to the end of any volume.

The state is written down at the end of every volume. A volume that turns out bad while it is read takes everything back
to its beginning, and so does a crash.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from encaja.restore.archive.stream import ArchiveStream, read_ahead
from encaja.restore.archive.tars import TarError, TarReader
from encaja.restore.errors import BadVolume
from encaja.restore.journal import Journal, boot_id
from encaja.restore.load.loader import Loaders
from encaja.restore.load.statement_spool import Spool
from encaja.restore.member_router import BEGINNING, RestoreSink
from encaja.restore.source import VolumeSource

_DURABLE_SECONDS = 30.0


class Pipeline:
    """Volumes in, tree and statements out.

    Args:
        source: gives the volumes.
        stream: unpacks and decrypts them.
        sink: takes the members.
        spool: takes the dump; the sink's.
        journal: keeps where it stands.
        loaders: load what the spool holds.
        beat: called after every piece and volume, with whether what was read is proven.
        low_disk: volumes are deleted as soon as they are consumed.
    """

    def __init__(
        self,
        source: VolumeSource,
        stream: ArchiveStream,
        sink: RestoreSink,
        *,
        spool: Spool,
        journal: Journal,
        loaders: Loaders,
        beat: Callable[[bool], None],
        low_disk: bool,
    ) -> None:
        self._source = source
        self._stream = stream
        self._sink = sink
        self._spool = spool
        self._journal = journal
        self._loaders = loaders
        self._beat = beat
        self._low_disk = low_disk
        self._reader = TarReader(sink)
        self.number = 0

    @property
    def offset(self) -> int:
        """Bytes of the tar stream that were read."""
        return self._reader.offset

    def run(self) -> None:
        """Read to the end, from wherever the journal stands.

        Raises:
            BadVolume: a volume is bad, and there is no other to be had.
            BackupError: the archive is none, the disk is full, a loader failed …
        """
        self._resume()
        durable = time.monotonic()
        while self.number < self._source.count:
            path = self._source.wait(self.number, lambda: self._beat(False))
            try:
                self._read(path)
            except (BadVolume, TarError) as error:
                self._source.reject(self.number, error.reason)
                self._resume()
                continue
            self.number += 1
            self._spool.commit(ended=self._sink.dump_ended)
            self._beat(True)
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
                self._beat(self._source.proven_first)
        if self.number == self._source.count - 1:
            self._reader.finish()
            self._sink.finish()

    def _resume(self) -> None:
        """Put tree, spool and parser to where the journal says."""
        point = self._journal.resume_point()
        if point is None:
            self._sink.resume(BEGINNING, "")
            self.number, self._reader = 0, TarReader(self._sink)
            return
        self._sink.resume(point["sink"], point["pending"])
        self.number, self._reader = int(point["volume"]), TarReader(self._sink, point["tar"])

    def _checkpoint(self) -> None:
        journal = self._journal
        taken = journal.durable["pending"] if journal.durable else None
        before = journal.checkpoint["pending"] if journal.checkpoint else None
        pending = f"pending-{self.number}.bin"
        self._sink.save_pending(pending)
        journal.checkpoint = {
            "volume": self.number,
            "count": self._source.count,
            "tar": self._reader.state(),
            "sink": self._sink.state(),
            "pending": pending,
        }
        journal.boot = boot_id()
        journal.save()
        if before and before not in (taken, pending):
            self._sink.forget_pending(before)

    def _make_durable(self) -> None:
        """Force everything to the disk; what is loaded for good by then needs no statements any more."""
        done = self._loaders.take_done()
        os.sync()
        self._journal.durable = self._journal.checkpoint
        self._journal.save()
        for table in done:
            self._spool.drop(table)
