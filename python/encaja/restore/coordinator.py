"""The restore of a portal: its phases in order, each from where an earlier run left it."""

from __future__ import annotations

from typing import Any

from encaja.restore.errors import disk_error
from encaja.restore.finish import finish
from encaja.restore.result_checks import check_result
from encaja.restore.run import RestoreRun
from encaja.restore.stream import stream
from encaja.restore.switch import close, go_live


def restore(run: RestoreRun) -> dict[str, Any]:
    """Restore, or continue a restore; one that is done is only checked.

    Returns:
        The report: files, tables, rows, seconds by phase, warnings.

    Raises:
        EncajaError: what a person has to fix; the next run continues.
    """
    try:
        run.read_journal()
        if run.known and run.known.phase == "done":
            _check_done(run)
        else:
            _go_through(run)
    except OSError as error:
        raise disk_error(error, str(run.job.own_work)) from error
    return run.journal.report


def _go_through(run: RestoreRun) -> None:
    job = run.job
    close(job)
    if run.known is None or run.known.phase == "stream":
        stream(run)
    if run.journal.phase == "finish":
        with run.timed("finish"):
            run.ask(lambda: finish(run))
        run.enter("switch" if job.switch else "done")
    if run.journal.phase == "switch":
        with run.timed("switch"):
            run.ask(lambda: check_result(run, live=False, fresh=True))
            go_live(run)
    run.status.begin("proof", message="checking link, tree and database")
    run.ask(lambda: check_result(run, live=job.switch, fresh=True))
    run.status.finish("; ".join(["restored", *run.journal.report.get("versions", [])]))


def _check_done(run: RestoreRun) -> None:
    """Check that what an earlier run made is still there, and make it live where another tree is."""
    job = run.job
    run.status.begin("proof", message="this restore is done: checking link, tree and database")
    again = job.switch and job.link.resolve() != job.tree.resolve()
    if again:
        check_result(run, live=False, fresh=False)
        go_live(run)
    check_result(run, live=job.switch, fresh=False)
    run.status.extra["changed"] = again
    run.status.finish("made live again" if again else "nothing to do: this restore is done and live")
