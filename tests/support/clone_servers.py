"""Servers to copy from and onto, on one machine: the kit's own programs, started directly in place of over SSH."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from encaja.clone import database, tables
from encaja.clone.remote import Source
from support.mariadb import KillableMariaDB


class Server(KillableMariaDB):
    """A server whose programs find it by the environment."""

    def environment(self) -> dict[str, str]:
        (self.folder / "my.cnf").write_text(
            f"[mariadb-backup]\ndatadir={self.folder}/data\nsocket={self.socket}\n[client]\nsocket={self.socket}\n"
        )
        return os.environ | {"MYSQL_HOME": str(self.folder), "MYSQL_UNIX_PORT": str(self.socket)}


class Here(Source):
    """A source on this machine: its program is started directly."""

    environment: dict[str, str]
    home: Path

    def command(self, *words: str) -> list[str]:
        settings = [f"{name}={self.environment[name]}" for name in ("MYSQL_HOME", "MYSQL_UNIX_PORT")]
        asked = f"SSH_ORIGINAL_COMMAND={' '.join(words)}"
        python = ["PYTHONPATH=" + str(Path(tables.__file__).parents[2]), sys.executable, "-m", "encaja.host_tools"]
        return ["chrt", "--other", "0", "setsid", "env", *settings, asked, *python, "clone-source", str(self.home)]


def source(server: Server, home: Path) -> Here:
    """The source that copies from a server."""
    found = Here("here", Path("k"), Path("h"))
    object.__setattr__(found, "environment", server.environment())
    object.__setattr__(found, "home", home)
    return found


def started(folder: Path, name: str, memory_mb: int = 64, options: Sequence[str] = ()) -> Server:
    """A new server in ``folder/name``."""
    (folder / name).mkdir()
    server = Server(folder / name, memory_mb=memory_mb, options=options)
    server.initialise()
    server.start()
    return server


def physical_copy(server: Server, onto: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> database.PhysicalCopy:
    """A copy of one server in the place of another, which stands still; it is of whoever runs the tests."""

    def systemctl(verb: str, _: str) -> None:
        onto.stop() if verb == "stop" else onto.start()

    monkeypatch.setattr(database, "systemctl", systemctl)
    monkeypatch.setattr(subprocess, "run", _without_chown(subprocess.run))
    (onto.folder / "state").mkdir(exist_ok=True)
    return database.PhysicalCopy(source(server, onto.folder), onto.folder / "data", onto.folder / "state", name)


def _without_chown(run: Callable[..., Any]) -> Callable[..., Any]:
    def ran(command: Any, *given: Any, **named: Any) -> Any:
        return None if command[0] == "chown" else run(command, *given, **named)

    return ran


@contextmanager
def hammered(server: Server, table: str, writers: int = 3) -> Iterator[None]:
    """Rows of ``table (ID, N)`` come, change and go, each in a commit of its own, some hundreds a second."""
    over = threading.Event()

    def write(number: int) -> None:
        connection = server.connect()
        connection.autocommit(True)
        cursor, count = connection.cursor(), 0
        try:
            while not over.wait(0.002):
                count += 1
                cursor.execute(f"INSERT INTO {table} (N) VALUES ({number})")
                if count % 3 == 0:
                    cursor.execute(f"UPDATE {table} SET N = N + 10 WHERE ID = LAST_INSERT_ID()")
                if count % 5 == 0:
                    cursor.execute(f"DELETE FROM {table} WHERE ID = LAST_INSERT_ID()")
        except pymysql.err.OperationalError:
            if not over.is_set():
                raise
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
