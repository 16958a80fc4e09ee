"""Whether what a restore claims to have made is there."""

from __future__ import annotations

from encaja.portal import restored
from encaja.restore import portal_setup
from encaja.restore.errors import BackupError
from encaja.restore.load import database
from encaja.restore.run import RestoreRun


def check_result(run: RestoreRun, *, live: bool, fresh: bool) -> None:
    """Check the tree, its record and its database, and with ``live`` the link to the tree.

    Args:
        run: the restore.
        live: the tree has to be the live one.
        fresh: it was made just now, so the database has exactly the tables that were loaded.

    Raises:
        BackupError: something is not there.
    """
    job, journal = run.job, run.journal
    again = "drop the database, delete the tree and this restore's folder, and restore again; or take another stamp"
    if live and (not job.link.is_symlink() or job.link.resolve() != job.tree.resolve()):
        raise BackupError("the restored tree is not the live one", str(job.link), "run the restore again")
    if not (job.tree / portal_setup.SETTINGS).is_file():
        raise BackupError("the restored tree is not there", str(job.tree), again)
    record = restored.read_record(job.tree)
    if record and (record["stamp"], record["run"]) != (job.stamp, journal.run):
        raise BackupError(f"the tree comes from restore {record['stamp']}", str(job.tree), again)
    if fresh and not record:
        raise BackupError("the tree does not say which restore it comes from", str(job.tree), "run the restore again")
    (tables, held), loaded = database.count_tables(job.server), int(journal.report.get("tables", 0))
    if not tables - held <= loaded <= tables if fresh else not tables:  # a backup of a held portal has such tables too
        raise BackupError(f"the database has {tables} tables, {loaded} were loaded", job.server.place, again)
