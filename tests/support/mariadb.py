"""MariaDB servers of the tests: a fast one that need not survive anything, and one that can be killed and restarted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    "--table-definition-cache=2000",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
]
PATIENCE = 90.0
MEMORY = Path("/dev/shm")
ROOM = 4 << 30


def can_connect(sock: Path) -> bool:
    """Whether a server listens on the socket and lets root in."""
    with contextlib.suppress(pymysql.MySQLError):
        pymysql.connect(unix_socket=str(sock), user="root").close()
        return True
    return False


@contextlib.contextmanager
def disposable_mariadb(home: Path, *more: str) -> Iterator[Path]:
    """The socket of a server below ``home``, with further options of ``mariadbd``; it ends with the block.

    Its data are in memory where there is room: every table that is made waits for the disk a few times, whatever the
    options say, and a portal has more than a thousand.
    """
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="encaja-test-", dir=MEMORY if roomy else home) as folder,
        _running(Path(folder) / "data", home / "s", home, more),
    ):
        yield home / "s"


@contextlib.contextmanager
def _running(data: Path, sock: Path, home: Path, more: Sequence[str]) -> Iterator[None]:
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
        yield
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class KillableMariaDB:
    """A server that keeps what it has committed, on a socket."""

    folder: Path
    process: subprocess.Popen | None = None
    memory_mb: int = 64
    options: Sequence[str] = ()

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    def initialise(self) -> None:
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, capture_output=True, env={**os.environ, "TMPDIR": str(self.folder)},
        )  # fmt: skip

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "mariadbd", "--no-defaults", f"--datadir={self.folder / 'data'}",
             f"--socket={self.socket}", "--skip-networking", "--user=root",
             *([] if any(option.startswith("--log-bin") for option in self.options) else ["--skip-log-bin"]),
             f"--innodb-buffer-pool-size={self.memory_mb}M", f"--pid-file={self.folder / 'pid'}",
             f"--tmpdir={self.folder}", "--innodb-flush-method=O_DIRECT_NO_FSYNC",
             *self.options],
            stdout=subprocess.DEVNULL, stderr=(self.folder / "log").open("ab"),
        )  # fmt: skip
        for _ in range(600):
            try:
                self.connect().close()
            except pymysql.err.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def connect(self, name: str | None = None) -> pymysql.connections.Connection:
        return pymysql.connect(unix_socket=str(self.socket), user="root", database=name, charset="utf8mb4")

    def run(self, sql: str, name: str | None = None) -> list[tuple]:
        connection = self.connect(name)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                connection.commit()
                return list(cursor.fetchall())
        finally:
            connection.close()

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None
