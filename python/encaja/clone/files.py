"""The files of a copy: rsync from the source's portal, incremental, into a tree that is switched at the end."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from encaja.atomic import link_atomically, write_atomically
from encaja.clone import manifest
from encaja.clone.remote import Progress, Source, last_line
from encaja.errors import EncajaError

PROGRESS: Final = re.compile(rb"^\s*([\d,.]+)\s+\d+%", re.MULTILINE)
STATISTIC: Final = re.compile(
    r"^(Number of files|Total file size|Total transferred file size): ([\d,.]+)", re.MULTILINE
)


def copy_tree(source: Source, home: Path, tree: str, progress: Progress, delete: bool = True) -> dict[str, Any]:
    """Make ``home/trees/TREE`` the same as on the source; returns files and bytes seen and sent.

    What is there already is not sent again, so the same call is first copy, continuation and refresh.

    Args:
        source: where the files are.
        home: the directory with ``www`` and ``trees``.
        tree: the tree's name.
        progress: called with the bytes sent so far.
        delete: remove what the source no longer has. Not after the database was copied: it may still name a file that
            was deleted at the source since.

    Raises:
        EncajaError: rsync failed.
    """
    destination = home / "trees" / tree
    destination.mkdir(parents=True, exist_ok=True)
    command = [
        "rsync", "--archive", "--hard-links", "--numeric-ids", f"--partial-dir={manifest.PARTIAL}",
        *(["--delete-during"] if delete else []),
        "--info=progress2,stats2", "--no-human-readable", "--outbuf=L", f"--rsh={' '.join(source.ssh())}",
        *(f"--exclude=/{name}/*" for name in manifest.EXCLUDED),
        f"{source.user}@{source.address}:trees/{tree}/", f"{destination}/",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        said = b""
        if running.stdout is None or running.stderr is None:
            raise RuntimeError("rsync was opened with pipes")
        while chunk := running.stdout.read1(65536):  # type: ignore[attr-defined]
            said = (said + chunk)[-65536:]
            if found := PROGRESS.findall(chunk.replace(b"\r", b"\n")):
                progress(int(found[-1].replace(b",", b"").replace(b".", b"")))
        errors = running.stderr.read()
    # 24: files that vanished at the source while it was serving; the second pass copies what replaced them.
    if running.returncode not in (0, 24):
        raise EncajaError(last_line(errors), f"rsync from {source.address}", "run it again, it continues")
    numbers = {
        name: int(value.replace(",", "").replace(".", ""))
        for name, value in STATISTIC.findall(said.decode(errors="replace"))
    }
    return {
        "tree": tree,
        "files": numbers.get("Number of files", 0),
        "bytes": numbers.get("Total file size", 0),
        "sent": numbers.get("Total transferred file size", 0),
    }


class FileProof:
    """Compares the copied tree with the source's, entry by entry; what changed at the source in between may differ."""

    def __init__(self, source: Source, state: Path, tree: str, contents: bool) -> None:
        """Keep the manifest of the source in ``state``.

        Args:
            source: where the files are.
            state: a directory for manifests.
            tree: the tree's name.
            contents: compare what is in the files as well, not only size and time.
        """
        self.source, self.state, self.tree = source, state, tree
        self.words = ["manifest", tree, *(["contents"] if contents else [])]
        self.contents = contents
        self.before = state / "manifest-before"

    def begin(self) -> None:
        """Note what the source has before anything is copied."""
        since = int(self.source.facts()["time"])
        found = self.source.ask(*self.words)
        write_atomically(self.before, f"{since}\n".encode() + found)

    def prove(self, home: Path) -> dict[str, Any]:
        """Compare; returns how many entries are alike and how many moved on.

        Raises:
            EncajaError: an entry differs that did not change at the source.
        """
        try:
            since, _, kept = self.before.read_bytes().partition(b"\n")
        except FileNotFoundError as fault:
            raise EncajaError(
                "the source's list of files is not here", str(self.before), "run the copy again"
            ) from fault
        with ThreadPoolExecutor(1) as elsewhere:
            asked = elsewhere.submit(self.source.ask, *self.words)
            here = dict(manifest.entries(home / "trees" / self.tree, self.contents))
            there = manifest.unpack(asked.result())
        (self.state / "manifest").write_bytes(b"".join(manifest.pack(here.items())))
        found = manifest.compare(there, here, manifest.unpack(kept), int(since))
        if found.faults:
            more = f", and {len(found.faults) - 10} more" if len(found.faults) > 10 else ""
            raise EncajaError(
                "; ".join(found.faults[:10]) + more,
                f"copy of tree {self.tree}",
                "run it again; if it stays, check the disk",
            )
        return {"alike": found.alike, "moved_on": found.moved_on, "contents": self.contents}


def switch(home: Path, tree: str) -> None:
    """Point ``home/www`` at the tree, in one step."""
    link_atomically(home / "www", Path("trees") / tree)
