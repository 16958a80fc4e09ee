"""What a portal's clients see while something is done to it: asked on its own host, again and again."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testinfra.host import Host

PROGRAM = Path(__file__).with_suffix(".php")
PLACE = "/run/encaja-clients"
KINDS = ("page", "database", "cache", "push")


@dataclass
class Seen:
    """The lines of ``clients.php``."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def failed(self, kind: str) -> list[dict[str, Any]]:
        """The lines in which this kind went wrong."""
        return [line for line in self.lines if line[kind]]

    def failed_seconds(self, kind: str) -> int:
        """In how many seconds, counted from the first failure on, this kind went wrong."""
        failed = self.failed(kind)
        return len({math.floor(line["began"] - failed[0]["began"]) for line in failed})

    def interruptions(self, kind: str) -> int:
        """How many times it went wrong after it had gone well."""
        words = [bool(line[kind]) for line in self.lines]
        return sum(now and not before for before, now in zip([False, *words], words, strict=False))

    def summary(self) -> str:
        """One line for each kind."""
        return "\n".join(
            f"{kind}: {len(self.failed(kind))} of {len(self.lines)} failed, in {self.failed_seconds(kind)} seconds"
            + "".join(f"; {word}" for word in sorted({line[kind] for line in self.failed(kind)}))
            for kind in KINDS
        )


@contextmanager
def clients(host: Host, name: str) -> Iterator[Seen]:
    """Ask the portal ``name`` on its host while the block runs; what was seen is complete after it."""
    seen = Seen()
    text = base64.b64encode(PROGRAM.read_bytes()).decode()
    host.check_output(f"mkdir -p {PLACE}; echo {text} | base64 -d > {PLACE}/clients.php")
    unit = f"systemd-run --unit=encaja-clients --collect -p StandardOutput=truncate:{PLACE}/seen"
    host.check_output(f"{unit} php {PLACE}/clients.php {name}")
    try:
        yield seen
    finally:
        host.run("systemctl stop encaja-clients")
        lines = host.check_output(f"cat {PLACE}/seen").splitlines()
        host.run(f"rm -r {PLACE}")
        seen.lines += [json.loads(line) for line in lines if line.endswith("}")]
