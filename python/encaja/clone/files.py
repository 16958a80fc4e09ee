"""The files of a copy: rsync from the source's portal, incremental, into a tree that is switched at the end."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ..errors import EncajaError
from .remote import Progress, Source, last_line

PROGRESS = re.compile(rb"^\s*([\d,.]+)\s+\d+%", re.MULTILINE)
STATISTIC = re.compile(r"^(Number of files|Total file size|Total transferred file size): ([\d,.]+)", re.MULTILINE)
EXCLUDED = (
    "bitrix/cache",
    "bitrix/managed_cache",
    "bitrix/stack_cache",
    "bitrix/html_pages",
    "bitrix/tmp",
    "bitrix/backup",
)


def copy_tree(source: Source, home: Path, tree: str, progress: Progress) -> dict[str, Any]:
    """Bring ``home/trees/TREE`` to what it is on the source; returns files and bytes seen and sent.

    What is there already is not sent again, so the same call is first copy, continuation and refresh.

    Raises:
        EncajaError: too little space, or rsync failed.
    """
    facts = source.facts()
    destination = home / "trees" / tree
    destination.mkdir(parents=True, exist_ok=True)
    present = sum(path.stat().st_size for path in destination.rglob("*") if path.is_file() and not path.is_symlink())
    missing = max(0, int(facts["files_bytes"]) - present)
    free = shutil.disk_usage(home).free
    if free < missing * 1.05:
        raise EncajaError(
            f"{free / 1e9:.1f} GB free, {missing * 1.05 / 1e9:.1f} GB needed", str(home), "enlarge the disk"
        )
    command = [
        "rsync", "--archive", "--hard-links", "--numeric-ids", "--delete-during", "--partial-dir=.encaja-partial",
        "--info=progress2,stats2", "--no-human-readable", "--outbuf=L", f"--rsh={' '.join(source.ssh())}",
        *(f"--exclude=/{name}/*" for name in EXCLUDED),
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
    # 24: files that vanished at the source while it was serving; the second pass takes what came instead.
    if running.returncode not in (0, 24):
        raise EncajaError(last_line(errors), f"rsync from {source.address}", "run it again, it goes on")
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


def switch(home: Path, tree: str) -> None:
    """Point ``home/www`` at the tree, in one step."""
    link = home / "www"
    beside = home / ".www.encaja-new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(Path("trees") / tree)
    beside.replace(link)
