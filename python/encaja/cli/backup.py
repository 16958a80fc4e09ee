"""``encaja backup``: the vendor's backup on one machine, without Ansible."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from encaja.cli.options import AsJson
from encaja.errors import DifferencesFound
from encaja.restore import coordinator
from encaja.restore.archive import naming, volume_set
from encaja.restore.archive.crypt import open_header
from encaja.restore.archive.unpack import unpack as unpack_archive
from encaja.restore.errors import BackupUsageError, LinkExpired
from encaja.restore.fetch import Fetcher, FetchOptions, FetchProgress
from encaja.restore.fetch.headers import fetch_and_prove
from encaja.restore.fetch.links import Source, make_link
from encaja.restore.fetch.vendor_storage import VendorStorage, open_stored
from encaja.restore.job import RestoreJob, read_job
from encaja.restore.load.database import Server
from encaja.restore.run import RestoreRun
from encaja.restore.switch import roll_back
from encaja.status import conducted

app = typer.Typer(no_args_is_help=True)
_console = Console()

JOB = Path("/etc/encaja/restore.json")

LinkTo = Annotated[str, typer.Argument(metavar="URL", help="Link to the first volume, or to the vendor's storage.")]
Licence = Annotated[
    Path | None, typer.Option("--licence-file", help="File with the licence key that opens the vendor's storage.")
]
Stored = Annotated[str | None, typer.Option("--archive", help="Backup in the vendor's storage; else the newest.")]
Place = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup, or its first volume.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File whose first line is the archive's password.")]


def read_password(file: Path | None, *, needed: bool) -> str | None:
    """Read the password from its file, or ask for it where it is needed and a person is there."""
    if file:
        return first_line(file)
    if needed and _console.is_terminal:
        return str(typer.prompt("Password of the archive", hide_input=True))
    return None


def first_line(file: Path) -> str:
    """Read a secret from the first line of its file."""
    try:
        return file.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError) as error:
        raise BackupUsageError("cannot read the secret", str(file), "it is the file's first line") from error


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=_console,
        transient=True,
        disable=not _console.is_terminal,
    )


@app.command()
def info(place: Place, as_json: AsJson = False) -> None:
    """Describe an archive: form, volumes, sizes, what is missing."""
    found = volume_set.describe(naming.find_volumes(place))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    expected = "the form does not say" if found.expected is None else str(found.expected)
    for name, value in (
        ("archive", found.name),
        ("form", found.form),
        ("password", "needed" if found.encrypted else "none"),
        ("volumes", f"{found.present} here, of {expected}"),
        ("missing", ", ".join(map(str, found.missing)) or "none"),
        ("stored", _size(found.stored_bytes)),
        ("unpacked", _size(found.unpacked_bytes)),
        ("problems", "; ".join(found.problems) or "none seen (run verify to be sure)"),
    ):
        table.add_row(name, value)
    _console.print(table)


@app.command()
def verify(place: Place, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Verify every volume, and name those that are bad and why."""
    volumes = naming.find_volumes(place)
    password = read_password(password_file, needed=volumes.first.encrypted and not volumes.first.compressed)
    with _progress() as shown:
        task = shown.add_task("verifying", total=sum(path.stat().st_size for path in volumes.volumes.values()))
        found = volume_set.verify(volumes, password, lambda count: shown.advance(task, count))
    if as_json:
        typer.echo(json.dumps({**asdict(found), "good": found.good}, indent=2))
    else:
        for verdict in found.volumes:
            if verdict.state != "good":
                typer.echo(f"{verdict.state:<8} {verdict.name}: {verdict.reason}")
        for problem in found.problems:
            typer.echo(f"problem  {problem}")
        good = sum(verdict.state == "good" for verdict in found.volumes)
        typer.echo(f"{good} of {len(found.volumes)} volumes good")
    if not found.good:
        bad = [verdict.name for verdict in found.volumes if verdict.state != "good"]
        raise DifferencesFound(f"{len(bad)} volumes are not good", str(place), "fetch them again; the others are kept")


@app.command()
def unpack(
    place: Place,
    to: Annotated[Path, typer.Option(help="New or empty folder for the tree.")],
    password_file: PasswordFile = None,
) -> None:
    """Write the archive's tree, dumps included, byte for byte."""
    volumes = naming.find_volumes(place)
    password = read_password(password_file, needed=volumes.first.encrypted)
    with _progress() as shown:
        task = shown.add_task("unpacking", total=sum(path.stat().st_size for path in volumes.volumes.values()))
        done = unpack_archive(volumes, to, password, lambda count: shown.advance(task, count))
    typer.echo(f"{done.files} files, {_size(done.bytes)}, in {to}")


@app.command()
def fetch(  # noqa: PLR0917  (options of a command)
    url: LinkTo,
    to: Annotated[Path, typer.Option(help="Folder for the volumes; what is there is used.")],
    volumes: Annotated[int | None, typer.Option(help="Number of volumes, where the archive does not say.")] = None,
    listing: Annotated[str | None, typer.Option(help="File or address with a volume a line, and its SHA-256.")] = None,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Connections at a time.")] = 16,
    rate: Annotated[float | None, typer.Option(help="Limit in MB/s of all connections together.")] = None,
    password_file: PasswordFile = None,
    licence_file: Licence = None,
    stored: Stored = None,
) -> None:
    """Fetch an archive; every volume is verified on arrival, and a bad one is fetched again alone.

    When the link has expired, it asks for a new one (on a terminal) and continues.
    """
    options = FetchOptions(connections=connections, rate=rate * 1e6 if rate else None)
    while True:
        source: Source
        if licence_file:
            password = read_password(password_file, needed=True)
            source = open_stored(VendorStorage(first_line(licence_file), url), password, stored)
        else:
            source = make_link(url, volumes, listing)
            password = read_password(password_file, needed=source.name.encrypted and not source.name.compressed)
        try:
            fetcher = Fetcher(source, to, options, tell=_say)
            _fetch(fetcher, password)
            break
        except LinkExpired as error:
            if licence_file or not _console.is_terminal:
                raise
            typer.echo(str(error), err=True)
            url = typer.prompt("New link")
    done = fetcher.progress()
    typer.echo(f"{done.good} volumes, {_size(done.done)}, verified, in {to} ({done.rejected} had to be fetched again)")


def _say(wait: str) -> None:
    """Show what is asked for or waited for on standard error, and to the conductor."""
    if wait:
        typer.echo(wait, err=True)
    if status := conducted():
        status.begin("check", message=wait)


def _fetch(fetcher: Fetcher, password: str | None) -> None:
    fetcher.prepare()
    if fetcher.name.encrypted and password is not None:
        open_header(fetcher.first_block, password, fetcher.name.archive)
    status = conducted()
    if status:
        status.begin("fetch", done=fetcher.progress().done)
    with _progress() as shown:
        task = shown.add_task("fetching")
        said = ""

        def show() -> None:
            nonlocal said
            now = fetcher.progress()
            if now.waiting not in ("", said):
                typer.echo(now.waiting, err=True)
            said = now.waiting
            shown.update(task, completed=now.done, total=now.total or None, description=_volumes(now))
            if status:
                status.total, status.message, status.measured = now.total, _volumes(now), now.rate
                status.waiting = now.waiting
                status.advance(now.done)

        fetch_and_prove(fetcher, password, show)


def _volumes(now: FetchProgress) -> str:
    bad = f", {now.rejected} bad" if now.rejected else ""
    return f"{now.good} of {now.count} volumes good{bad}, {now.under_way} under way"


@app.command()
def restore(  # noqa: PLR0917  (options of a command)
    source: Annotated[str | None, typer.Argument(metavar="[URL|DIR]", help="Link or folder; without it --job.")] = None,
    job: Annotated[Path, typer.Option(help="Job file, as the role restore writes it.")] = JOB,
    home: Annotated[Path, typer.Option(help="Folder of the portal, with www and trees.")] = Path("/srv/portal"),
    volumes_in: Annotated[Path, typer.Option(help="Folder for fetched volumes.")] = Path("/srv/portal/backup"),
    stamp: Annotated[str, typer.Option(help="Names the restore, its tree and its database.")] = "",
    database_user: Annotated[str, typer.Option(help="User of the new database.")] = "portal",
    database_password_file: Annotated[Path | None, typer.Option(help="File with its password.")] = None,
    database_socket: Annotated[str, typer.Option(help="Local socket of the server.")] = "/run/mysqld/mysqld.sock",
    domain: Annotated[str | None, typer.Option(help="The portal's host name.")] = None,
    owner: Annotated[str | None, typer.Option(help="User of the tree.")] = "www-data",
    low_disk: Annotated[bool, typer.Option("--low-disk", help="Delete volumes once consumed.")] = False,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Connections at a time.")] = 16,
    rate: Annotated[float | None, typer.Option(help="Limit in MB/s of all connections together.")] = None,
    password_file: PasswordFile = None,
    licence_file: Licence = None,
    stored: Stored = None,
) -> None:
    """Restore the portal on this machine, or continue a restore; nothing live is touched before the end.

    When the link has expired, it asks for a new one (on a terminal) and continues.
    """
    if source is None:
        run = RestoreRun(read_job(job))
    else:
        if licence_file and not stored and not stamp:
            raise BackupUsageError("which backup is it?", source, "give --archive NAME, or --stamp NAME for the newest")
        found = re.search("[0-9]{8}_[0-9]{6}", stored or source)
        stamp = stamp or (found[0] if found else "restored")
        linked = source.startswith(("http://", "https://"))
        run = RestoreRun(
            RestoreJob(
                stamp=stamp,
                url=source if linked else None,
                directory=volumes_in if linked else Path(source),
                licence=first_line(licence_file) if licence_file else None,
                archive=stored,
                password=read_password(password_file, needed=".enc" in (stored or source)),
                fetch=FetchOptions(connections=connections, rate=rate * 1e6 if rate else None),
                home=home,
                work=Path("/var/lib/encaja/restore"),
                server=Server(
                    name=f"portal_{re.sub('[^0-9A-Za-z]', '_', stamp)}",
                    user=database_user,
                    password=read_password(database_password_file, needed=False) or "",
                    socket=database_socket,
                    admin_user="root",
                ),
                domain=domain,
                owner=owner,
                low_disk=low_disk,
            )
        )
    while True:
        try:
            _restore(run)
            break
        except LinkExpired as error:
            if run.job.licence or not _console.is_terminal:
                raise
            typer.echo(str(error), err=True)
            run = RestoreRun(replace(run.job, url=typer.prompt("New link")))
    report = run.journal.report
    typer.echo(
        f"{report['files']} files and {report['rows']} rows in {report['tables']} tables restored to {run.job.tree}"
    )
    for warning in [*report.get("warnings", []), *report.get("versions", [])]:
        typer.echo(f"warning: {warning}")


def _restore(run: RestoreRun) -> None:
    """Restore in a thread, so that its progress can be shown."""
    failed: list[BaseException] = []

    def restore() -> None:
        try:
            coordinator.restore(run)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=restore, daemon=True)
    with _console.status("checking") as shown:
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.5)
                shown.update(f"{run.status.phase}: {run.status.message}")
        except KeyboardInterrupt:
            run.cancel()
            thread.join()
            raise
    if failed:
        raise failed[0]


@app.command()
def rollback(
    home: Annotated[Path, typer.Option(help="Folder of the portal, with www and trees.")] = Path("/srv/portal"),
    work: Annotated[Path, typer.Option(help="Folder of the restore's journals.")] = Path("/var/lib/encaja/restore"),
    job: Annotated[Path, typer.Option(help="Job file of the role restore; it names what to reload afterwards.")] = JOB,
) -> None:
    """Make the tree (and with it the database) that was live before the last switch live again."""
    known = read_job(job) if job.is_file() else None
    after = known.after_switch if known and known.link == home / "www" else ()
    done = roll_back(home / "www", work, after)
    typer.echo(f"live: {done.after}")
