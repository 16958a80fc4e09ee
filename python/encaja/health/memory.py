"""What is remembered from look to look: faults that were told, what disks held, and the last thorough look."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from encaja.atomic import write_private
from encaja.health.readings import Reading

FILE = "memory.json"
BROKEN = ("fault", "warning")


@dataclass
class Memory:
    """What this host's looks remember.

    Attributes:
        since: when the first look was, in seconds of the epoch.
        told: the faults whose beginning was told and whose end was not: by identifier the evidence and since when.
        sizes: by mount, moments and bytes held.
        thorough: when the last thorough look was.
        checks: the readings of that look.
    """

    since: float = 0.0
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: dict[str, list[list[float]]] = field(default_factory=dict)
    thorough: float = 0.0
    checks: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path, now: float) -> Memory:
        """Read it; one that cannot be read is begun again, so that faults which last are told once more."""
        try:
            read = cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            read = cls()
        read.since = read.since or now
        return read

    def save(self, folder: Path) -> None:
        """Write it, durably."""
        folder.mkdir(parents=True, exist_ok=True)
        write_private(folder / FILE, json.dumps(asdict(self)))

    @property
    def last_checks(self) -> list[Reading]:
        """The readings of the last thorough look."""
        return [Reading(**item) for item in self.checks]  # type: ignore[arg-type]

    def remember(self, checks: Iterable[Reading], now: float) -> None:
        """Keep what a thorough look found."""
        self.checks, self.thorough = [asdict(item) for item in checks], now

    def news(self, readings: Iterable[Reading]) -> tuple[list[Reading], list[tuple[str, dict[str, Any]]]]:
        """What has begun and what has ended since it was last told.

        What could not be looked at has neither begun nor ended.
        """
        seen = {reading.id: reading for reading in readings}
        unknown = tuple(name for name, reading in seen.items() if reading.state == "unknown")
        broken = {name: reading for name, reading in seen.items() if reading.state in BROKEN}
        begun = [reading for name, reading in broken.items() if name not in self.told]
        ended = [
            (name, told) for name, told in self.told.items() if name not in broken and not _is_one_of(name, unknown)
        ]
        return begun, ended

    def note(self, begun: Iterable[Reading], ended: Iterable[tuple[str, dict[str, Any]]], now: float) -> None:
        """Note that beginnings and ends have been told."""
        for name, _ in ended:
            del self.told[name]
        for reading in begun:
            self.told[reading.id] = {"since": now, "evidence": reading.evidence, "state": reading.state}


def _is_one_of(name: str, unknown: tuple[str, ...]) -> bool:
    """Whether it is among them itself, or as one of many: ``unit:nginx.service`` is of ``units``."""
    return name in unknown or f"{name.partition(':')[0]}s" in unknown
