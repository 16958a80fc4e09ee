"""A copy on one machine, of a source that is no more than files, that can be killed at every step it takes.

A step is whatever changes the disk or starts a program. The programs that a copy starts are shell scripts of a line or
two; what systemd and MariaDB would notice (a data directory that is not whole) makes them fail.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from encaja import host_tools
from encaja.clone import checks, commands, database, files, manifest, remote, tables
from encaja.errors import EncajaError

PARTS = [
    "check", "files", "database", "files-again", "switch-database", "prove-database", "switch-files", "prove-files",
]  # fmt: skip
NEW = "what production has"
SCRIPTS = {
    "mbstream": 'cat > "${2#--directory=}/ibdata"',
    "mariadb-backup": 'touch "${2#--target-dir=}/prepared"; echo "completed OK!" >&2',
    "chown": ":",
    # It starts on whole data only.
    "systemctl": (
        'if [ "$1" = stop ]; then rm -f "$ROOT/serving"; exit; fi\n'
        'cd "$ROOT/lib/mysql" || exit 1\n'
        'if [ -e "$ROOT/refuse" ] && grep -q production ibdata; then echo "it fails" >&2; exit 1; fi\n'
        'test -e prepared && cp ibdata "$ROOT/serving"'
    ),
    "rsync": 'cp -a "$ROOT/source/." "$ROOT/portal/trees/t1/"',
    "setpriv": ":",
    "mariadb": 'cat >> "$ROOT/serving"',
}
STEPS: list[tuple[Any, str]] = [
    (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"), (Path, "symlink_to"), (Path, "write_bytes"),
    (shutil, "rmtree"), (subprocess.Popen, "__init__"),
]  # fmt: skip
TAKES_ROOM = {"mkdir", "symlink_to", "write_bytes", "fdopen", "write"}


class Estate:
    """The copy's host below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.state, self.datadir = root / "portal", root / "state", root / "lib/mysql"
        (root / "source/upload").mkdir(parents=True)
        (root / "source/index.php").write_text("new")
        self.old_database()
        (self.home / "trees/old").mkdir(parents=True)
        (self.home / "www").symlink_to("trees/old")
        self.state.mkdir()
        (root / "environment").write_text("test\n")
        (root / "bin").mkdir()
        for name, text in SCRIPTS.items():
            script = root / "bin" / name
            script.write_text(f"#!/bin/sh\nROOT='{root}'\n{text}\n")
            script.chmod(0o755)
        at = {"address": "source", "key": "k", "known_hosts": "h"}
        self.job = root / "job.json"
        self.write_job(copy="c1", sources={"files": at, "database": at})

    def write_job(self, **changes: Any) -> None:
        before = json.loads(self.job.read_text()) if self.job.exists() else {}
        given = {
            "parts": PARTS, "environment": "test", "from": "production", "home": str(self.home), "contents": True,
            "datadir": str(self.datadir), "state": str(self.state), "method": "physical", **before, **changes,
        }  # fmt: skip
        self.job.write_text(json.dumps(given))

    def old_database(self) -> None:
        self.datadir.mkdir(parents=True)
        (self.datadir / "ibdata").write_text("old")
        (self.datadir / "prepared").touch()
        shutil.copy(self.datadir / "ibdata", self.root / "serving")

    def serving(self) -> str:
        """What the server serves; empty when it does not run."""
        path = self.root / "serving"
        return path.read_text() if path.exists() else ""

    def whole_data(self) -> list[str]:
        """Every whole set of data below the library directory, wherever a switch has put it."""
        found = self.datadir.parent.glob("*/ibdata")
        return [path.read_text() for path in found if (path.parent / "prepared").exists()]

    def run(self, kill_at: int = 0, *, full: bool = False, cut: str = "") -> int:
        """Run the tool in a process of its own; returns the exit code, -9 if it was killed.

        Args:
            kill_at: it is killed at its n-th step.
            full: from that step on the disk is full instead, and takes nothing that is new.
            cut: SSH is cut then: ``ask`` or ``sent``, ``data``, ``end`` of the database's stream.
        """
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = self._tool(kill_at, full, cut)
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _tool(self, kill_at: int, full: bool, cut: str) -> int:
        self.cut = cut
        os.environ["PATH"] = f"{self.root / 'bin'}:{os.environ['PATH']}"
        os.dup2(os.open(self.root / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        commands.MARKER, commands.HOST_KEY = self.root / "environment", self.root / "none"  # type: ignore[misc]
        checks.server_version = commands.server_version = lambda: "11.8.3"
        remote.Source.facts = lambda _: self._facts()  # type: ignore[method-assign]
        remote.Source.ask = lambda _, *words: self._ask(*words)  # type: ignore[method-assign]
        remote.Source.stream = self._stream  # type: ignore[method-assign, assignment]
        tables.query = lambda _, sql: self._query(sql)
        tables.connect = lambda _="": _Nothing()  # type: ignore[assignment, return-value]
        tables.base_tables = lambda _: [tables.Table("portal", "b_user", "InnoDB", 1)]
        tables.fingerprints = lambda *_: self._fingerprints(self.serving())
        database.os.fsync = lambda _: None  # type: ignore[assignment]
        files.subprocess.Popen = subprocess.Popen
        if kill_at:
            _Countdown(kill_at, full)
        return host_tools.main(["clone", str(self.job)])

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        if sql.startswith("DROP DATABASE"):
            (self.root / "serving").unlink(missing_ok=True)
        return []

    def _facts(self) -> dict[str, Any]:
        import time

        return {
            "environment": "production", "host_key": "x", "time": time.time(), "tree": "t1", "files_bytes": 10,
            "mariadb": "11.8.3", "database_bytes": 10, "schemas": {"portal": ""}, "tables": 1, "crashed": [],
        }  # fmt: skip

    def _ask(self, *words: str) -> bytes:
        self._may_be_cut("ask")
        return b"".join(manifest.pack(manifest.entries(self.root / "source", contents="contents" in words)))

    def _stream(self, *given: Any, **_: Any) -> dict[str, Any]:
        *_, data, end, progress = given
        self._may_be_cut("sent")
        restless = self.root / "restless"
        exact = not restless.exists() or not restless.read_text()
        if not exact:
            restless.write_text(restless.read_text()[1:])
        data(0, NEW[:6].encode())
        self._may_be_cut("data")
        data(0, NEW[6:].encode())
        progress(len(NEW))
        self._may_be_cut("end")
        end(0)
        return {"exact": exact, "tables": self._fingerprints(NEW) if exact else {}, "not_compared": []}

    def _may_be_cut(self, at: str) -> None:
        if self.cut == at:
            raise EncajaError("Connection to source closed by remote host", "source source", "rerun")

    @staticmethod
    def _fingerprints(content: str) -> dict[str, Any]:
        return {"portal.b_user": {"rows": len(content), "checksum": hash_of(content)}}


def hash_of(content: str) -> int:
    return sum(content.encode())


class _Nothing:
    def close(self) -> None:
        pass


class _Countdown:
    """Kills this process, as SIGKILL does, right before or right after its n-th step; or fills the disk then."""

    def __init__(self, kill_at: int, full: bool) -> None:
        self.left, self.full = kill_at, full
        for holder, name in STEPS:
            setattr(holder, name, self._counted(getattr(holder, name)))
        if full:
            os.fdopen = self._counted(os.fdopen)
            os.write = self._counted(os.write)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            self._step()
            if self.full and self.left <= 0 and call.__name__ in TAKES_ROOM:
                raise OSError(errno.ENOSPC, "No space left on device")
            result = call(*given, **named)
            self._step()
            return result

        return counted

    def _step(self) -> None:
        self.left -= 1
        if not self.left and not self.full:
            os.kill(os.getpid(), 9)
