"""The database server's global settings during the load; the journal keeps what they were before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from encaja.restore.job import RestoreJob
from encaja.restore.journal import Journal
from encaja.restore.load import database
from encaja.restore.run import RestoreRun


class LoadSettings:
    """The settings that one run sets.

    Args:
        run: the run; its journal has to exist when they are set.
    """

    def __init__(self, run: RestoreRun) -> None:
        self._run = run
        self._applied: dict[str, int] = {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set them, and put back what was there before."""
        self._run.ask(self._apply)
        try:
            yield
        finally:
            put_back_settings(self._run.journal, self._run.job)

    def apply_again(self) -> None:
        """Set them on a server that was restarted: it has its own settings again."""
        if self._applied:
            database.apply_settings(self._run.job.server, self._applied)

    def _apply(self) -> None:
        server, journal = self._run.job.server, self._run.journal
        if journal.settings is None:
            journal.settings = database.read_settings(server)
            journal.save()
        wanted = dict(database.LOAD_SETTINGS)
        if journal.settings["innodb_flush_log_at_trx_commit"] != 1:
            del wanted["innodb_flush_log_at_trx_commit"]
        if database.apply_settings(server, wanted):
            self._applied = wanted
        else:
            journal.settings = None
            journal.report["note"] = "the server's settings could not be changed for the load"


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
