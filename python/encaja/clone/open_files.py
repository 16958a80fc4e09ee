"""How many files a program of the copy may have open.

mariadb-backup keeps the file of every table open until its end, and a portal has more tables than the 1024 files that a
log-in shell or a unit may open by default. It reports only that it "failed to validate the first page" of the file that
was one too many. Source: tried with 10.11.19 and 11.8.9.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

from encaja.errors import EncajaError

_OTHERS: Final = 256
"""Files that it opens besides the tables': logs, libraries, pipes, connections."""


def allow_open_files(datadir: Path) -> None:
    """Let this program and those that it starts open as many files as its hard limit permits.

    Args:
        datadir: the data directory whose tables are read.

    Raises:
        EncajaError: the hard limit is too low for the tables in it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sum(1 for _ in datadir.rglob("*.ibd")) + _OTHERS
    if hard not in (resource.RLIM_INFINITY, -1) and hard < wanted:
        raise EncajaError(
            f"{wanted} files have to be open at once, the limit is {hard}",
            str(datadir),
            "raise the hard limit of open files (DefaultLimitNOFILE in /etc/systemd/system.conf), then run again",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
