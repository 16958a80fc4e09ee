"""A MariaDB that only one run of the tests reaches, as quick as a server is that need not survive anything."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql

OPTIONS = [
    "--skip-networking",
    "--user=root",
    "--sql-mode=",
    "--skip-innodb-doublewrite",
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-file-per-table=0",
    "--innodb-buffer-pool-size=64M",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
]
PATIENCE = 90.0


def can_connect(sock: Path) -> bool:
    """Whether a server listens on the socket and lets root in."""
    with contextlib.suppress(pymysql.MySQLError):
        pymysql.connect(unix_socket=str(sock), user="root").close()
        return True
    return False


@contextlib.contextmanager
def own_mariadb(home: Path, *more: str) -> Iterator[Path]:
    """The socket of a server below ``home``, with further options of ``mariadbd``; it ends with the block."""
    data, sock = home / "data", home / "s"
    # A server that starts removes the temporary tables of others in a folder that they share.
    alone = {
        **os.environ,
        "TMPDIR": str(home),
    }
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--user=root"], check=True, capture_output=True, env=alone)
    command = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={sock}", *OPTIONS, *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone)
    try:
        until = time.monotonic() + PATIENCE
        while not can_connect(sock):
            if process.poll() is not None or time.monotonic() > until:
                raise TimeoutError("the test's MariaDB did not come up")
            time.sleep(0.1)
        yield sock
    finally:
        process.terminate()
        process.wait(30)
