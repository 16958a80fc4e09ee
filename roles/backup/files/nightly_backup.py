"""The nightly backup of a host: database and files into a restic repository, read back and test-restored.

Installed by role backup as ``encaja-backup``; a single file that needs only the standard library, because it has to
work on a host where little else does. Its configuration is JSON (see :class:`Config`), its progress ``status.json``.

    encaja-backup run                            back up, apply retention, read a part of the repository back
    encaja-backup files                          back up the files only
    encaja-backup ship [--every SECONDS]         ship what the database has logged since: once, or again and again
    encaja-backup prune                          apply retention only
    encaja-backup check [--all]                  check the repository, and read a part (or all) of it
    encaja-backup restore-test                   load the newest dump into a scratch database, restore a sample of files
    encaja-backup restore --to DIR [--id ID]     restore files and dump into an empty directory
    encaja-backup load DIR                       load such a dump into the database that the portal's settings name
    encaja-backup list                           list the snapshots
    encaja-backup restic ARGUMENT …              restic itself, on this repository

``list`` and ``restore`` take ``--host NAME`` on a host that has another name than the one it replaces.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

CONFIG = Path("/etc/encaja/backup.json")
DUMP = "/database.sql"
HELD_MAIL = Path("/etc/encaja/mail.held")
FROZEN = re.compile(rb"define\(\s*['\"]NO_AGENT_CHECK['\"]\s*,\s*true", re.I)
DUMP_END = b"-- Dump completed"
TLS = "ssl\nssl-ca=/etc/ssl/certs/ca-certificates.crt\nssl-verify-server-cert\n"
# Only the server's administrator may load views and triggers of another user.
OWN_VIEWS = ("/bin/sed", "-E", r"/^\/\*!5/s/ DEFINER=`[^`]*`@`[^`]*`//")
TAG_FILES = "files"
TAG_DATABASE = "database"
TAG_BETWEEN = "between"
TAG_LOGS = "logs"
PIECE_BYTES = 32 << 20
IDLE_SECONDS = 600
KEPT_COPIES_SECONDS = 50 * 3600
HOUR = "%Y%m%dT%H"
BASE_RETRY_SECONDS = 3600
LOGGED = re.compile(rb"MASTER_LOG_FILE='([^']+)', MASTER_LOG_POS=(\d+);")


class BackupError(Exception):
    """Why a backup, a check or a restore failed, in one line."""


@dataclass(frozen=True)
class Config:
    """What role backup writes.

    Attributes:
        state: directory of status and scratch files.
        repository_file: file that holds restic's repository, which may contain a password.
        password_file: file that holds the repository's password.
        environment: further variables for restic, such as keys of an object store.
        options: further options for restic.
        paths: what is backed up; symbolic links among them are followed once.
        exclude: patterns, below the paths, that are left out.
        keep: retention, from restic's unit (daily, weekly, monthly) to a number.
        check_parts: every run reads one of so many parts of the repository back.
        sample_files: as many files does the test of restoring bring back.
        settings: the portal's .settings.php, which names the live database; empty where no database is backed up.
        settings_user: the user as whom it is read.
        scratch_database: database that the test of restoring makes and removes.
        prune: whether this host may remove snapshots; an append-only repository does not let it.
        log_days: so long is every second kept; 0 where the database's binary logs are not shipped.
    """

    state: Path
    repository_file: Path
    password_file: Path
    paths: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep: dict[str, int] = field(default_factory=dict)
    check_parts: int = 7
    sample_files: int = 50
    settings: str = ""
    settings_user: str = "www-data"
    scratch_database: str = "portal_restore_test"
    prune: bool = True
    log_days: int = 0

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the configuration.

        Raises:
            BackupError: it is missing, or not what role backup writes.
        """
        try:
            read = json.loads(path.read_text())
            for name in ("state", "repository_file", "password_file"):
                read[name] = Path(read[name])
            for name in ("paths", "options", "exclude"):
                read[name] = tuple(read.get(name, ()))
            return cls(**read)
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise BackupError(f"{path}: cannot be used ({fault}); apply role backup again") from fault


@dataclass(frozen=True)
class Database:
    """The live database, from the portal's own settings."""

    host: str
    name: str
    login: str
    password: str

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this host, where root needs no password."""
        return self.host.split(":")[0] in ("localhost", "127.0.0.1", "::1", "")

    @contextlib.contextmanager
    def options(self) -> Iterator[list[str]]:
        """Options for MariaDB's clients. A password goes through a file that only root can read, never into argv."""
        host, _, port = self.host.partition(":")
        if self.is_local:
            yield ["--protocol=socket", *([f"--socket={port}"] if port.startswith("/") else []), "--user=root"]
            return
        with tempfile.NamedTemporaryFile("w", prefix="encaja-backup-", suffix=".cnf") as stream:
            secret = self.password.replace("\\", "\\\\").replace('"', '\\"')
            stream.write(f'[client]\nhost={host}\nport={port or 3306}\nuser={self.login}\npassword="{secret}"\n{TLS}')
            stream.flush()
            yield [f"--defaults-extra-file={stream.name}"]


class Status:
    """Progress and outcome, in a file that is replaced atomically."""

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self.before = self._read()
        self.now: dict[str, Any] = {
            "phase": "start",
            "message": command,
            "command": command,
            "start": os.environ.get("ENCAJA_START", ""),
            "done": 0,
            "total": 0,
            "unit": "bytes",
            "rate": 0.0,
            "eta_seconds": None,
            "started": _moment(),
            "error": None,
        }
        kept = ("last_success", "last_check", "last_restore_test", "repository")
        self.now.update({name: self.before[name] for name in kept if name in self.before})

    def _read(self) -> dict[str, Any]:
        try:
            read = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}

    def write(self, **changes: object) -> None:
        """Change some fields and write all; it is on the disk afterwards."""
        self.now.update(changes, updated=_moment())
        replace_durably(self.path, json.dumps(self.now, indent=2) + "\n")

    def phase(self, name: str, message: str) -> None:
        """Start a phase, and write it to the journal."""
        say(message)
        self.write(phase=name, message=message)


def replace_durably(path: Path, text: str) -> None:
    """Replace a file so that a crash or loss of power leaves the old one or the new one.

    Of its own, because this script is delivered as a single file.
    """
    new = path.with_suffix(".new")
    with new.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())
    new.rename(path)
    sync_folder(path.parent)


def say(text: str) -> None:
    """Write a line for the journal."""
    print(text, flush=True)


def _moment() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Restic:
    """The repository. Neither its address nor its password shows in the process list."""

    def __init__(self, config: Config, beside: str = "") -> None:
        """Use the configuration's repository, or the one beside it whose name ends with ``beside``.

        The logs have one of their own: restic locks a repository while it prunes or checks it, which would leave a gap.
        """
        self.config = config
        self.host = socket.gethostname()
        self.environment = {
            **os.environ,
            **config.environment,
            "RESTIC_REPOSITORY_FILE": str(config.repository_file),
            "RESTIC_PASSWORD_FILE": str(config.password_file),
            "RESTIC_CACHE_DIR": os.environ.get("CACHE_DIRECTORY", "/var/cache/encaja-backup"),
            "RESTIC_PROGRESS_FPS": "0.2",
        }
        if beside:
            del self.environment["RESTIC_REPOSITORY_FILE"]
            address = config.repository_file.read_text().strip().rstrip("/")
            self.environment["RESTIC_REPOSITORY"] = f"{address}{beside}"

    def command(self, *arguments: str) -> list[str]:
        """Return restic's command line."""
        return ["restic", *self.config.options, *arguments]

    def run(self, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        """Run restic to its end and return what it wrote.

        Raises:
            BackupError: it failed, with restic's own reason.
        """
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode and not may_fail:
            raise BackupError(f"restic {arguments[0]}: {reason(done.stderr or done.stdout)}")
        return done

    def open(self, known: str, *, may_make: bool = False) -> str:
        """Create the repository where there never was one, and return its id.

        Raises:
            BackupError: it cannot be reached, it vanished, it is another one, or there is none and none may be made.
        """
        looked = self.run("cat", "--quiet", "config", may_fail=True)
        if looked.returncode:
            if known:
                raise BackupError(
                    f"the repository {known[:8]} does not open: {reason(looked.stderr)}; is its disk mounted and its "
                    "host reachable? (to begin a new one on purpose, remove status.json)"
                )
            if not may_make:
                raise BackupError(
                    f"the repository does not open: {reason(looked.stderr)}; see backup_repository and the vault's "
                    "encaja_backup_password (one is made by 'encaja-backup run' only)"
                )
            self.run("init")
            say("a new repository was created")
            looked = self.run("cat", "--quiet", "config")
        identity = str(json.loads(looked.stdout)["id"])
        if known and identity != known:
            raise BackupError(f"the repository is {identity[:8]}, it used to be {known[:8]}: is another disk mounted?")
        return identity

    def snapshots(self, tag: str) -> list[dict[str, Any]]:
        """Return this host's snapshots of one kind, the oldest first."""
        listed = json.loads(self.run("snapshots", "--json", "--host", self.host, "--tag", tag).stdout)
        return sorted(listed or [], key=lambda snapshot: str(snapshot["time"]))

    def others(self) -> list[str]:
        """Return the names of the other hosts that the repository has snapshots of."""
        listed = json.loads(self.run("snapshots", "--json").stdout) or []
        return sorted({str(snapshot["hostname"]) for snapshot in listed} - {self.host})


def reason(output: str) -> str:
    """Return the lines of an error output that name the cause, as one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    causes = [line for line in lines if line.lower().startswith(("fatal:", "error", "mariadb"))] or lines[-2:]
    return " / ".join(causes[:3]) or "no reason given"


def summary(output: str) -> dict[str, Any]:
    """Return the summary among the JSON lines of ``restic backup``."""
    for line in reversed(output.splitlines()):
        with contextlib.suppress(ValueError):
            read = json.loads(line)
            if isinstance(read, dict) and read.get("message_type") == "summary":
                return read
    raise BackupError("restic backup ended without a summary")


def live_database(config: Config) -> Database | None:
    """Ask the portal's settings which database is live. None where there is no portal yet.

    The file is code that the portal's own user can change, so it is read as that user, never as root.

    Raises:
        BackupError: the file is there but names no database.
    """
    settings = Path(config.settings)
    if not settings.is_file():
        return None
    code = (
        "error_reporting(0); $read = include $argv[1];"
        "echo json_encode($read['connections']['value']['default'] ?? null);"
    )
    asked = ["php", "-d", "display_errors=0", "-r", code, str(settings)]
    done = subprocess.run(
        asked,
        user=config.settings_user,
        group=config.settings_user,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        read = json.loads(done.stdout.strip().splitlines()[-1])
        return Database(str(read["host"]), str(read["database"]), str(read["login"]), str(read["password"]))
    except (ValueError, KeyError, TypeError, IndexError) as fault:
        raise BackupError(f"{settings}: names no database ({reason(done.stderr)}); see 'connections' in it") from fault


def table_rows(database: Database, name: str) -> dict[str, int]:
    """Count the rows of every table, for comparing a restored database with what was dumped."""
    listing = (
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = DATABASE()"
    )
    tables = client(database, name, listing).splitlines()
    counting = "".join(f"SELECT '{table}', COUNT(*) FROM `{table}`;\n" for table in tables)  # noqa: S608  own names
    rows = (line.split("\t") for line in client(database, name, counting).splitlines())
    return {table: int(count) for table, count in rows}


def client(database: Database, name: str, query: str, stream: IO[bytes] | None = None) -> str:
    """Run a query, or the statements of ``stream``, in MariaDB's client.

    Raises:
        BackupError: the server refuses.
    """
    with database.options() as options:
        asked = ["mariadb", *options, "--batch", "--skip-column-names", "--max-allowed-packet=1G", name]
        if stream is None:
            done = subprocess.run(asked, input=query.encode(), capture_output=True, check=False)
        else:
            done = subprocess.run(asked, stdin=stream, capture_output=True, check=False)
    if done.returncode:
        raise BackupError(f"mariadb: {reason(done.stderr.decode(errors='replace'))}")
    return done.stdout.decode(errors="replace")


def dump_command(database: Database, options: Sequence[str], *more: str) -> list[str]:
    """Return the command of a consistent dump. Only the server's administrator may read its routines."""
    routines = ["--routines"] if database.is_local else []
    return ["mariadb-dump", *options, "--single-transaction", "--quick", "--hex-blob", "--triggers", "--events",
            *routines, *more, "--default-character-set=utf8mb4", "--max-allowed-packet=1G", database.name]  # fmt: skip


def copy_database(database: Database, name: str) -> None:
    """Copy a database into an empty one of the same server.

    Raises:
        BackupError: the dump failed, or the server refuses what it says.
    """
    with database.options() as options, tempfile.TemporaryFile() as errors_file:
        dump = subprocess.Popen(dump_command(database, options), stdout=subprocess.PIPE, stderr=errors_file)
        plain = subprocess.Popen(OWN_VIEWS, stdin=dump.stdout, stdout=subprocess.PIPE, env={"LC_ALL": "C"})
        if dump.stdout:
            dump.stdout.close()
        client(database, name, "", stream=plain.stdout)
        if plain.wait() or dump.wait():
            errors_file.seek(0)
            raise BackupError(f"mariadb-dump of {database.name}: {reason(errors_file.read().decode(errors='replace'))}")


def back_up_database(restic: Restic, database: Database, stamp: str, chain: str = "") -> dict[str, Any]:
    """Stream a consistent dump into the repository; a dump that fails leaves no snapshot behind.

    With a chain of logs, the snapshot's tags say at which of their positions the dump was made, and by when.

    Raises:
        BackupError: the dump or restic failed.
    """
    more = ("--master-data=2",) if chain else ()
    with database.options() as options, tempfile.TemporaryFile() as errors_file:
        dump = subprocess.Popen(dump_command(database, options, *more), stdout=subprocess.PIPE, stderr=errors_file)
        stream: IO[bytes] | None = dump.stdout
        tags = [TAG_DATABASE, stamp]
        if chain and stream:
            head, logged = b"", None
            while logged is None and (line := stream.readline()) and len(head) < 1 << 20:
                head += line
                logged = LOGGED.search(line)
            if logged:
                moment = client(database, "information_schema", "SELECT CEIL(UNIX_TIMESTAMP(NOW(6)))").strip()
                position = f"{logged[1].decode()}:{int(logged[2])}"
                tags += [f"of={database.name}", f"chain={chain}", f"from={position}", f"at={moment}"]
            stream = prefixed(head, stream)
        told_where = ("--stdin", "--stdin-filename", DUMP, *(word for tag in tags for word in ("--tag", tag)))
        done = subprocess.run(
            restic.command("backup", "--json", "--host", restic.host, *told_where),
            stdin=stream, env=restic.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if stream:
            stream.close()
        if dump.stdout:
            dump.stdout.close()
        code = dump.wait()
        errors_file.seek(0)
        errors = errors_file.read().decode(errors="replace")
    if done.returncode:
        raise BackupError(f"restic backup of the database: {reason(done.stderr)}")
    told_summary = summary(done.stdout)
    if code:
        restic.run("forget", str(told_summary["snapshot_id"]), may_fail=True)
        raise BackupError(f"mariadb-dump of {database.name}: {reason(errors)}")
    return told_summary


def prefixed(head: bytes, stream: IO[bytes]) -> IO[bytes]:
    """Put what was read of a stream back before it."""
    reading, writing = os.pipe()

    def pump() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as out:
            out.write(head)
            shutil.copyfileobj(stream, out, 1 << 20)

    threading.Thread(target=pump, daemon=True).start()
    return os.fdopen(reading, "rb")


@dataclass
class Shipped:
    """How far the database's binary logs are shipped, and what is wrong.

    Attributes:
        chain: names an unbroken run of logs; another one begins where what follows is not known to follow.
        head: identifies the log file, since a server that is made anew uses the names again.
        file: name of the log that was shipped last.
        position: bytes of it that are shipped.
        at: moment by the server's clock before which everything that was committed is in the repository.
        base: chain that has a dump to begin from, and the database in it.
        based: when the newest such dump was begun.
        sent: file and position that the newest snapshot has.
        repository: id of the logs' repository.
        asked: when a dump was last asked for.
        boot: start of the host in which ``at`` was.
        error: why the last shipment failed.
    """

    chain: str = ""
    head: str = ""
    file: str = ""
    position: int = 0
    at: float = 0.0
    base: str = ""
    based: float = 0.0
    sent: str = ""
    repository: str = ""
    asked: float = 0.0
    boot: str = ""
    error: str = ""

    @classmethod
    def read(cls, path: Path) -> Shipped:
        """Read the state; without one everything begins."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return cls()


class LogShipping:
    """Ships the binary logs of the server on this host: copies what was added, then makes a snapshot of the copies.

    A copy is a file ``logs/CHAIN/HOUR/LOG.FROM-TO`` below the state, on the disk before its place is noted. Every
    snapshot holds all copies since the dump before the newest one, so that one snapshot is enough for each moment.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.restic = Restic(config, "-logs")
        self.state = config.state / "shipped.json"
        self.folder = config.state / "logs"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for another shipment's end, and hold the next one up."""
        with (self.config.state / "logs.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def save(self, shipped: Shipped) -> None:
        """Note how far it got; it is on the disk afterwards."""
        replace_durably(self.state, json.dumps(dataclasses.asdict(shipped), indent=2) + "\n")

    def ship(self) -> Shipped | None:
        """Ship what was logged since the last time. None where there is no portal yet.

        Raises:
            BackupError: the database writes no log here, or the repository does not take it.
        """
        with self.alone():
            database = live_database(self.config)
            if database is None:
                return None
            shipped = Shipped.read(self.state)
            try:
                return self._ship(database, shipped)
            except (BackupError, OSError) as fault:
                self.save(dataclasses.replace(Shipped.read(self.state), error=str(fault)))
                raise

    def _ship(self, database: Database, shipped: Shipped) -> Shipped:
        if not database.is_local:
            raise BackupError(
                f"the database is on {database.host}: its logs are not within reach; set backup_logs: false"
            )
        asked = (
            "SELECT UNIX_TIMESTAMP(NOW(6)), @@log_bin, IFNULL(@@log_bin_basename, ''), "
            "@@sync_binlog = 1 AND @@innodb_flush_log_at_trx_commit = 1"
        )
        moment, logging, basename, durable = client(database, "information_schema", asked).strip("\n").split("\t")
        if logging != "1":
            raise BackupError("the database writes no binary log: set database_log_hours and apply role database")
        listed = [line.split("\t") for line in client(database, "mysql", "SHOW BINARY LOGS").splitlines()]
        sizes = {row[0]: int(row[1]) for row in listed}
        place = Path(basename).parent
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        follows = (
            shipped.file in sizes
            and sizes[shipped.file] >= shipped.position
            and shipped.head == head_of(place / shipped.file)
        )
        names = list(sizes)[list(sizes).index(shipped.file) :] if follows else list(sizes)[-1:]
        if follows and shipped.boot != boot and durable != "1" and not all(ended(place / name) for name in names[:-1]):
            say("the host went down while the database ran, and may have lost what its log has: a new dump is due")
            follows, names = False, names[-1:]
        if not follows:
            shipped = Shipped(
                chain=uuid.uuid4().hex[:12], file=names[0], repository=shipped.repository, asked=shipped.asked
            )
            shutil.rmtree(self.folder, ignore_errors=True)
        for name in names:
            shipped.file, shipped.position = name, shipped.position if name == shipped.file else 0
            shipped.head = head_of(place / name)
            while shipped.position < sizes[name]:
                self._copy(place / name, shipped, min(sizes[name], shipped.position + PIECE_BYTES), float(moment))
        shipped.boot = boot
        self.save(shipped)
        reached = f"{shipped.file}:{shipped.position}"
        if shipped.sent != reached or shipped.error or float(moment) - shipped.at > IDLE_SECONDS:
            self._snapshot(shipped, reached, int(float(moment)))
            shipped.at, shipped.sent, shipped.error = int(float(moment)), reached, ""
        wanted = f"{shipped.chain} {database.name}"
        if shipped.base != wanted and float(moment) - shipped.asked > BASE_RETRY_SECONDS:
            shipped.asked = float(moment)
            ask_for_dump()
        self.save(shipped)
        return shipped

    def _copy(self, log: Path, shipped: Shipped, end: int, moment: float) -> None:
        hour = time.strftime(HOUR, time.gmtime(moment))
        folder = self.folder / shipped.chain / hour
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        piece = folder / f"{log.name}.{shipped.position}-{end}"
        with log.open("rb") as stream, piece.open("wb") as copy:
            stream.seek(shipped.position)
            data = stream.read(end - shipped.position)
            if len(data) < end - shipped.position:
                raise BackupError(f"{log}: is shorter than the server says")
            copy.write(data)
            copy.flush()
            os.fsync(copy.fileno())
        for parent in (folder, *list(folder.parents)[:3]):
            sync_folder(parent)
        shipped.position = end

    def _snapshot(self, shipped: Shipped, reached: str, moment: int) -> None:
        tags = (TAG_LOGS, f"chain={shipped.chain}", f"at={moment}", f"to={reached}")
        words = [word for tag in tags for word in ("--tag", tag)]
        asked = ("backup", "--json", "--host", self.restic.host, *words, str(self.folder / shipped.chain))
        done = self.restic.run(*asked, may_fail=True)
        if done.returncode:
            shipped.repository = self.restic.open(shipped.repository, may_make=not shipped.repository)
            self.restic.run("unlock")
            done = self.restic.run(*asked)
        if not shipped.repository:
            shipped.repository = self.restic.open("")
        summary(done.stdout)

    def based(self, database: Database, chain: str, began: float) -> None:
        """Note that a dump, begun then, is a base of the logs, and remove copies that no later snapshot needs.

        The last snapshot of a day is to hold what that day's moments need, from the dump before them on.
        """
        with self.alone():
            shipped = Shipped.read(self.state)
            if shipped.chain != chain:
                return
            if shipped.base:
                oldest = time.strftime(HOUR, time.gmtime(min(shipped.based, began - KEPT_COPIES_SECONDS)))
                for folder in (self.folder / chain).iterdir():
                    if folder.name < oldest:
                        shutil.rmtree(folder)
            shipped.base, shipped.based = f"{chain} {database.name}", began
            self.save(shipped)

    def forget(self, host: str) -> None:
        """Remove the snapshots beyond the retention, which are small: the last of every day holds the whole day."""
        if self.restic.run("cat", "--quiet", "config", may_fail=True).returncode:
            return
        with self.alone():
            keep = ("--keep-within", "1d", "--keep-daily", str(self.config.log_days))
            self.restic.run("forget", "--host", host, "--tag", TAG_LOGS, "--group-by", "host,paths", *keep, "--prune")


def ask_for_dump() -> None:
    """Start the backup that a new chain of logs begins with."""
    subprocess.run(["systemctl", "start", "--no-block", "encaja-backup.service"], check=False)


def begin_base(shipping: LogShipping, database: Database) -> Shipped | None:
    """Begin a new log, in which a dump is to be made, and ship what there is. None where this fails, which is told."""
    try:
        client(database, "mysql", "FLUSH BINARY LOGS")
        return shipping.ship()
    except BackupError as fault:
        say(f"the dump will be no base for recovering a moment: {fault}")
        return None


def head_of(log: Path) -> str:
    """Identify a log file by its first event, but for the flag that its being closed changes."""
    with log.open("rb") as stream:
        first = stream.read(200)
    return hashlib.sha256(first[:21] + first[23:]).hexdigest()


def ended(log: Path) -> bool:
    """Whether the server closed a log itself, which a flag of the log's first event says."""
    with log.open("rb") as stream:
        return not stream.read(22)[21] & 1


def sync_folder(path: Path) -> None:
    """Force a folder's entries to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def ship(config: Config, every: float) -> None:
    """Ship the logs once, or every so many seconds; a fault is told once, and tried again.

    Raises:
        BackupError: it failed, and was asked for once.
    """
    shipping, told = LogShipping(config), ""
    while True:
        began = time.monotonic()
        try:
            shipped = shipping.ship()
            if told:
                say(f"shipping again, as far as {shipped.file}:{shipped.position}" if shipped else "no portal")
            told = ""
        except (BackupError, OSError) as fault:
            if not every:
                raise
            if str(fault) != told:
                told = str(fault)
                print(f"encaja-backup ship: {fault}", file=sys.stderr, flush=True)
        if not every:
            return
        time.sleep(max(1.0, every - (time.monotonic() - began)))


def back_up_files(restic: Restic, config: Config, stamp: str, tag: str = TAG_FILES) -> dict[str, Any]:
    """Back up the paths.

    Raises:
        BackupError: a path is missing, or restic failed or could not read a file.
    """
    paths = [str(Path(path).resolve()) for path in config.paths]
    if missing := [path for path in paths if not Path(path).exists()]:
        raise BackupError(f"not on this host: {', '.join(missing)}; correct backup_paths")
    exclude = [f"--exclude={pattern}" for pattern in config.exclude]
    done = restic.run(
        "backup", "--json", "--host", restic.host, "--tag", tag, "--tag", stamp, *exclude, *paths, may_fail=True
    )
    if done.returncode:
        raise BackupError(f"restic backup of the files: {reason(done.stderr)}")
    return summary(done.stdout)


def run(config: Config, restic: Restic, status: Status) -> None:
    """Back up, apply retention, and read a part of the repository back."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("run-%Y%m%dT%H%M%SZ")
    database = live_database(config) if config.settings else None
    if config.settings and database is None:
        if "last_success" in status.before:
            raise BackupError(f"{config.settings} is gone: the portal that was backed up is not on this host")
        status.phase("done", f"no portal on this host yet ({config.settings}): nothing to back up")
        return
    status.write(repository=restic.open(str(status.now.get("repository", "")), may_make=True))
    restic.run("unlock")
    made: dict[str, Any] = {"stamp": stamp}
    shipping = LogShipping(config) if config.log_days and database is not None else None
    began = time.time()
    shipped = begin_base(shipping, database) if shipping and database else None
    if database is not None:
        status.phase("database", f"dump of database {database.name}")
        made["rows"] = table_rows(database, database.name)
        made["database"] = database.name
        made["dump"] = back_up_database(restic, database, stamp, shipped.chain if shipped else "")
        if shipping and shipped:
            shipping.based(database, shipped.chain, began)
    status.phase("files", f"files of {', '.join(config.paths)}")
    made["files"] = back_up_files(restic, config, stamp)
    replace_durably(config.state / "manifest.json", json.dumps(made, indent=2) + "\n")
    if config.prune:
        prune(config, restic, status)
    check(config, restic, status, read_all=False)
    kept = {tag for snapshot in restic.snapshots(stamp) for tag in snapshot["tags"]}
    if missing := {TAG_FILES, *([TAG_DATABASE] if "dump" in made else [])} - kept:
        raise BackupError(f"the repository does not have the {' and the '.join(sorted(missing))} of {stamp}")
    size = sum(int(made[part]["total_bytes_processed"]) for part in ("dump", "files") if part in made)
    added = sum(int(made[part]["data_added"]) for part in ("dump", "files") if part in made)
    status.write(done=size, total=size, last_success={"at": _moment(), "stamp": stamp, "bytes": size, "added": added})
    status.phase("done", f"backed up {size} bytes, {added} of them new")


def files(config: Config, restic: Restic, status: Status) -> None:
    """Back up the files only, between two runs."""
    if "last_success" not in status.before:
        say("nothing has been backed up yet: the first run does all")
        return
    restic.open(str(status.before.get("repository", "")))
    made = back_up_files(restic, config, datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ"), TAG_BETWEEN)
    say(f"backed up {made['total_bytes_processed']} bytes of files, {made['data_added']} of them new")


def prune(config: Config, restic: Restic, status: Status) -> None:
    """Remove what is beyond the retention.

    Snapshots of the files between two runs are kept as long as every second is.
    """
    status.phase("retention", "snapshots beyond the retention are forgotten")
    keep = [f"--keep-{unit}={number}" for unit, number in config.keep.items() if number]
    kept = {TAG_DATABASE: keep, TAG_FILES: keep}
    if config.log_days:
        kept[TAG_BETWEEN] = [f"--keep-within={config.log_days}d"]
    for tag, words in kept.items():
        restic.run("forget", "--host", restic.host, "--tag", tag, "--group-by", "host", *words)
    restic.run("prune")
    if config.log_days:
        LogShipping(config).forget(restic.host)


def check(config: Config, restic: Restic, status: Status, *, read_all: bool) -> None:
    """Check the repository's structure, and read data back: all of it, or today's part."""
    part = datetime.datetime.now(datetime.UTC).toordinal() % config.check_parts + 1
    subset = ["--read-data"] if read_all else [f"--read-data-subset={part}/{config.check_parts}"]
    status.phase(
        "check", "the repository is read back" + ("" if read_all else f", part {part} of {config.check_parts}")
    )
    restic.run("check", *subset)
    status.write(last_check={"at": _moment(), "part": "all" if read_all else f"{part}/{config.check_parts}"})


def newest(restic: Restic, tag: str) -> dict[str, Any]:
    """Return the newest snapshot of one kind.

    Raises:
        BackupError: there is none.
    """
    listed = restic.snapshots(tag)
    if not listed:
        raise BackupError(f"there is no snapshot of the {tag} yet: run 'encaja-backup run' first")
    return listed[-1]


def restore_test(config: Config, restic: Restic, status: Status) -> None:
    """Restore the newest backup for a test: the dump into a scratch database, a sample of the files to a directory."""
    restic.open(str(status.now.get("repository", "")))
    manifest = json.loads((config.state / "manifest.json").read_text())
    tested: dict[str, Any] = {"at": _moment(), "stamp": manifest["stamp"]}
    database = live_database(config) if config.settings else None
    if database is not None and "rows" in manifest:
        tested.update(test_dump(config, restic, status, database, manifest["rows"]))
    tested.update(test_files(config, restic, status))
    status.write(last_restore_test=tested)
    status.phase(
        "done", f"restored {tested.get('tables', 0)} tables and {tested['files']} files of {manifest['stamp']}"
    )


def test_dump(
    config: Config, restic: Restic, status: Status, database: Database, rows: dict[str, int]
) -> dict[str, Any]:
    """Load the newest dump into the scratch database, and compare its tables with those that were dumped.

    Rows of a live portal change between count and dump, so they may differ by a little; a table must not be missing.

    Raises:
        BackupError: the dump does not load, or tables or many rows are missing.
    """
    snapshot = newest(restic, TAG_DATABASE)
    scratch = config.scratch_database
    status.phase("restore-database", f"dump of {snapshot['time'][:19]} into database {scratch}")
    client(database, "information_schema", f"DROP DATABASE IF EXISTS `{scratch}`; CREATE DATABASE `{scratch}`")
    try:
        dumped = subprocess.Popen(
            restic.command("dump", str(snapshot["id"]), DUMP),
            env=restic.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        plain = subprocess.Popen(OWN_VIEWS, stdin=dumped.stdout, stdout=subprocess.PIPE, env={"LC_ALL": "C"})
        if dumped.stdout:
            dumped.stdout.close()
        client(database, scratch, "", stream=plain.stdout)
        errors = dumped.stderr.read() if dumped.stderr else b""
        if plain.wait() or dumped.wait():
            raise BackupError(f"restic dump: {reason(errors.decode(errors='replace'))}")
        restored = table_rows(database, scratch)
    finally:
        client(database, "information_schema", f"DROP DATABASE IF EXISTS `{scratch}`")
    if faults := compare_rows(rows, restored):
        raise BackupError(f"the restored database differs from the one that was dumped: {'; '.join(faults[:5])}")
    return {"tables": len(restored), "rows": sum(restored.values())}


def compare_rows(before: dict[str, int], restored: dict[str, int]) -> list[str]:
    """Name the tables that are missing, or have lost more than a tenth of their rows and more than a hundred."""
    faults = [f"{table} is missing" for table in sorted(set(before) - set(restored))]
    for table, count in before.items():
        lost = count - restored.get(table, 0)
        if table in restored and lost > max(100, count // 10):
            faults.append(f"{table} has {restored[table]} rows of {count}")
    return faults


def test_files(config: Config, restic: Restic, status: Status) -> dict[str, Any]:
    """Restore a random sample of the newest snapshot's files, and compare their sizes.

    Restic compares the content with its hash while it restores.

    Raises:
        BackupError: a file of the sample does not come back whole.
    """
    snapshot = newest(restic, TAG_FILES)
    listed = restic.run("ls", "--json", str(snapshot["id"])).stdout.splitlines()
    files = [item for item in map(json.loads, listed) if item.get("type") == "file"]
    if not files:
        raise BackupError("the newest snapshot of the files is empty")
    sample = random.SystemRandom().sample(files, min(config.sample_files, len(files)))
    status.phase("restore-files", f"{len(sample)} of {len(files)} files of {snapshot['time'][:19]}")
    place = Path(tempfile.mkdtemp(prefix="restore-test-", dir=config.state))
    try:
        target = place / "tree"
        include = [f"--include={escape(item['path'])}" for item in sample]
        restic.run("restore", str(snapshot["id"]), "--target", str(target), *include)
        for item in sample:
            path = target / str(item["path"]).lstrip("/")
            if not path.is_file() or path.stat().st_size != item.get("size", 0):
                raise BackupError(f"{item['path']} is not restored completely from {snapshot['id'][:8]}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {"files": len(sample), "bytes": sum(int(item.get("size", 0)) for item in sample)}


def escape(path: str) -> str:
    """Write a path as a pattern that matches only itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in path)


def restore(restic: Restic, status: Status, target: Path, identity: str) -> None:
    """Restore a run's files and dump into an empty directory.

    Raises:
        BackupError: the directory is not empty, or there is no such run.
    """
    if target.exists() and any(target.iterdir()):
        raise BackupError(f"{target} is not empty: give a new directory")
    restic.open(str(status.now.get("repository", "")))
    files = [item for item in restic.snapshots(TAG_FILES) if identity in ("", item["short_id"], *item["tags"])]
    if not files and (others := restic.others()):
        raise BackupError(
            f"there is no backup {identity} of host {restic.host}, but there are those of {', '.join(others)}: "
            f"give --host {others[0]} for that one"
        )
    if not files:
        raise BackupError(f"there is no backup {identity or 'yet'}: see 'encaja-backup list'")
    stamp = next(tag for tag in files[-1]["tags"] if tag.startswith("run-"))
    target.mkdir(parents=True, mode=0o700, exist_ok=True)
    status.phase("restore", f"files of {stamp} into {target}")
    restic.run("restore", str(files[-1]["id"]), "--target", str(target / "files"))
    for snapshot in restic.snapshots(stamp):
        if TAG_DATABASE in snapshot["tags"]:
            with (target / "database.sql").open("wb") as stream:
                dumped = subprocess.run(
                    restic.command("dump", str(snapshot["id"]), DUMP),
                    env=restic.environment,
                    stdout=stream,
                    check=False,
                )
            if dumped.returncode or not ends_whole(target / "database.sql"):
                raise BackupError(f"the dump of {stamp} is not complete")
    status.phase("done", f"{stamp} is in {target}")


def load(config: Config, status: Status, source: Path) -> None:
    """Load a dump that ``restore`` has restored into the database that the portal's settings name.

    A database with tables is never touched, except one that an interrupted run of this command has partly filled.

    Raises:
        BackupError: there is no whole dump, no portal, or something in its database already, or the server refuses.
    """
    dump = source / DUMP.lstrip("/")
    if not dump.is_file() or not ends_whole(dump):
        raise BackupError(f"{dump} is missing or incomplete: restore it with 'encaja-backup restore --to {source}'")
    database = live_database(config)
    if database is None:
        raise BackupError(f"{config.settings} is not there: put the portal's tree in its place first, then load again")
    begun = config.state / "loading"
    where = f"database {database.name} on {database.host}"
    listing = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
    found = client(database, "information_schema", f"{listing}'{database.name}'").splitlines()
    if begun.is_file() and begun.read_text() == where:
        client(database, "information_schema", f"DROP DATABASE IF EXISTS `{database.name}`")
    elif found:
        raise BackupError(
            f"{where} holds {len(found)} tables already, so nothing was loaded: give another name in "
            f"{config.settings}, or drop it if it is not needed, then load again"
        )
    hold_mail(Path(config.settings))
    kind = "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    with begun.open("w") as stream:
        stream.write(where)
        stream.flush()
        os.fsync(stream.fileno())
    client(database, "information_schema", f"CREATE DATABASE IF NOT EXISTS `{database.name}` {kind}")
    status.phase("load", f"{dump} into {where}")
    with dump.open("rb") as sql:
        if database.is_local:
            client(database, database.name, "", stream=sql)
        else:
            plain = subprocess.Popen(OWN_VIEWS, stdin=sql, stdout=subprocess.PIPE, env={"LC_ALL": "C"})
            client(database, database.name, "", stream=plain.stdout)
            if plain.wait():
                raise BackupError(f"{dump} cannot be read to its end; load again")
    rows = table_rows(database, database.name)
    if missing := sorted(tables_in(dump) - set(rows)):
        raise BackupError(f"{where} lacks {', '.join(missing[:5])} of {dump}: load again")
    begun.unlink()
    status.phase("done", f"{len(rows)} tables with {sum(rows.values())} rows are in {where}")


def hold_mail(settings: Path) -> None:
    """Keep PHP's mail on this host before a portal comes to life that waits for its release.

    Role mail's program asks for the file; the host that was lost had it from its restore. What freezes a portal is in
    its ``dbconn.php``.
    """
    dbconn = settings.parent / "php_interface/dbconn.php"
    if dbconn.is_file() and FROZEN.search(dbconn.read_bytes()):
        HELD_MAIL.touch()
        folder = os.open(HELD_MAIL.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def tables_in(dump: Path) -> set[str]:
    """Names of the tables that a dump creates."""
    with dump.open("rb") as stream:
        return {line.split(b"`")[1].decode() for line in stream if line.startswith(b"CREATE TABLE `")}


def ends_whole(dump: Path) -> bool:
    """Whether a dump has the last line that mariadb-dump writes at its end."""
    with dump.open("rb") as stream:
        stream.seek(max(0, dump.stat().st_size - 200))
        return DUMP_END in stream.read()


def show(restic: Restic, status: Status) -> None:
    """List the snapshots."""
    restic.open(str(status.now.get("repository", "")))
    for snapshot in restic.snapshots(TAG_FILES) + restic.snapshots(TAG_DATABASE):
        say(f"{snapshot['short_id']}  {snapshot['time'][:19]}  {' '.join(snapshot['tags'])}")


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the lock while a command runs.

    Raises:
        BackupError: another one holds it.
    """
    with (state / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise BackupError("another encaja-backup is running; wait for its end") from fault
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return 0, or 1 with one line on what failed."""
    parser = argparse.ArgumentParser(prog="encaja-backup", description="Backup of this host, proven to restore")
    parser.add_argument("--config", type=Path, default=CONFIG, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="back up, apply retention, read a part back")
    commands.add_parser("files", help="back up the files only")
    commands.add_parser("prune", help="apply retention only")
    shipping = commands.add_parser("ship", help="ship the database's binary logs")
    shipping.add_argument("--every", type=float, default=0.0, metavar="SECONDS", help="again and again")
    commands.add_parser("check", help="check the repository").add_argument("--all", action="store_true")
    commands.add_parser("restore-test", help="test that the newest backup can be restored")
    handing = commands.add_parser("restic", help="restic itself, on this repository: encaja-backup restic key list")
    handing.add_argument("words", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    restoring = commands.add_parser("restore", help="restore files and dump into an empty directory")
    restoring.add_argument("--to", type=Path, required=True)
    restoring.add_argument("--id", default="", help="a snapshot or run of 'list'; the newest by default")
    loading = commands.add_parser("load", help="load a restored dump into the portal's database")
    loading.add_argument("source", type=Path, metavar="DIR", help="the directory given to 'restore --to'")
    listing = commands.add_parser("list", help="list the snapshots")
    for command in (restoring, listing):
        command.add_argument("--host", default="", help="the host that was backed up; this one by default")
    asked = parser.parse_args(arguments)
    status: Status | None = None
    began = time.monotonic()
    try:
        config = Config.load(asked.config)
        config.state.mkdir(parents=True, exist_ok=True)
        restic = Restic(config)
        restic.host = getattr(asked, "host", "") or restic.host
        status = Status(config.state / "status.json", asked.command)
        if asked.command == "restic":
            return subprocess.run(restic.command(*asked.words), env=restic.environment, check=False).returncode
        if asked.command in ("list", "ship", "files"):
            perform_aside(asked, config, restic, status)
            return 0
        with alone(config.state):
            perform(asked, config, restic, status)
        status.write(seconds=round(time.monotonic() - began, 1))
    except (BackupError, OSError) as fault:
        print(f"encaja-backup {asked.command}: {fault}", file=sys.stderr)
        if status is not None and asked.command not in ("ship", "files") and "another encaja-backup" not in str(fault):
            with contextlib.suppress(OSError):
                status.write(phase="failed", error=str(fault), message=str(fault))
        return 1
    return 0


def perform_aside(asked: argparse.Namespace, config: Config, restic: Restic, status: Status) -> None:
    """Do what leaves the status alone, which tells of the last run."""
    if asked.command == "list":
        show(restic, status)
    elif asked.command == "ship":
        ship(config, asked.every)
    else:
        with alone(config.state):
            files(config, restic, status)


def perform(asked: argparse.Namespace, config: Config, restic: Restic, status: Status) -> None:
    """Do what was asked."""
    if asked.command == "run":
        run(config, restic, status)
    elif asked.command == "prune":
        restic.open(str(status.now.get("repository", "")))
        prune(config, restic, status)
        status.phase("done", "the retention is applied")
    elif asked.command == "check":
        restic.open(str(status.now.get("repository", "")))
        check(config, restic, status, read_all=asked.all)
        status.phase("done", "the repository is whole")
    elif asked.command == "restore-test":
        restore_test(config, restic, status)
    elif asked.command == "load":
        load(config, status, asked.source)
    else:
        restore(restic, status, asked.to, asked.id)


if __name__ == "__main__":
    sys.exit(main())
