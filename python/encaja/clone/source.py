"""The source's side of a copy: the only program that the key of a copy may run there. It reads, and changes nothing.

sshd starts it as the key's forced command; the request is in ``SSH_ORIGINAL_COMMAND``: ``facts``,
``manifest TREE [contents]``, ``physical``, ``logical``, or what rsync sends to read files.

Both ways of copying the database end with rows and checksums of every table **at the very moment that the copy is of**:
snapshots are opened while commits are held back (``BACKUP STAGE BLOCK_COMMIT``), which takes milliseconds.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pymysql

from encaja.clone import manifest, priority, tables
from encaja.clone.frames import CHUNK, Sender
from encaja.clone.open_files import allow_open_files
from encaja.errors import EncajaError
from encaja.portal.database import quoted

THREADS: Final = 2
"""Tables that are dumped at the same time."""
HOLD_SECONDS: Final = 5.0
"""Commits are never held back longer than this, whatever else happens."""
LOG: Final = Path("/var/log/encaja/clone-source.log")
DATADIR: Final = Path("/var/lib/mysql")
AFTERWARDS: Final = 200
"""Number of the stream with what has to be loaded after all tables: views and routines."""
_SOON: Final = b"BACKUP STAGE FLUSH"
"""What mariadb-backup prints before the first lock that others wait for."""
_HELD: Final = (b"Acquired locks for BACKUP STAGE BLOCK_COMMIT", b"FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS")
"""What it prints while no commit can happen; the first one comes earlier, and not in all series.

Source: tried with 10.11.19 and 11.8.9; every kind of commit waits, also one that is not in the binary log.
"""
_LOOK_SECONDS: Final = 0.15
"""Pause between two queries of INNODB_TRX, which shows nothing new within 0.1 s (MariaDB's manual)."""
_LET_GO: Final = b"BACKUP STAGE END"
"""What it prints before it releases commits."""
_UNLOCKED: Final = b"All tables unlocked"
"""What it prints when they are released."""
_DUMP: Final = (
    "mariadb-dump", "--user=root", "--single-transaction", "--quick", "--skip-lock-tables", "--hex-blob",
    "--skip-comments", "--skip-add-locks", "--skip-no-autocommit",
    "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
)  # fmt: skip


def run(home: Path) -> int:
    """Answer one request; returns the exit code.

    Args:
        home: the directory with the portal's ``www`` and ``trees``.
    """
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    priority.give_way([os.getpid()])
    if asked.startswith("rsync --server --sender "):
        os.execvp("rrsync", ["rrsync", "-ro", str(home)])  # noqa: S606 - it becomes rsync's own restricted program
    words = asked.split()
    out = sys.stdout.buffer
    match words:
        case ["facts"]:
            out.write(json.dumps(facts(home)).encode())
        case ["manifest", tree] | ["manifest", tree, "contents"]:
            listed = manifest.entries(home / "trees" / manifest.tree_name(tree), contents=len(words) == 3)
            for part in manifest.pack(listed):
                out.write(part)
        case ["physical"]:
            physical(Sender(out))
        case ["logical"]:
            logical(Sender(out))
        case _:
            raise EncajaError("this key copies a portal and does nothing else", asked[:40] or "no command")
    out.flush()
    return 0


def facts(home: Path) -> dict[str, Any]:
    """What the target has to know before it starts; what is not there is left out."""
    marker, key = Path("/etc/encaja/environment"), Path("/etc/ssh/ssh_host_ed25519_key.pub")
    found: dict[str, Any] = {
        "environment": marker.read_text().strip() if marker.exists() else "",
        "host_key": key.read_text().split()[1] if key.exists() else "",
        "time": time.time(),
    }
    www = home / "www"
    if www.is_symlink():
        tree = www.resolve()
        found |= {"tree": tree.name, "files_bytes": size_of(tree, {str(tree / name) for name in manifest.EXCLUDED})}
    return found | database_facts()


def database_facts() -> dict[str, Any]:
    """What this host's database is: empty without a server, ``mariadb_fault`` where it does not answer.

    Where the portal's database has moved to another host, the old server may still be installed and stopped.
    """
    version = server_version()
    if not version:
        return {}
    try:
        with _connections(1) as (connection,):
            found = tables.base_tables(connection)
            datadir = Path(tables.query(connection, "SELECT @@datadir")[0][0])
            return {
                "mariadb": version,
                "database_bytes": size_of(datadir),
                "schemas": {schema: tables.creation(connection, schema) for schema in tables.schemas(found)},
                "tables": len(found),
                "crashed": tables.crashed(connection, found),
            }
    except EncajaError as fault:
        return {"mariadb": version, "mariadb_fault": fault.what}


def size_of(folder: Path, excluded: set[str] | None = None) -> int:
    """Bytes in all files below a folder, without the content of the excluded ones."""
    total = 0
    for path, folders, names in os.walk(folder):
        if excluded and path in excluded:
            folders.clear()
            continue
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118
            except FileNotFoundError:
                continue
    return total


def server_version() -> str:
    """The version of MariaDB that is installed here, as ``11.8.3``; empty when there is none."""
    try:
        said = subprocess.run(["mariadbd", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
    words = said.replace("-", " ").split()
    return next((words[number + 1] for number, word in enumerate(words[:-1]) if word == "Ver"), "")


@contextmanager
def _connections(count: int) -> Iterator[list[tables.Connection]]:
    opened = [tables.connect() for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def physical(sender: Sender) -> None:
    """Send the whole server as ``mariadb-backup`` reads it (stream 0), then what every table held.

    Raises:
        EncajaError: mariadb-backup failed, or may not open as many files as there are tables.
    """
    LOG.parent.mkdir(parents=True, exist_ok=True)
    allow_open_files(DATADIR)
    # A program that was stopped while it holds commits back must not outlive this one, which continues it.
    command = [
        "setpriv", "--pdeathsig=KILL", "mariadb-backup", "--backup", "--stream=mbstream", "--user=root",
        f"--target-dir={DATADIR}",
    ]  # fmt: skip
    with (
        _connections(1) as snapshots,
        LOG.open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as backup,
    ):
        said, given = _pipe(backup.stderr), _pipe(backup.stdout)
        moment = _Moment(backup, said, log, snapshots)
        watcher = threading.Thread(target=moment.watch)
        watcher.start()
        try:
            while chunk := given.read1(CHUNK):  # type: ignore[attr-defined]
                sender.data(0, chunk)
        except BrokenPipeError:
            backup.kill()
            raise
        watcher.join()
        if backup.wait():
            raise EncajaError(moment.last or "it ended without output", "mariadb-backup on the source", f"see {LOG}")
        if moment.fault:
            raise moment.fault
        sender.end(0)
        priority.give_way([os.getpid()])
        proven = tables.provable(moment.tables)
        sender.close(
            {
                "exact": moment.exact,
                "tables": tables.fingerprints(snapshots, proven) if moment.exact else {},
                "not_compared": sorted({table.full for table in moment.tables} - {table.full for table in proven}),
            }
        )


class _Moment:
    """Opens the snapshots at the moment that the copy is of.

    mariadb-backup reads the end of the redo log while it holds commits back, so any moment in between is the copy's: it
    is stopped there, and continued when the snapshots are open.
    """

    def __init__(
        self, backup: subprocess.Popen[bytes], said: IO[bytes], log: IO[bytes], snapshots: Sequence[tables.Connection]
    ) -> None:
        self.backup, self.said, self.log, self.snapshots = backup, said, log, snapshots
        self.tables: list[tables.Table] = []
        self.exact = False
        self.fault: Exception | None = None
        self.last = ""
        self._pending = b""

    def watch(self) -> None:
        """Read mariadb-backup's output to its end."""
        seen = False
        programs = [os.getpid(), self.backup.pid]
        while chunk := os.read(self.said.fileno(), 65536):
            lines = self._lines(chunk)
            if any(_SOON in line for line in lines):
                priority.take_part(programs)
            if any(_UNLOCKED in line for line in lines):
                priority.give_way(programs)
            if not seen and any(word in line for line in lines for word in _HELD):
                seen = True
                if not self._let_go(lines):
                    self._take()

    def _lines(self, chunk: bytes) -> list[bytes]:
        self.log.write(chunk)
        self.log.flush()
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        self.last = next((line.decode(errors="replace") for line in reversed(lines) if line), self.last)
        return lines

    def _let_go(self, lines: Sequence[bytes]) -> bool:
        return any(_LET_GO in line for line in [*lines, self._pending])

    def _take(self) -> None:
        late = threading.Event()

        def resume() -> None:
            late.set()
            self.backup.send_signal(signal.SIGCONT)

        self.backup.send_signal(signal.SIGSTOP)
        guard = threading.Timer(HOLD_SECONDS, resume)
        guard.start()
        try:
            if self._stands_still(late) and not self._let_go(self._lines(_waiting(self.said))):
                tables.open_snapshots(self.snapshots)
                self.tables = tables.base_tables(self.snapshots[0])
                self.exact = not late.is_set()
        except (EncajaError, pymysql.MySQLError) as fault:
            self.fault = fault
        finally:
            guard.cancel()
            self.backup.send_signal(signal.SIGCONT)

    def _stands_still(self, late: threading.Event) -> bool:
        """Wait until all its threads have stopped: a signal that was sent has not yet arrived."""
        while not late.is_set():
            if os.waitid(os.P_PID, self.backup.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return True
            time.sleep(0.001)
        return False


def _waiting(stream: IO[bytes]) -> bytes:
    """What was written and not yet read."""
    return os.read(stream.fileno(), 1 << 20) if select.select([stream], [], [], 0)[0] else b""


def logical(sender: Sender) -> None:
    """Send every schema as SQL, its tables shared among several dumps of one moment, then what every table held.

    Raises:
        EncajaError: a dump failed.
    """
    with _connections(2) as (stage, *snapshots):
        found = tables.base_tables(stage)
        commands, afterwards, names = _plan(stage, found)
        ours = [os.getpid()]
        dumps: list[subprocess.Popen[bytes]] = []
        priority.take_part(ours)
        try:
            for step in ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"):
                tables.query(stage, f"BACKUP STAGE {step}")
            dumps = [subprocess.Popen(command, stdout=subprocess.PIPE) for _, command in commands]
            tables.open_snapshots(snapshots)
            _wait_for_snapshots(stage, dumps, len(snapshots))
        except BaseException:
            for dump in dumps:
                dump.kill()
                dump.wait()
            raise
        finally:
            tables.query(stage, "BACKUP STAGE END")
            priority.give_way([*ours, *(dump.pid for dump in dumps)])
        senders = [
            threading.Thread(target=_send, args=(sender, number, preface, dump))
            for number, ((preface, _), dump) in enumerate(zip(commands, dumps, strict=True))
        ]
        for thread in senders:
            thread.start()
        for thread in senders:
            thread.join()
        if any(dump.wait() for dump in dumps):
            raise EncajaError("a dump failed", "mariadb-dump on the source", "see its output above")
        for preface, command in afterwards:
            sender.data(AFTERWARDS, preface)
            sender.data(AFTERWARDS, subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        sender.end(AFTERWARDS)
        proven = tables.provable(found)
        sender.close(
            {
                "exact": True,
                "tables": tables.fingerprints(snapshots, proven),
                "not_compared": sorted(names - {table.full for table in proven}),
            }
        )


_Planned = list[tuple[bytes, list[str]]]


def _plan(connection: tables.Connection, found: Sequence[tables.Table]) -> tuple[_Planned, _Planned, set[str]]:
    """Dumps of tables that run at the same time, dumps that come afterwards, and the names of all tables."""
    side_by_side: _Planned = []
    afterwards: _Planned = []
    for schema in tables.schemas(found):
        preface = f"USE {quoted(schema)};\n".encode()
        shares: list[tuple[int, list[str]]] = [(0, []) for _ in range(THREADS)]
        for table in found:
            if table.schema == schema:
                place = min(range(THREADS), key=lambda number: shares[number][0])
                shares[place] = (shares[place][0] + table.size + 1, [*shares[place][1], table.name])
        side_by_side += [(preface, [*_DUMP, "--triggers", schema, *names]) for _, names in shares if names]
        views = [
            row[0]
            for row in tables.query(
                connection,
                f"SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{schema}'",  # noqa: S608
            )
        ]
        routines = ["--no-data", "--no-create-info", "--skip-triggers", "--routines", "--events", schema]
        afterwards += [(preface, [*_DUMP, *routines])]
        afterwards += [(preface, [*_DUMP, schema, *views])] if views else []
    return side_by_side, afterwards, {table.full for table in found}


def _wait_for_snapshots(connection: tables.Connection, dumps: Sequence[subprocess.Popen[bytes]], others: int) -> None:
    """Wait until all of ours see the database as it is now; they connected after ``connection`` did.

    A small dump may have ended before the first query; it saw what the others see. Production's own transactions are in
    the list as well: they wait for their commit.

    Raises:
        EncajaError: a dump failed, or has not started after `HOLD_SECONDS`.
    """
    began = time.monotonic()
    ours = (
        "SELECT COUNT(*) FROM information_schema.INNODB_TRX JOIN information_schema.PROCESSLIST"
        " ON ID = trx_mysql_thread_id WHERE ID > CONNECTION_ID() AND USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
        " AND trx_isolation_level = 'REPEATABLE READ'"
    )
    while True:
        # Asked before the pause: what has ended since then may still be in the list.
        codes = [dump.poll() for dump in dumps]
        if any(codes):
            raise EncajaError("a dump failed", "mariadb-dump on the source", "see its output above")
        time.sleep(_LOOK_SECONDS)
        if tables.query(connection, ours)[0][0] >= codes.count(None) + others:
            return
        if time.monotonic() - began > HOLD_SECONDS:
            raise EncajaError("the dumps did not start in time", "mariadb-dump on the source", "run it again")


def _send(sender: Sender, number: int, preface: bytes, dump: subprocess.Popen[bytes]) -> None:
    given = _pipe(dump.stdout)
    try:
        sender.data(number, preface)
        while chunk := given.read1(CHUNK):  # type: ignore[attr-defined]
            sender.data(number, chunk)
        if not dump.wait():
            sender.end(number)
    except BrokenPipeError:
        dump.kill()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("it was opened with a pipe")
    return stream
