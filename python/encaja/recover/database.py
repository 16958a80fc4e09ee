"""The database as of a moment: a dump, then the logs after it, into a database of its own."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from encaja import nightly_backup
from encaja.errors import EncajaError
from encaja.recover import binary_log, plan

_USER = "encaja_recover"
_UNLOGGED = "--init-command=SET sql_log_bin=0"
_LONGEST_NAME = 64
_AGAIN = "fix it and run the recovery again"


def database_name(original: str, stamp: str) -> str:
    """The name of the recovered database, which the portal's user may use by the beginning of its name."""
    plain = re.sub(r"_at_\d{14}$", "", original)
    return f"{plain[: _LONGEST_NAME - 4 - len(stamp)]}_at_{stamp}"


def join(parts: Sequence[Sequence[plan.Piece]], restored: Path) -> Iterator[tuple[str, Path]]:
    """Join every log's restored parts; gives the log's name and its file, which lasts until the next one."""
    for pieces in parts:
        whole = restored / "whole"
        with whole.open("wb") as out:
            for piece in pieces:
                with (restored / piece.path.lstrip("/")).open("rb") as stream:
                    stream.seek(max(0, out.tell() - piece.start))
                    shutil.copyfileobj(stream, out, 1 << 20)
        yield pieces[0].log, whole


def cut(  # noqa: PLR0917  what is there, where to, and up to when
    parts: Sequence[Sequence[plan.Piece]], gap: str, restored: Path, target: Path, dump: plan.Dump, moment: float
) -> tuple[list[Path], binary_log.Progress]:
    """Write the logs of the dump's database from the dump to the moment.

    Args:
        parts: of every log from the dump's on.
        gap: where a part is missing; empty for nowhere.
        restored: folder in which the parts are, below their paths.
        target: folder for what is written.
        dump: what the logs follow on.
        moment: to which they are wanted.

    Raises:
        LogGap: a log or a part is missing before the moment; says up to when they are whole.
        DatabaseReplaced: the database was dropped before the moment.
    """
    progress, written = binary_log.Progress(last=dump.at), list[Path]()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        for name, log in join(parts, restored):
            out = target / name
            start = dump.position if name == dump.log else 0
            binary_log.take(log, name, out, dump.database, start, moment, progress)
            written.append(out)
            if progress.stopped:
                break
    except binary_log.LogGap as fault:
        raise _gap(fault) from fault
    except binary_log.DatabaseReplaced as fault:
        when = plan.shown(fault.moment)
        raise EncajaError(f"the database was dropped or made at {when}", dump.database, f"--to {when}") from fault
    if gap and not progress.stopped:
        raise _gap(binary_log.LogGap("the log is missing from there on", gap, progress.last))
    return written, progress


def _gap(fault: binary_log.LogGap) -> binary_log.LogGap:
    """The same, for a person who has to choose another moment."""
    last = plan.shown(fault.last)
    return binary_log.LogGap(
        f"the logs have a gap: {fault.what}; the last moment before it is {last}", fault.where, fault.last
    )


def make(client: nightly_backup.Database, name: str) -> None:
    """Make the database, without what an earlier attempt left in it; nothing of this is logged.

    Raises:
        BackupError: the server refuses.
    """
    kind = "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    _ask(client, f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}` {kind}")


def drop(client: nightly_backup.Database, name: str) -> None:
    """Drop a recovered database."""
    _ask(client, f"DROP DATABASE IF EXISTS `{name}`")


def load(
    client: nightly_backup.Database,
    name: str,
    restic: nightly_backup.Restic,
    dump: plan.Dump,
    tell: Callable[[int], None],
) -> None:
    """Load the dump from the repository.

    Raises:
        EncajaError: it does not come whole, or the server refuses it.
    """
    with client.options() as options, tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as faults:
        source = subprocess.Popen(
            restic.command("dump", dump.snapshot, nightly_backup.DUMP), env=restic.environment,
            stdout=subprocess.PIPE, stderr=complaints,
        )  # fmt: skip
        sink = subprocess.Popen(
            ["mariadb", *options, _UNLOGGED, "--max-allowed-packet=1G", name], stdin=subprocess.PIPE, stderr=faults
        )
        done, tail = 0, b""
        try:
            while source.stdout and sink.stdin and (chunk := source.stdout.read(1 << 20)):
                sink.stdin.write(chunk)
                done, tail = done + len(chunk), (tail + chunk)[-200:]
                tell(done)
            sink.communicate()
        except BrokenPipeError:
            source.kill()
        if sink.wait():
            faults.seek(0)
            said = nightly_backup.reason(faults.read().decode(errors="replace"))
            raise EncajaError(f"the dump does not load: {said}", name, _AGAIN)
        if source.wait() or nightly_backup.DUMP_END not in tail:
            complaints.seek(0)
            said = nightly_backup.reason(complaints.read().decode(errors="replace"))
            raise EncajaError(f"the dump does not come whole: {said}", dump.snapshot[:8], _AGAIN)


def replay(client: nightly_backup.Database, dump: plan.Dump, name: str, logs: Sequence[Path]) -> None:
    """Apply the logs with MariaDB's own tool, as a user who has no right to any other database.

    Raises:
        EncajaError: a log is damaged, or the server refuses a change.
    """
    if not logs:
        return
    with _replayer(client, name) as options, tempfile.TemporaryFile() as complaints:
        reader = subprocess.Popen(
            ["mariadb-binlog", "--no-defaults", "--verify-binlog-checksum", f"--rewrite-db={dump.database}->{name}",
             *map(str, logs)], stdout=subprocess.PIPE, stderr=complaints,
        )  # fmt: skip
        asked = ["mariadb", *options, _UNLOGGED, "--binary-mode", "--max-allowed-packet=1G", name]
        done = subprocess.run(asked, stdin=reader.stdout, capture_output=True, check=False)
        if reader.stdout:
            reader.stdout.close()
        code = reader.wait()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace")
    if done.returncode:
        refused = nightly_backup.reason(done.stderr.decode(errors="replace"))
        raise EncajaError(f"the server refuses a change of the logs: {refused}", name, "recover an earlier moment")
    if code or "ERROR" in said:
        raise EncajaError(f"mariadb-binlog: {nightly_backup.reason(said)}", str(logs[-1]), "recover an earlier moment")


@contextmanager
def _replayer(client: nightly_backup.Database, name: str) -> Iterator[list[str]]:
    """Options of a client whose user may apply logs, to this database alone; the user is gone afterwards."""
    account = f"'{_USER}'@'localhost'"
    password = secrets.token_hex(24)
    with client.options() as options:
        socket = [option for option in options if option.startswith(("--socket", "--protocol"))]
    _ask(
        client,
        f"CREATE OR REPLACE USER {account} IDENTIFIED BY '{password}'; "
        f"GRANT BINLOG REPLAY, BINLOG ADMIN ON *.* TO {account}; GRANT ALL ON `{name}`.* TO {account}",
    )
    try:
        with tempfile.NamedTemporaryFile("w", prefix="encaja-recover-", suffix=".cnf") as stream:
            stream.write(f"[client]\nuser={_USER}\npassword={password}\n")
            stream.flush()
            yield [f"--defaults-file={stream.name}", *socket]
    finally:
        _ask(client, f"DROP USER IF EXISTS {account}")


def _ask(client: nightly_backup.Database, statements: str) -> None:
    nightly_backup.client(client, "mysql", f"SET sql_log_bin = 0; {statements}")
