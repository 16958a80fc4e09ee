"""``encaja backup``: the vendor's backup on one machine, without Ansible."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from encaja.backup import archive, naming
from encaja.backup.errors import BackupUsageError
from encaja.backup.unpack import unpack as unpack_archive
from encaja.errors import DifferencesFound

app = typer.Typer(no_args_is_help=True, help="Look at, prove, fetch, unpack and restore a backup of the portal.")
_console = Console()

Place = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup, or its first volume.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File whose first line is the archive's password.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_password(file: Path | None, *, needed: bool) -> str | None:
    """Read the password from its file, or ask for it where it is needed and a person is there."""
    if file:
        try:
            return file.read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError) as error:
            raise BackupUsageError("cannot read the password", str(file), "it is the file's first line") from error
    if needed and _console.is_terminal:
        return str(typer.prompt("Password of the archive", hide_input=True))
    return None


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
    found = archive.describe(naming.find_volumes(place))
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
        ("problems", "; ".join(found.problems) or "none seen (verify proves it)"),
    ):
        table.add_row(name, value)
    _console.print(table)


@app.command()
def verify(place: Place, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Prove every volume, and say which one is bad and why."""
    volumes = naming.find_volumes(place)
    password = read_password(password_file, needed=volumes.first.encrypted and not volumes.first.compressed)
    with _progress() as shown:
        task = shown.add_task("verifying", total=sum(path.stat().st_size for path in volumes.volumes.values()))
        found = archive.verify(volumes, password, lambda count: shown.advance(task, count))
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
