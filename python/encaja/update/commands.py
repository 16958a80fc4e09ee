"""The host tools ``update`` and ``update-rollback``: the vendor's updater with a way back, started by systemd.

The job names ``stamp``, ``home``, ``work``, ``history`` (of the restore's switches), ``user``, ``seconds``,
``fpm_socket`` and ``after_switch``.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from encaja.atomic import write_atomically
from encaja.errors import ConfigurationError, EncajaError
from encaja.portal import cache, licence, module_versions, restored, updater
from encaja.portal.site import Portal
from encaja.restore import switch
from encaja.status import Status
from encaja.update import snapshot

JOURNAL = "journal.json"


@dataclass(frozen=True)
class UpdateJob:
    """An update.

    Attributes:
        stamp: names the copy and the journal of this update.
        home: folder of the portal.
        work: journals and status.
        history: folder of the restore's switches, which leads back to the copy.
        user: runs the updater.
        seconds: the updater may take.
        fpm_socket: of the portal's pool, whose caches are emptied after a switch.
        after_switch: commands to run after a switch.
    """

    stamp: str
    home: Path
    work: Path
    history: Path
    user: str
    seconds: float
    fpm_socket: Path
    after_switch: tuple[tuple[str, ...], ...] = ()

    @property
    def link(self) -> Path:
        """The document root, a symbolic link to the live tree."""
        return self.home / "www"


@dataclass
class Journal:
    """What an update has done.

    Attributes:
        path: its file.
        live: the tree that is updated.
        before: the copy's tree.
        database: the copy's database.
        phase: ``snapshot``, ``update`` or ``done``.
        versions: of the modules, before the updater first ran.
        report: tables and rows of the copy, and modules that have another version since.
    """

    path: Path
    live: str
    before: str
    database: str
    phase: str = "snapshot"
    versions: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Replace the file in one step; it is on the disk afterwards."""
        content = asdict(self)
        del content["path"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(content, indent=1).encode())


def read_job(file: Path) -> UpdateJob:
    """Read a job file.

    Raises:
        ConfigurationError: it is no job.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        for name in ("home", "work", "history", "fpm_socket"):
            given[name] = Path(given[name])
        given["after_switch"] = tuple(tuple(command) for command in given.get("after_switch", ()))
        return UpdateJob(**given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"not an update's job: {error}", str(file), "playbook update_portal writes it"
        ) from error


def _read_journal(path: Path) -> Journal | None:
    try:
        return Journal(path, **json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise EncajaError(
            f"the journal cannot be read: {error}", str(path), "see which tree is live, then delete it"
        ) from error


def update(file: Path) -> int:
    """Copy the portal and run the updater, or continue; 0 when the modules' versions say that it was updated."""
    job = read_job(file)
    status = Status(job.work / "status.json", unit="steps")

    def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, terminate)
    try:
        _update(job, status)
    except EncajaError as error:
        _report(status, str(error))
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        _report(status, f"{type(error).__name__}: {error}")
        raise
    return 0


def _report(status: Status, error: str) -> None:
    with suppress(OSError):  # the disk may be what the error is about
        status.fail(error)


def _update(job: UpdateJob, status: Status) -> None:
    status.begin("check", 3, "what the updater needs")
    portal = Portal(job.link)
    journal = _begin(job, portal)
    live = Path(journal.live)
    if journal.phase == "snapshot":
        status.begin("snapshot", 3, f"copying {live.name} and its database, the way back", done=0)
        journal.versions = module_versions.read_versions(live)
        journal.report = snapshot.take(portal, Path(journal.before), journal.database)
        switch.note(job.history, switch.Switched(journal.before, journal.live))
        journal.phase = "update"
        journal.save()
    if journal.phase == "update":
        status.begin("update", 3, f"the vendor's updater, into {job.work / job.stamp}/updater.log", done=1)
        with (journal.path.parent / "updater.log").open("ab") as log:
            updater.run(live, [updater.COMMAND], log, job.seconds, job.user)
        status.begin("proof", 3, "versions of the modules", done=2)
        journal.report["changed"] = _prove(live, journal)
        journal.phase = "done"
        journal.save()
    changed = journal.report["changed"]
    status.extra["changed"] = bool(changed)
    said = (
        f"{len(changed)} modules updated: {module_versions.shown(changed)}"
        if changed
        else "no module has a newer version"
    )
    status.finish(f"{said}; as before: {journal.before}")


def _begin(job: UpdateJob, portal: Portal) -> Journal:
    """The journal of this update, after checking that it may begin or go on.

    Raises:
        EncajaError: another update is not done, this one was taken back, or something is lacking.
    """
    switch.check_link(job.link)
    live = str(job.link.resolve())
    for path in sorted(job.work.glob(f"*/{JOURNAL}")):
        other = _read_journal(path)
        if other and path.parent.name != job.stamp and other.phase == "update" and other.live == live:
            raise EncajaError(
                f"update {path.parent.name} of this tree is not done", str(path),
                f"finish it (update_stamp: {path.parent.name}), or switch back with --tags rollback",
            )  # fmt: skip
    journal = _read_journal(job.work / job.stamp / JOURNAL)
    if journal and journal.live != live:
        raise EncajaError(
            f"update {job.stamp} was made of {journal.live}, and live is {live}", str(journal.path),
            "give another update_stamp",
        )  # fmt: skip
    if journal and journal.phase == "done":
        return journal
    if fault := updater.lacking(job.link.resolve()):
        raise fault
    if not licence.key(portal):
        raise EncajaError(
            "no licence key, or that of a demonstration", licence.KEY_FILE, "the updater needs a valid one"
        )
    if journal is None:
        tree = Path(live)
        before = tree.with_name(f"{tree.name}.before-{job.stamp}")
        if before.exists():
            raise EncajaError("the copy's place is taken", str(before), "give another update_stamp, or remove it")
        name = snapshot.database_name(portal.database.name, job.stamp)
        taken = portal.database.count("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", name)
        if taken:
            raise EncajaError("the copy's database is there already", name, "give another update_stamp, or drop it")
        journal = Journal(job.work / job.stamp / JOURNAL, live, str(before), name)
        journal.save()
    return journal


def _prove(live: Path, journal: Journal) -> dict[str, tuple[str, str]]:
    """Modules with a newer version than before; they are what the tree's record says from now on.

    Raises:
        EncajaError: a module is older than before, or has no version any more.
    """
    now = module_versions.read_versions(live)
    back = module_versions.older(now, journal.versions)
    lost = sorted(set(journal.versions) - set(now))
    if back or lost:
        said = module_versions.shown(back) if back else f"no version any more: {', '.join(lost[:5])}"
        raise EncajaError(
            f"modules went back: {said}", str(live), "see updater.log, or switch back with --tags rollback"
        )
    if record := restored.read_record(live):
        path = live / restored.RECORD
        kept = path.stat()
        content = json.dumps({**record, "modules": now}, indent=1) + "\n"
        write_atomically(path, content.encode(), kept.st_mode & 0o777, (kept.st_uid, kept.st_gid))
    return module_versions.older(journal.versions, now)


def rollback(file: Path) -> int:
    """Switch to the tree that was live before the last switch or update."""
    job = read_job(file)
    done = switch.roll_back(job.link, job.history, job.after_switch)
    portal = Portal(job.link)
    cache.purge(portal.root, portal.effective, job.fpm_socket)
    Status(job.work / "status.json").begin("rollback", message=f"live: {done.after}")
    print(f"live: {done.after}")
    return 0
