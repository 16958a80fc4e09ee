"""What the phases of a restore share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from encaja.restore.errors import BackupError
from encaja.restore.job import RestoreJob
from encaja.restore.journal import Journal, load_journal
from encaja.restore.load import database
from encaja.restore.source import VolumeSource
from encaja.status import Status


class RestoreRun:
    """One run of a restore: a restore takes as many as it is interrupted times, plus one.

    Attributes:
        job: what to restore.
        status: the progress file.
        source: the volumes; None until they are looked for, and in runs that need none.
    """

    def __init__(self, job: RestoreJob) -> None:
        self.job = job
        self.status = Status(job.status_file)
        self.source: VolumeSource | None = None
        self._journal: Journal | None = None
        self._stopped = threading.Event()

    @property
    def known(self) -> Journal | None:
        """The journal; None while the checks before the first change are not done."""
        return self._journal

    @property
    def journal(self) -> Journal:
        """The journal, where there has to be one.

        Raises:
            BackupError: there is none yet.
        """
        if self._journal is None:
            raise BackupError("the restore has not started", str(self.job.own_work))
        return self._journal

    def read_journal(self) -> None:
        """Read what earlier runs did."""
        self._journal = load_journal(self.job.own_work / "journal.json")

    def start_journal(self, archive: str, identity: str, header: bytes) -> None:
        """Write the journal of a restore whose checks are done."""
        self._journal = Journal(self.job.own_work / "journal.json", archive, identity, header=header.hex())
        self._journal.save()

    def enter(self, phase: str) -> None:
        """Note that a phase is over and the next one starts."""
        self.journal.phase = phase
        self.journal.report["seconds"] = self.journal.seconds
        self.journal.save()

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Show a phase, and add its seconds to those of earlier runs."""
        began = time.monotonic()
        progress = self.source.progress() if self.source else None
        self.status.begin(phase, done=progress.done if progress else 0)
        try:
            yield
        finally:
            spent = self.journal.seconds.get(phase, 0.0) + time.monotonic() - began
            self.journal.seconds[phase] = round(spent, 2)
            self.journal.save()

    def ask(self, action: Callable[[], database.Answer]) -> database.Answer:
        """Do something with the database that may be repeated, and wait for a server that went away."""
        job = self.job
        return database.patiently(action, job.server, job.database_patience, self.status.wait_for, self.check_stopped)

    def cancel(self) -> None:
        """Stop soon, from another thread; the next run continues."""
        self._stopped.set()
        if self.source:
            self.source.stop()

    def check_stopped(self) -> None:
        """Raise when the run was cancelled."""
        if self._stopped.is_set():
            raise BackupError("stopped", str(self.job.own_work), "rerun the command; it continues")
