"""The journal of a restore: what it has done, so that the next run continues there.

A checkpoint is written at the end of every volume. It is valid after a kill. After a restart of the machine (the boot
id tells) only the last checkpoint is valid whose data was forced to the disk before it (``durable``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from encaja.atomic import write_atomically
from encaja.restore.errors import BackupError

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Identity of this start of the machine."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


@dataclass
class Journal:
    """What a restore has done.

    Attributes:
        path: its file.
        archive: name of the archive.
        run: identity of this restore, also kept in the new database.
        phase: ``stream``, ``finish``, ``switch`` or ``done``.
        boot: the machine's start in which the checkpoint was written.
        checkpoint: state of the pipeline at the end of a volume.
        durable: the last checkpoint whose data is on the disk.
        header: first 512 bytes of an encrypted archive, in hexadecimal.
        charset: character set of the dump.
        collation: collation of the new database.
        settings: the server's settings as they were before the load; None when they are put back.
        previous: what the document root pointed to before the switch.
        seconds: time spent in each phase, over all runs.
        report: what was restored.
    """

    path: Path
    archive: str
    run: str
    phase: str = "stream"
    boot: str = field(default_factory=boot_id)
    checkpoint: dict[str, Any] | None = None
    durable: dict[str, Any] | None = None
    header: str = ""
    charset: str | None = None
    collation: str | None = None
    settings: dict[str, int] | None = None
    previous: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Replace the file in one step."""
        content = asdict(self)
        del content["path"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(content).encode())

    def resume_point(self) -> dict[str, Any] | None:
        """The checkpoint to continue from; None for the beginning."""
        return self.checkpoint if self.boot == boot_id() else self.durable


def load_journal(path: Path) -> Journal | None:
    """Read a journal; None when there is none.

    Raises:
        BackupError: it cannot be read.
    """
    try:
        return Journal(path, **json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise BackupError(
            f"the journal cannot be read: {error}",
            str(path),
            "drop the new database, delete the new tree and this folder",
        ) from error
