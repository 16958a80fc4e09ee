"""What the status file shows while volumes are read and rows are loaded."""

from __future__ import annotations

import time

from encaja.restore.load.loader import Loaders
from encaja.restore.source import Download, VolumeSource
from encaja.status import Status


class StreamProgress:
    """Shows download, reading and loading in one status.

    Args:
        status: the progress file.
        source: the volumes.
        loaders: load the tables.
    """

    def __init__(self, status: Status, source: VolumeSource, loaders: Loaders) -> None:
        self._status = status
        self._source = source
        self._loaders = loaders
        self._began = time.monotonic()
        progress = source.progress()
        self._before = progress.done if progress else 0

    def show(self, reading: int, *, at_once: bool = False) -> None:
        """Write the progress, at most twice a second.

        Args:
            reading: number of the volume that is read.
            at_once: write it in any case.
        """
        status, source = self._status, self._source
        if not status.due and not at_once:
            return
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
            rejected = f", {progress.rejected} rejected and fetched again" if progress.rejected else ""
            waiting = progress.waiting
            message = f"{progress.good} of {progress.count} volumes verified{rejected}, reading volume {reading}"
        self.show_loaded(message, waiting)
        status.advance(done)

    def show_loaded(self, message: str, waiting: str = "") -> None:
        """Put what is loaded behind a message; the caller writes the file."""
        loaded = self._loaders.report
        self._status.message = f"{message}, {loaded.tables} tables and {loaded.rows} rows loaded"
        self._status.waiting = self._loaders.waiting or waiting
        self._status.extra |= {"tables_loaded": loaded.tables, "rows_loaded": loaded.rows}

    def note_transfer(self) -> None:
        """Put the whole download into the status: a quick one is over before anything reads it."""
        source = self._source
        if not isinstance(source, Download) or source.last_byte is None:
            return
        progress, seconds = source.progress(), source.last_byte - self._began
        if progress.done > self._before and seconds > 0:
            self._status.extra["transfer"] = {
                "phase": "stream",
                "done": progress.done,
                "total": progress.total,
                "unit": "bytes",
                "rate": round((progress.done - self._before) / seconds, 1),
                "ended": time.time() - (time.monotonic() - source.last_byte),
            }
