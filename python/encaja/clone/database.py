"""The database of a copy: a physical copy of the running source, prepared next to the old one and put in its place.

Where the source's series of MariaDB is another one, a logical copy: several streams of SQL of one moment, loaded at
the same time. Every stage leaves a mark, so that a run after a kill or a restart continues: staging is only used when
it is fully prepared, and the old data is removed only when the server has started on the new.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Any, Final

from encaja.atomic import write_atomically
from encaja.clone import tables
from encaja.clone.open_files import allow_open_files
from encaja.clone.remote import Progress, Source, last_line
from encaja.clone.source import AFTERWARDS
from encaja.errors import EncajaError
from encaja.portal.database import quoted

READY: Final = "encaja-prepared.json"
SOURCE_TABLES: Final = "source-tables.json"
"""What the source's tables held at the moment of the copy: ``{name, tables, not_compared}``."""
PROVEN: Final = "database-proven.json"
LOADED: Final = "database-loaded.json"


def same_series(one: str, other: str) -> bool:
    """Whether a physical copy of the one can be used by the other: 11.8.3 and 11.8.6 can, 10.11 and 11.8 cannot."""
    return one.split(".")[:2] == other.split(".")[:2]


class NotHeldError(EncajaError):
    """The source changed while its tables were counted: nothing is wrong, but the copy cannot be proven."""


class DatabaseCopy(ABC):
    """What both ways of copying a database share: the name, the marks and the proof."""

    def __init__(self, source: Source, datadir: Path, state: Path, name: str) -> None:
        """Take ``name`` as the copy's identity: what an earlier copy left is discarded.

        Args:
            source: where the data comes from.
            datadir: the server's data directory, which must not be a mount point of its own.
            state: a directory for logs and marks.
            name: identifies this copy.
        """
        self.source = source
        self.datadir = datadir
        self.state = state
        self.name = name

    @abstractmethod
    def is_done(self) -> bool:
        """Whether the server holds this copy."""

    @abstractmethod
    def is_fetched(self) -> bool:
        """Whether the data is here and the source need not be asked again."""

    @abstractmethod
    def fetch(self, progress: Progress) -> dict[str, Any]:
        """Fetch the data; returns what was measured."""

    @abstractmethod
    def switch(self) -> None:
        """Make it the data that the server serves."""

    @abstractmethod
    def forget(self) -> None:
        """Make the next run fetch the data again."""

    def prove(self) -> dict[str, Any]:
        """Compare rows and checksum of every table with what the source had; returns how many there were.

        Raises:
            EncajaError: a table is not what it was.
        """
        held = read_mark(self.state / SOURCE_TABLES)
        if held.get("name") != self.name:
            raise EncajaError(
                "what the source's tables held is not known", str(self.state / SOURCE_TABLES), "run the copy again"
            )
        proven = read_mark(self.state / PROVEN)
        if proven.get("name") == self.name:
            return {**proven, "kept": True}
        connections = [tables.connect() for _ in range(os.cpu_count() or 1)]
        try:
            wanted = [table for table in tables.base_tables(connections[0]) if table.full not in held["not_compared"]]
            found = tables.fingerprints(connections, wanted)
        finally:
            for connection in connections:
                connection.close()
        if faults := tables.differences(held["tables"], found):
            self.forget()
            more = f", and {len(faults) - 10} more" if len(faults) > 10 else ""
            raise EncajaError(
                "; ".join(faults[:10]) + more, "copy of the database", "it is not used: run the copy again"
            )
        measured = {
            "tables": len(found),
            "rows": sum(one["rows"] for one in found.values()),
            "not_compared": held["not_compared"],
        }
        write_mark(self.state / PROVEN, {"name": self.name, **measured})
        return measured

    def _keep(self, closing: dict[str, Any]) -> None:
        if not closing["exact"]:
            raise NotHeldError(
                "the source changed while its tables were counted",
                "copy of the database",
                "run it again",
            )
        (self.state / PROVEN).unlink(missing_ok=True)  # it was of data that was fetched before
        write_mark(self.state / SOURCE_TABLES, {"name": self.name, **closing})


class PhysicalCopy(DatabaseCopy):
    """The files of the source's server, consistent at the end of the transfer."""

    def __init__(self, source: Source, datadir: Path, state: Path, name: str) -> None:
        """See ``DatabaseCopy``."""
        super().__init__(source, datadir, state, name)
        self.staging = datadir.with_name(f"{datadir.name}.encaja-new")
        self.before = datadir.with_name(f"{datadir.name}.encaja-old")
        self.rubbish = datadir.with_name(f"{datadir.name}.encaja-gone")

    def is_done(self) -> bool:
        """Whether the server runs on this copy, proven by a start."""
        return self._holds(self.datadir) and not self.before.exists() and not self.rubbish.exists()

    def is_fetched(self) -> bool:
        """Whether staging holds this copy, complete and prepared, or it is in place already."""
        return self._holds(self.staging) or self._holds(self.datadir)

    def _holds(self, directory: Path) -> bool:
        return read_mark(directory / READY).get("name") == self.name

    def fetch(self, progress: Progress) -> dict[str, Any]:
        """Stream the source's data into staging and prepare it; returns what was measured.

        Raises:
            EncajaError: the source, ``mbstream`` or ``mariadb-backup`` failed.
        """
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(mode=0o700)
        prepare: list[subprocess.Popen[bytes]] = []
        sent = 0
        with (
            (self.state / "mbstream.log").open("w+b") as said,
            (self.state / "prepare.log").open("w+b") as prepared,
            subprocess.Popen(
                ["mbstream", "--extract", f"--directory={self.staging}"],
                stdin=subprocess.PIPE, stdout=said, stderr=said,
            ) as extract,
        ):  # fmt: skip
            sink = _pipe(extract)

            def data(_: int, content: bytes) -> None:
                nonlocal sent
                sink.write(content)
                sent += len(content)

            def end(_: int) -> None:
                # Prepared while the source counts its tables.
                sink.close()
                if not extract.wait():
                    allow_open_files(self.staging)
                    command = ["mariadb-backup", "--prepare", f"--target-dir={self.staging}"]
                    prepare.append(subprocess.Popen(command, stdout=prepared, stderr=prepared))

            try:
                closing = self.source.stream("physical", self.state / "database.log", data, end, progress)
            except BrokenPipeError:
                extract.wait()
                closing = {}
            finally:
                codes = [process.wait() for process in prepare]
            said.seek(0)
            prepared.seek(0)
            if extract.wait() or not closing:
                raise EncajaError(last_line(said.read()), f"mbstream into {self.staging}", "run it again")
            output = prepared.read()
            if codes != [0] or b"completed OK!" not in output:
                log = self.state / "prepare.log"
                raise EncajaError(last_line(output), "mariadb-backup --prepare", f"see {log}")
        self._keep(closing)
        os.sync()
        write_mark(self.staging / READY, {"name": self.name, "bytes": sent})
        return {"bytes": sent, "method": "physical"}

    def switch(self) -> None:
        """Put the prepared copy in the place of the old data and start the server on it.

        Raises:
            EncajaError: the server does not start; the old data is back in its place.
        """
        self._empty_rubbish()
        if self._holds(self.staging):
            systemctl("stop", "mariadb.service")
            subprocess.run(["chown", "-R", "mysql:mysql", str(self.staging)], check=True)
            if self.datadir.exists():
                # What 'before' holds while there is a data directory is what an earlier copy had not yet removed.
                self._remove(self.before)
                self.datadir.rename(self.before)
            self.staging.rename(self.datadir)
        elif not self.datadir.exists() and self.before.exists():
            self.before.rename(self.datadir)
            systemctl("start", "mariadb.service")
            raise EncajaError("no prepared copy is there", str(self.staging), "run the copy again")
        try:
            systemctl("start", "mariadb.service")
        except EncajaError:
            if self.before.exists():
                self._remove(self.datadir)
                self.before.rename(self.datadir)
                systemctl("start", "mariadb.service")
            raise
        self._remove(self.before)

    def forget(self) -> None:
        """Make the next run fetch the data again."""
        (self.datadir / READY).unlink(missing_ok=True)

    def _remove(self, directory: Path) -> None:
        """Remove a directory under another name, so that a half-removed one is never used."""
        if directory.exists():
            directory.rename(self.rubbish)
            self._empty_rubbish()

    def _empty_rubbish(self) -> None:
        if self.rubbish.exists():
            shutil.rmtree(self.rubbish)


class LogicalCopy(DatabaseCopy):
    """The source's schemas as SQL; users and rights are this host's own.

    The streams share one connection, so a client that waits for another would wait for ever: schemas are created
    beforehand, and no client keeps a transaction or a table lock from one statement to the next.
    """

    def is_done(self) -> bool:
        """Whether everything was loaded."""
        return read_mark(self.state / LOADED).get("name") == self.name

    def is_fetched(self) -> bool:
        """Whether everything was loaded."""
        return self.is_done()

    def fetch(self, progress: Progress) -> dict[str, Any]:
        """Load the source's schemas in place of those of the same name; returns what was measured.

        Raises:
            EncajaError: a dump or a client failed.
        """
        facts = self.source.facts()
        (self.state / LOADED).unlink(missing_ok=True)
        connection = tables.connect()
        try:
            for schema, creation in facts["schemas"].items():
                tables.query(connection, f"DROP DATABASE IF EXISTS {quoted(schema)}")
                tables.query(connection, creation)
        finally:
            connection.close()
        later = self.state / "afterwards.sql"
        later.write_bytes(b"")
        clients: dict[int, subprocess.Popen[bytes]] = {}
        sent = 0
        with (self.state / "load.log").open("w+b") as said:

            def data(number: int, content: bytes) -> None:
                nonlocal sent
                sent += len(content)
                if number == AFTERWARDS:
                    with later.open("ab") as stream:
                        stream.write(content)
                    return
                if number not in clients:
                    clients[number] = _client(said)
                _pipe(clients[number]).write(content)

            def end(number: int) -> None:
                if number in clients:
                    _pipe(clients[number]).close()
                    if clients[number].wait():
                        raise BrokenPipeError

            try:
                closing = self.source.stream("logical", self.state / "database.log", data, end, progress)
                with later.open("rb") as stream:
                    codes = [subprocess.run(CLIENT, stdin=stream, stdout=said, stderr=said, check=False).returncode]
            except BrokenPipeError:
                codes, closing = [1], {}
            finally:
                for client in clients.values():
                    client.kill()
                    client.wait()
            if any(codes):
                said.seek(0)
                raise EncajaError(
                    last_line(said.read()), "loading the copy of the database", "see load.log, then rerun"
                )
        self._keep(closing)
        write_mark(self.state / LOADED, {"name": self.name})
        return {"bytes": sent, "method": "logical"}

    def switch(self) -> None:
        """Nothing to do: what was loaded is served."""

    def forget(self) -> None:
        """Make the next run fetch the data again."""
        (self.state / LOADED).unlink(missing_ok=True)


CLIENT: Final = (
    "mariadb", "--user=root", "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
    "--init-command=SET SESSION unique_checks = 0, foreign_key_checks = 0, innodb_strict_mode = 0",
)  # fmt: skip


def _client(said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(CLIENT, stdin=subprocess.PIPE, stdout=said, stderr=said)


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise RuntimeError("it was opened with a pipe")
    return process.stdin


def read_mark(path: Path) -> dict[str, Any]:
    """The content of a mark; empty where there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found


def write_mark(path: Path, content: dict[str, Any]) -> None:
    """Write a mark, after everything that it stands for."""
    write_atomically(path, json.dumps(content).encode())


def systemctl(verb: str, unit: str) -> None:
    """Start or stop a unit.

    Raises:
        EncajaError: systemd refused or the unit failed.
    """
    done = subprocess.run(["systemctl", verb, unit], capture_output=True, check=False)
    if done.returncode:
        raise EncajaError(last_line(done.stderr), f"systemctl {verb} {unit}", f"see 'journalctl -u {unit}'")
