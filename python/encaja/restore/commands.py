"""The host tool ``restore``: what systemd starts on the host, with its progress in the status file.

Jobs are described in ``encaja.restore.job``. ``cleanup`` puts the database server's settings back after a crash;
``rollback`` makes the tree that was live before the last switch the live one again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from encaja.errors import EncajaError
from encaja.restore import coordinator
from encaja.restore.job import read_job
from encaja.restore.journal import load_journal
from encaja.restore.run import RestoreRun
from encaja.restore.server_settings import put_back_settings
from encaja.restore.switch import roll_back
from encaja.status import Status

_PATIENCE = 30.0  # seconds to end in, when told to


def restore(file: Path) -> int:
    """Restore, or continue a restore; 0 when it is done."""
    run = RestoreRun(read_job(file))

    def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
        # Where a thread holds up the end, the unit's cleanup puts the server's settings back.
        end = threading.Timer(_PATIENCE, os._exit, (143,))
        end.daemon = True
        end.start()
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, terminate)
    try:
        coordinator.restore(run)
    except EncajaError as error:
        _report(run.status, str(error))
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        _report(run.status, f"{type(error).__name__}: {error}")
        raise
    return 0


def _report(status: Status, error: str) -> None:
    with suppress(OSError):  # the disk may be what the error is about
        status.fail(error)


def cleanup(file: Path) -> int:
    """Put back the database server's settings, when a killed restore left them changed."""
    job = read_job(file)
    journal = load_journal(job.own_work / "journal.json")
    if journal:
        put_back_settings(journal, job)
    return 0


def rollback(file: Path) -> int:
    """Switch back to the tree that was live before."""
    job = read_job(file)
    done = roll_back(job.link, job.work, job.after_switch)
    print(f"live: {done.after}")
    return 0
