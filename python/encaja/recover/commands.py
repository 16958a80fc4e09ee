"""The host tools ``recover`` and ``recover-rollback``: the portal as of a moment, started by systemd.

The job names ``home``, ``work``, ``history`` (of the restore's switches), ``backup`` (the configuration of the host's
backup), ``database`` (``host``, ``user``, ``password``, ``socket``), ``fpm_socket`` and ``after_switch``, and what is
wanted: ``to`` (a moment, or nothing for the newest), ``only`` (``database``, ``files`` or nothing), ``host`` (that was
backed up, if it is another one), ``check`` (prove that it can be done, change nothing) and ``drop`` (remove what a
recovery that is not done has made).
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from encaja import nightly_backup
from encaja.atomic import write_atomically, write_private
from encaja.errors import ConfigurationError, EncajaError
from encaja.portal import cache, php, restored
from encaja.portal.site import STATE, Portal
from encaja.recover import binary_log, database, files, plan
from encaja.restore import portal_setup, space, switch
from encaja.restore.load.database import Server, force_to_disk
from encaja.status import Status
from encaja.update import snapshot

JOURNAL = "recovery.json"
PARTS = ("database", "files")


@dataclass(frozen=True)
class RecoverJob:
    """A recovery; see the module for its fields."""

    home: Path
    work: Path
    history: Path
    backup: Path
    database: Mapping[str, str]
    fpm_socket: Path
    after_switch: tuple[tuple[str, ...], ...] = ()
    state: Path = STATE
    to: str = ""
    only: str = ""
    host: str = ""
    check: bool = False
    drop: bool = False

    @property
    def link(self) -> Path:
        """The document root, a symbolic link to the live tree."""
        return self.home / "www"

    @property
    def parts(self) -> tuple[str, ...]:
        """What is recovered."""
        return (self.only,) if self.only else PARTS

    @property
    def client(self) -> nightly_backup.Database:
        """The server on this host, for its administrator."""
        host = f"localhost:{self.database['socket']}" if self.database.get("socket") else self.database["host"]
        return nightly_backup.Database(host, "", self.database["user"], self.database["password"])

    def server(self, name: str) -> Server:
        """The server and one database of it, for the portal's user."""
        said = self.database
        return Server(
            name, said["user"], said["password"], said["host"], socket=said.get("socket"), admin_user="root",
            admin_socket=said.get("socket"),
        )  # fmt: skip


@dataclass
class Journal:
    """What a recovery has done.

    Attributes:
        path: its file.
        moment: which is recovered, in seconds since 1970.
        only: which part, or nothing for both.
        tree: the new tree.
        database: the database that it names.
        dump: and the other snapshots of the plan.
        done: steps that are done.
        report: figures of the steps.
    """

    path: Path
    moment: float
    only: str
    tree: str
    database: str
    dump: dict[str, Any] | None = None
    logs: dict[str, Any] | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    done: list[str] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)

    def save(self, step: str = "") -> None:
        """Replace the file in one step, with a step more that is done; it is on the disk afterwards."""
        if step:
            self.done.append(step)
        content = asdict(self)
        del content["path"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(content, indent=1).encode(), 0o600)


def read_job(file: Path) -> RecoverJob:
    """Read a job file.

    Raises:
        ConfigurationError: it is no job.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        for name in ("home", "work", "history", "backup", "fpm_socket"):
            given[name] = Path(given[name])
        given["after_switch"] = tuple(tuple(command) for command in given.get("after_switch", ()))
        job = RecoverJob(**given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"not a recovery's job: {error}", str(file), "playbook recover writes it") from error
    if job.only not in ("", *PARTS):
        raise ConfigurationError(f"{job.only!r} is no part", "--only", "use database or files")
    return job


def moment_of(text: str) -> float | None:
    """The moment that a person names, in seconds since 1970; without an offset it is the host's own time.

    Raises:
        ConfigurationError: it is no moment.
    """
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError as error:
        hint = "give it as 2026-11-30T14:05:09, or with an offset as 2026-11-30T13:05:09Z"
        raise ConfigurationError(f"{text!r} is no moment", "--to", hint) from error


def recover(file: Path) -> int:
    """Recover, or continue a recovery; 0 when the portal of the moment is live (or the check has passed)."""
    job = read_job(file)
    status = Status(job.work / "status.json")

    def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, terminate)
    job.work.mkdir(parents=True, exist_ok=True)
    try:
        try:
            run(job, status)
        except nightly_backup.BackupError as fault:
            raise EncajaError(str(fault), "recovery", "fix it and run the recovery again") from fault
    except EncajaError as error:
        with suppress(OSError):  # the disk may be what the error is about
            status.fail(str(error))
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        with suppress(OSError):
            status.fail(f"{type(error).__name__}: {error}")
        raise
    return 0


def run(job: RecoverJob, status: Status) -> None:
    """Recover what the job says.

    Raises:
        EncajaError: it cannot be done; what is live has not been touched.
        BackupError: the repository or the server refuses.
    """
    config = nightly_backup.Config.load(job.backup)
    reading = replace(config, options=(*config.options, "--no-lock"))  # a backup, check or prune may be under way
    restic, shipped = nightly_backup.Restic(reading), nightly_backup.Restic(reading, "-logs")
    restic.host = shipped.host = job.host or restic.host
    journal = _unfinished(job)
    if job.drop:
        _drop(job, journal)
        status.finish("what the recovery had made is removed" if journal else "no recovery is half done")
        return
    if "database" in job.parts and not job.client.is_local:
        raise EncajaError("the database is on another host", job.database["host"], "recover it on that host")
    switch.check_link(job.link)
    status.begin("plan", message="which dump, logs and files make up the moment")
    restic.open("")
    if journal is None:
        if not job.host and "database" in job.parts and config.log_days:
            with suppress(nightly_backup.BackupError, OSError):  # what is shipped already is enough for most moments
                nightly_backup.LogShipping(config).ship()
        journal = _plan(job, restic, shipped)
    if "files" in job.parts:
        files.tree_of(plan.Files(**journal.before or {}), job.home)
    cut = _cut(job, journal, shipped, status) if "database" in job.parts and "database" not in journal.done else None
    _check_room(job, journal, restic)
    if job.check:
        shutil.rmtree(job.work / "logs", ignore_errors=True)
        status.finish(f"{plan.shown(journal.moment)} can be recovered{_of(cut)}")
        return
    journal.save()
    if cut is not None:
        _database(job, journal, restic, status, cut[0])
    if "files" not in journal.done:
        status.begin("files", message=f"the tree into {journal.tree}")
        _tree(job, journal, restic)
        journal.save("files")
    _carry_notes(job, journal)
    status.begin("switch", message="making the new tree the live one")
    switch.switch(job.link, Path(journal.tree), job.history, job.after_switch)
    portal = Portal(job.link)
    cache.purge(portal.root, portal.effective, job.fpm_socket)
    journal.save("switch")
    shutil.rmtree(job.work / "logs", ignore_errors=True)
    status.extra["report"] = journal.report
    status.finish(f"live: {journal.tree}, as of {plan.shown(journal.moment)}")


def _of(cut: tuple[list[Path], binary_log.Progress] | None) -> str:
    if cut is None:
        return ""
    last = plan.shown(cut[1].last)
    return f": {cut[1].transactions} transactions after the dump, none is missing, the last one of {last}"


def _unfinished(job: RecoverJob) -> Journal | None:
    """The recovery that is not done.

    Raises:
        EncajaError: it is another one than the job's.
    """
    path = job.work / JOURNAL
    try:
        journal = Journal(path, **json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise EncajaError(f"the journal cannot be read: {error}", str(path), "delete it") from error
    if "switch" in journal.done:
        return None
    wanted = moment_of(job.to)
    if not job.drop and ((wanted is not None and wanted != journal.moment) or job.only != journal.only):
        only = f" --only {journal.only}" if journal.only else ""
        raise EncajaError(
            f"a recovery of {plan.shown(journal.moment)}{only} is half done", str(path),
            f"continue it with --to {plan.shown(journal.moment)}{only}, or remove what it has made with --drop",
        )  # fmt: skip
    return journal


def _drop(job: RecoverJob, journal: Journal | None) -> None:
    if journal is None:
        return
    tree = Path(journal.tree)
    if job.link.resolve() == tree.resolve():
        raise EncajaError("its tree is live", str(tree), "continue the recovery, then switch back")
    if journal.dump:
        database.drop(job.client, journal.database)
    for path in (tree, tree.with_name(f".{tree.name}.part"), job.work / "logs"):
        shutil.rmtree(path, ignore_errors=True)
    journal.path.unlink()


def _plan(job: RecoverJob, restic: nightly_backup.Restic, shipped: nightly_backup.Restic) -> Journal:
    wanted = moment_of(job.to)
    moment = wanted or 0.0
    dump: plan.Dump | None = None
    logs: plan.Logs | None = None
    if "database" in job.parts:
        listed = shipped.snapshots(nightly_backup.TAG_LOGS)
        moment, dump, reaching = plan.choose(
            plan.dumps(restic.snapshots(nightly_backup.TAG_DATABASE)), plan.logs(listed), wanted
        )
        logs = next((item for item in reaching if not _parts(shipped, dump, item)[1]), reaching[0])
    before: plan.Files | None = None
    after: plan.Files | None = None
    if "files" in job.parts:
        kinds = (nightly_backup.TAG_FILES, nightly_backup.TAG_BETWEEN)
        found = plan.files([item for kind in kinds for item in restic.snapshots(kind)])
        if dump is None and wanted is None and found:
            moment = found[-1].at
        before, after = plan.beside(found, moment)
    stamp = "".join(letter for letter in plan.shown(moment) if letter.isdigit())
    live = _live_database(job)
    if dump is None and not live:
        raise EncajaError("no portal is live whose database the files could name", str(job.link), "recover both")
    if before is None and not live:
        raise EncajaError("no portal is live whose files could be kept", str(job.link), "recover both")
    tree = job.home / "trees" / f"at_{stamp}"
    while tree.resolve() == job.link.resolve():
        tree = tree.with_name(f"{tree.name}_again")
    name = database.database_name(dump.database, stamp) if dump else live
    if dump and name == live:
        raise EncajaError("this moment is live already", name, "recover another one, or switch back first")
    parts = {"dump": dump, "logs": logs, "before": before, "after": after}
    chosen: dict[str, Any] = {part: asdict(item) for part, item in parts.items() if item}
    return Journal(job.work / JOURNAL, moment, job.only, str(tree), name, **chosen)


def _live_database(job: RecoverJob) -> str:
    try:
        return str(Portal(job.link).section("connections")["default"]["database"])
    except (EncajaError, OSError, KeyError, TypeError):
        return ""


def _parts(shipped: nightly_backup.Restic, dump: plan.Dump, logs: plan.Logs) -> tuple[list[list[plan.Piece]], str]:
    lines = shipped.run("ls", "--json", logs.snapshot).stdout.splitlines()
    paths = [item["path"] for item in map(json.loads, lines) if item.get("type") == "file"]
    return plan.in_order(plan.pieces(paths), dump, logs)


def _cut(
    job: RecoverJob, journal: Journal, shipped: nightly_backup.Restic, status: Status
) -> tuple[list[Path], binary_log.Progress]:
    """Fetch the logs, and cut them at the moment."""
    dump, logs = plan.Dump(**journal.dump or {}), plan.Logs(**journal.logs or {})
    status.begin("logs", message=f"logs since the dump of {plan.shown(dump.at)}")
    place = job.work / "logs"
    shutil.rmtree(place, ignore_errors=True)
    shipped.run("restore", logs.snapshot, "--target", str(place / "shipped"))
    return database.cut(*_parts(shipped, dump, logs), place / "shipped", place / "cut", dump, journal.moment)


def _check_room(job: RecoverJob, journal: Journal, restic: nightly_backup.Restic) -> None:
    needs = []
    for what, step, chosen, folder, factor in (
        ("files", "files", journal.before, job.home / "trees", 1),
        ("database", "database", journal.dump, Path("/var/lib/mysql"), 2),
    ):
        if chosen and step not in journal.done:
            told = json.loads(restic.run("stats", "--json", "--mode", "restore-size", chosen["snapshot"]).stdout)
            needs.append(space.Need(what, folder, int(told["total_size"]) * factor))
    space.check_space(needs, low_disk=True)


def _database(
    job: RecoverJob, journal: Journal, restic: nightly_backup.Restic, status: Status, cut: list[Path]
) -> None:
    """Load the dump and apply the logs; what a stopped attempt has left is replaced."""
    dump = plan.Dump(**journal.dump or {})
    status.begin("database", message=f"dump of {plan.shown(dump.at)} into {journal.database}")
    database.make(job.client, journal.database)
    database.load(job.client, journal.database, restic, dump, status.advance)
    status.begin("replay", message=f"what was logged until {plan.shown(journal.moment)}")
    database.replay(job.client, dump, journal.database, cut)
    rows = nightly_backup.table_rows(job.client, journal.database)
    if not rows:
        raise EncajaError("the recovered database has no tables", journal.database, "recover an earlier moment")
    journal.report["database"] = {"tables": len(rows), "rows": sum(rows.values())}
    force_to_disk(job.server(journal.database))
    with suppress(nightly_backup.BackupError):
        nightly_backup.client(job.client, journal.database, "SET sql_log_bin = 0; DROP TABLE IF EXISTS encaja_restore")
    journal.save("database")


def _tree(job: RecoverJob, journal: Journal, restic: nightly_backup.Restic) -> None:
    """Bring the tree back, or copy the live one, and make it name its database."""
    tree = Path(journal.tree)
    if journal.before:
        after = plan.Files(**journal.after) if journal.after else None
        before = plan.Files(**{**journal.before, "paths": tuple(journal.before["paths"])})
        journal.report["files"] = files.restore(restic, job.home, tree, before, after, journal.moment)
    else:
        shutil.rmtree(tree, ignore_errors=True)
        snapshot.copy_tree(job.link.resolve(), tree)
    server = job.server(journal.database)
    path = tree / portal_setup.SETTINGS
    _rewrite(path, portal_setup.fill_settings(php.decode(path.read_bytes()), server))
    if (path := tree / portal_setup.DBCONN).is_file():
        _rewrite(path, portal_setup.fill_dbconn(php.decode(path.read_bytes()), server, freeze=False))
    if record := restored.read_record(tree):
        _rewrite(tree / restored.RECORD, json.dumps({**record, "database": journal.database}, indent=1) + "\n")


def _carry_notes(job: RecoverJob, journal: Journal) -> None:
    """Let the new database have what settling noted of the dumped one, above all that it was released."""
    if journal.dump and (noted := job.state / f"{journal.dump['database']}.json").is_file():
        write_private(job.state / f"{journal.database}.json", noted.read_text(encoding="utf-8"))


def _rewrite(path: Path, text: str) -> None:
    kept = path.stat()
    write_atomically(path, php.encode(text), kept.st_mode & 0o777, (kept.st_uid, kept.st_gid))


def rollback(file: Path) -> int:
    """Switch to the tree that was live before the last switch."""
    job = read_job(file)
    done = switch.roll_back(job.link, job.history, job.after_switch)
    portal = Portal(job.link)
    cache.purge(portal.root, portal.effective, job.fpm_socket)
    Status(job.work / "status.json").begin("rollback", message=f"live: {done.after}")
    print(f"live: {done.after}")
    return 0
