"""The job of a restore: everything that role or command line decide."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encaja.restore.errors import BackupUsageError
from encaja.restore.fetch import FetchOptions
from encaja.restore.load.database import Server

_STAMP = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,60}")
CLOUD_MIRRORS = (
    "https://cdn.bitrix24.ru",
    "https://cdn.bitrix24.com",
    "https://cdn.bitrix24.de",
    "https://cdn-ru.bitrix24.ru",
    "https://cdn-ru.bitrix24.de",
)
"""Where restore.php looks for the files of a cloud manifest, in its order."""


@dataclass(frozen=True)
class RestoreJob:
    """A restore.

    Attributes:
        stamp: names the new tree, database and journal of this restore.
        directory: where the volumes are, or go to.
        url: link to the first volume, or the address of the vendor's storage with a licence; None when all volumes are
            in the directory.
        volumes: number of volumes, where neither archive nor listing says.
        listing: address or file of a listing of the volumes.
        licence: licence key that opens the vendor's storage.
        archive: name of the first volume there; None for the newest backup.
        password: of an encrypted archive.
        work: journals and spools, in a folder by stamp.
        home: folder of the portal.
        server: the new database.
        domain: the portal's host name; None leaves what depends on it.
        owner: user of the tree; None leaves the process's own.
        group: group of the tree.
        low_disk: delete volumes as soon as they are consumed, and fetch few ahead.
        freeze: no agents, no mail and nothing of ``silence`` until the release.
        silence: what is switched off in the new database, as rules of ``encaja.portal.silence``.
        switch: make the new tree the live one at the end.
        loaders: tables loaded at a time; None for one a processor, at least two.
        fetch: how to fetch.
        cloud_mirrors: where the files of a cloud manifest are; empty leaves the manifest alone.
        close: commands that keep the portal's programs from reaching out: run before the first change, unless a portal
            that people work with is live, and again before the switch. The restore ends where one fails.
        after_switch: commands to run after a switch.
        status: progress file.
        database_patience: seconds to wait for a database server that is away.
    """

    stamp: str
    directory: Path
    server: Server
    home: Path
    work: Path
    url: str | None = None
    volumes: int | None = None
    listing: str | None = None
    licence: str | None = field(default=None, repr=False)
    archive: str | None = None
    password: str | None = field(default=None, repr=False)
    domain: str | None = None
    owner: str | None = None
    group: str | None = None
    low_disk: bool = False
    freeze: bool = True
    silence: tuple[Mapping[str, Any], ...] = ()
    switch: bool = True
    loaders: int | None = None
    fetch: FetchOptions = field(default_factory=FetchOptions)
    cloud_mirrors: tuple[str, ...] = CLOUD_MIRRORS
    close: tuple[tuple[str, ...], ...] = ()
    after_switch: tuple[tuple[str, ...], ...] = ()
    status: Path | None = None
    database_patience: float = 600.0

    def __post_init__(self) -> None:
        if not _STAMP.fullmatch(self.stamp):
            raise BackupUsageError(
                f"{self.stamp!r} is no name for a restore", "stamp", "letters, digits, '.', '_' and '-'"
            )

    @property
    def tree(self) -> Path:
        """The new tree."""
        return self.home / "trees" / self.stamp

    @property
    def link(self) -> Path:
        """The document root, a symbolic link to the live tree."""
        return self.home / "www"

    @property
    def own_work(self) -> Path:
        """Journal and spool of this restore."""
        return self.work / self.stamp

    @property
    def status_file(self) -> Path:
        """The progress file."""
        return self.status or self.work / "status.json"


def read_job(file: Path) -> RestoreJob:
    """Read a job file.

    Raises:
        BackupUsageError: it is no job.
    """
    try:
        return parse_job(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BackupUsageError("no such job file", str(file), "the role restore writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupUsageError(f"not a restore's job: {error}", str(file), "the role restore writes it") from error


def parse_job(content: dict[str, Any]) -> RestoreJob:
    """Make a job of plain values."""
    given = dict(content)
    given["server"] = Server(**given.pop("database"))
    for name in ("directory", "home", "work", "status"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    given["fetch"] = FetchOptions(**given.get("fetch", {}))
    if "cloud_mirrors" in given:
        given["cloud_mirrors"] = tuple(given["cloud_mirrors"])
    given["silence"] = tuple(given.get("silence", ()))
    for name in ("close", "after_switch"):
        given[name] = tuple(tuple(command) for command in given.get(name, ()))
    return RestoreJob(**given)
