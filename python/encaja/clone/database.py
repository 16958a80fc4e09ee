"""The database of a copy: a physical copy of the running source, prepared beside the old one and put in its place.

Every stage leaves a mark, so that a run after a kill or a restart goes on: staging is only used when it was prepared to
the end, and the old data is removed only when the server has started on the new.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ..errors import EncajaError
from .remote import Progress, Source, last_line, pump

READY = "encaja-prepared.json"


class DatabaseCopy:
    """One copy of a whole MariaDB instance into the data directory of this host."""

    def __init__(self, source: Source, datadir: Path, state: Path, name: str) -> None:
        """Take ``name`` as the copy's identity: staging of another copy is thrown away.

        Args:
            source: where the data comes from.
            datadir: the server's data directory, which must not be a mount point of its own.
            state: a directory for logs.
            name: what tells this copy from an earlier one.
        """
        self.source = source
        self.datadir = datadir
        self.staging = datadir.with_name(f"{datadir.name}.encaja-new")
        self.before = datadir.with_name(f"{datadir.name}.encaja-old")
        self.state = state
        self.name = name

    def is_prepared(self) -> bool:
        """Whether staging holds this copy, whole and prepared."""
        mark = self.staging / READY
        return mark.exists() and json.loads(mark.read_text()).get("name") == self.name

    def is_done(self) -> bool:
        """Whether the data directory holds this copy."""
        mark = self.datadir / READY
        return mark.exists() and json.loads(mark.read_text()).get("name") == self.name and not self.staging.exists()

    def fetch(self, progress: Progress) -> dict[str, Any]:
        """Stream the source's data into staging and prepare it; returns what was measured.

        Raises:
            EncajaError: a version, space or a program says no.
        """
        facts = self.source.facts()
        here = server_version("mariadbd")
        if facts["mariadb"].split(".")[:2] != here.split(".")[:2]:
            raise EncajaError(
                f"the source runs MariaDB {facts['mariadb']}, this host {here}",
                "physical copy",
                "set clone_database_method: logical",
            )
        free = shutil.disk_usage(self.datadir.parent).free
        if free < facts["database_bytes"] * 1.2:
            raise EncajaError(
                f"{free / 1e9:.1f} GB free, {facts['database_bytes'] * 1.2 / 1e9:.1f} GB needed",
                str(self.datadir.parent),
                "enlarge the disk",
            )
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(mode=0o700)
        began = time.monotonic()
        size = pump(
            self.source.command("database"),
            ["mbstream", "--extract", f"--directory={self.staging}"],
            progress,
            self.state / "database.log",
        )
        streamed = time.monotonic() - began
        done = subprocess.run(
            ["mariadb-backup", "--prepare", f"--target-dir={self.staging}"], capture_output=True, check=False
        )
        (self.state / "prepare.log").write_bytes(done.stderr)
        if done.returncode or b"completed OK!" not in done.stderr:
            raise EncajaError(last_line(done.stderr), "mariadb-backup --prepare", f"see {self.state / 'prepare.log'}")
        measured = {"name": self.name, "bytes": size, "seconds": streamed, "mariadb": here}
        (self.staging / READY).write_text(json.dumps(measured))
        return measured

    def switch(self) -> None:
        """Put the prepared copy in the place of the old data and start the server on it.

        Raises:
            EncajaError: the server does not start; the old data is back in its place.
        """
        if self.staging.exists() and self.is_prepared():
            systemctl("stop", "mariadb.service")
            if self.datadir.exists() and not self.before.exists():
                self.datadir.rename(self.before)
            elif self.datadir.exists():
                shutil.rmtree(self.datadir)  # a start on new data that was cut off; the old is in 'before'
            subprocess.run(["chown", "-R", "mysql:mysql", str(self.staging)], check=True)
            self.staging.rename(self.datadir)
        elif not self.datadir.exists() and self.before.exists():
            self.before.rename(self.datadir)
            raise EncajaError("no prepared copy is there", str(self.staging), "run the copy again")
        try:
            systemctl("start", "mariadb.service")
        except EncajaError:
            if self.before.exists():
                shutil.rmtree(self.datadir, ignore_errors=True)
                self.before.rename(self.datadir)
                systemctl("start", "mariadb.service")
            raise
        shutil.rmtree(self.before, ignore_errors=True)


def server_version(program: str) -> str:
    """The version of MariaDB on this host, as ``11.8.3``."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    words = said.replace("-", " ").split()
    for number, word in enumerate(words):
        if word == "Ver":
            return words[number + 1]
    raise EncajaError("MariaDB is not installed", "this host", "run site.yml first")


def systemctl(verb: str, unit: str) -> None:
    """Start or stop a unit.

    Raises:
        EncajaError: systemd refused or the unit failed.
    """
    done = subprocess.run(["systemctl", verb, unit], capture_output=True, check=False)
    if done.returncode:
        raise EncajaError(last_line(done.stderr), f"systemctl {verb} {unit}", f"see 'journalctl -u {unit}'")
