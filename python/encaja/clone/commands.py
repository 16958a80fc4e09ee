"""The host tool ``clone``: the parts of a copy, in the order of its job. Every part can be interrupted and rerun.

Job::

    {"parts": ["check", "files", "database", "files-again", "switch-database", "prove-database", "switch-files",
               "prove-files"],
     "copy": "identifies this copy", "environment": "preproduction", "from": "production",
     "home": "/srv/portal", "datadir": "/var/lib/mysql", "state": "/var/lib/encaja/clone", "method": "auto",
     "contents": false, "sources": {"files": {"address", "key", "known_hosts", "port"}, "database": {…}}}

``sources`` names only what this host copies: a database host has no ``files``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from encaja.clone import checks, files
from encaja.clone.database import DatabaseCopy, LogicalCopy, NotHeldError, PhysicalCopy, read_mark, write_mark
from encaja.clone.remote import CONNECT_SECONDS, Source
from encaja.clone.source import server_version
from encaja.errors import EncajaError
from encaja.status import Status

MARKER: Final = Path("/etc/encaja/environment")
ATTEMPTS: Final = 3
"""How often the database is fetched when the source could not be held long enough to count its tables."""
HOST_KEY: Final = Path("/etc/ssh/ssh_host_ed25519_key.pub")


def run(job: Path) -> int:
    """Do the parts that the job names; returns the exit code.

    Progress and, at the end, what was measured are in ``state/status.json``.
    """
    given: dict[str, Any] = json.loads(job.read_text())
    state = Path(given["state"])
    state.mkdir(parents=True, exist_ok=True)
    measured: list[dict[str, Any]] = []
    status = Status(state / "status.json", extra={"copy": given["copy"], "measured": measured})
    copy = Copy(given, status)
    try:
        copy.refuse()
        for part in given["parts"]:
            began = time.monotonic()
            found = copy.part(part)
            measured.append({"part": part, "seconds": round(time.monotonic() - began, 2), **found})
        os.sync()  # what the parts have made is on the disk before the status says so
    except (EncajaError, OSError) as fault:
        with suppress(OSError):  # the disk may be what the fault is about
            status.fail(str(fault))
        print(fault, file=sys.stderr)
        return 1
    status.finish()
    return 0


@dataclass
class Copy:
    """One copy on this host: its job and its parts."""

    given: dict[str, Any]
    status: Status
    sources: dict[str, Source] = field(init=False)

    def __post_init__(self) -> None:
        self.home, self.state = Path(self.given["home"]), Path(self.given["state"])
        self.datadir = Path(self.given["datadir"])
        self.sources = {
            what: Source(at["address"], Path(at["key"]), Path(at["known_hosts"]), int(at.get("port", 22)))
            for what, at in self.given["sources"].items()
        }

    def refuse(self) -> None:
        """Refuse a host whose marker does not say what the inventory says, or says production.

        Raises:
            EncajaError: with the reason.
        """
        if found := checks.environment_faults(self.given["environment"], MARKER):
            raise EncajaError("; ".join(found), "copy", "choose another target")

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What each source answered, asked once."""
        return {what: source.facts() for what, source in self.sources.items()}

    @property
    def tree(self) -> str:
        """The tree of this copy, the same in every part even if production changes to another meanwhile.

        Raises:
            EncajaError: production changed its tree since the copy started.
        """
        kept = read_mark(self.state / "copy.json")
        now = str(self.facts["files"].get("tree", ""))
        if kept.get("copy") != self.given["copy"]:
            write_mark(self.state / "copy.json", {"copy": self.given["copy"], "tree": now})
        elif kept["tree"] != now:
            raise EncajaError(
                f"the source serves {now} now, the copy started from {kept['tree']}",
                "copy",
                f"remove {self.state}/key and start over",
            )
        return now

    def part(self, name: str) -> dict[str, Any]:
        """Do one part; returns what was measured.

        Raises:
            EncajaError: it failed, or its name is unknown.
        """
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "check": self.check,
            "files": self.copy_files,
            "files-again": self.copy_files_again,
            "database": self.fetch_database,
            "switch-database": self.switch_database,
            "prove-database": self.prove_database,
            "switch-files": self.switch_files,
            "prove-files": self.prove_files,
        }
        if name not in parts:
            raise EncajaError(f"unknown part {name!r}", "clone.json", f"use {', '.join(parts)}")
        return parts[name]()

    def check(self) -> dict[str, Any]:
        """Check everything that the copy needs; all problems are reported together.

        Raises:
            EncajaError: with all of them.
        """
        asked = " and ".join(dict.fromkeys(source.address for source in self.sources.values()))
        self.status.begin("check", message=f"asking {asked}, {CONNECT_SECONDS} s for a connection")
        found: list[str] = []
        facts: dict[str, dict[str, Any]] = {}
        for what, source in self.sources.items():
            try:
                facts[what] = source.facts()
            except EncajaError as fault:
                found.append(str(fault))
                continue
            found += checks.source_faults(source.address, facts[what], self.given["from"], HOST_KEY)
        wanted: dict[Path, float] = {}
        if "files" in facts:
            found += checks.files_faults(facts["files"])
            wanted[self.home] = checks.files_size(facts["files"], self.home)
        if "database" in facts:
            found += checks.database_faults(facts["database"], self.given["method"], self.datadir)
            if not self._is_fetched(facts["database"]):
                wanted[self.datadir.parent] = checks.database_size(facts["database"])
        found += checks.space_faults(wanted)
        if found:
            raise EncajaError("; ".join(dict.fromkeys(found)), "nothing was copied", "fix it and run the copy again")
        return {"sources": {what: source.address for what, source in self.sources.items()}}

    def _is_fetched(self, facts: dict[str, Any]) -> bool:
        return bool(facts.get("mariadb")) and bool(server_version()) and self._database(facts).is_fetched()

    def _database(self, facts: dict[str, Any] | None = None) -> DatabaseCopy:
        theirs = (facts or self.facts["database"])["mariadb"]
        kind = checks.method(self.given["method"], theirs, server_version())
        copy = {"physical": PhysicalCopy, "logical": LogicalCopy}[kind]
        return copy(self.sources["database"], self.datadir, self.state, self.given["copy"])

    def _proof(self) -> files.FileProof:
        return files.FileProof(self.sources["files"], self.state, self.tree, bool(self.given["contents"]))

    def copy_files(self) -> dict[str, Any]:
        """Copy the files, and remove what the source no longer has."""
        tree = self.tree
        self.status.begin("files", self._to_send())
        self._proof().begin()
        return files.copy_tree(self.sources["files"], self.home, tree, self.status.advance)

    def copy_files_again(self) -> dict[str, Any]:
        """Copy the files that were added while the database was copied."""
        self.status.begin("files added since", 0)
        return files.copy_tree(self.sources["files"], self.home, self.tree, self.status.advance, delete=False)

    def _to_send(self) -> int:
        """Bytes to send, estimated from sizes: everything for a first copy, what is new for a refresh."""
        return int(checks.files_size(self.facts["files"], self.home) / 1.05) or int(self.facts["files"]["files_bytes"])

    def fetch_database(self) -> dict[str, Any]:
        """Fetch the database, unless it is here."""
        copy = self._database()
        if copy.is_fetched():
            return {"kept": True}
        for left in reversed(range(ATTEMPTS)):
            self.status.begin("database", int(self.facts["database"]["database_bytes"]))
            try:
                return copy.fetch(self.status.advance)
            except NotHeldError:
                if not left:
                    raise
        raise AssertionError

    def switch_database(self) -> dict[str, Any]:
        """Make the copy the one that the server serves."""
        copy = self._database()
        if copy.is_done():
            return {"kept": True}
        self.status.begin("switch of the database", message="MariaDB starts on the copy, within systemd's time limit")
        copy.switch()
        return {}

    def prove_database(self) -> dict[str, Any]:
        """Compare every table with what the source had."""
        self.status.begin("proof of the database", message="every table is compared with what the source counted")
        return self._database().prove()

    def switch_files(self) -> dict[str, Any]:
        """Make the copied tree the live one."""
        self.status.begin("switch of the files")
        files.switch(self.home, self.tree)
        os.sync()
        if (self.home / "www").resolve() != (self.home / "trees" / self.tree).resolve():
            raise EncajaError("does not lead to the copied tree", str(self.home / "www"), "run the copy again")
        return {"tree": self.tree}

    def prove_files(self) -> dict[str, Any]:
        """Compare every entry of the tree with the source's."""
        self.status.begin("proof of the files")
        return self._proof().prove(self.home)
