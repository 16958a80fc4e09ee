"""What a look at a host finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from encaja.errors import ConfigurationError

State = Literal["ok", "warning", "fault", "unknown"]
JOB = Path("/etc/encaja/health.json")


@dataclass(frozen=True)
class Reading:
    """One thing that was looked at.

    Attributes:
        id: names it for as long as it lasts, such as ``unit:nginx.service`` or ``disk:/``.
        state: ``unknown`` where it could not be looked at.
        evidence: what was seen, in one line.
        cure: how to fix it.
    """

    id: str
    state: State
    evidence: str
    cure: str = ""


@dataclass(frozen=True)
class HealthJob:
    """What is looked at on a host, as role monitoring writes it.

    Attributes:
        environment: of the host.
        host: its name in the inventory.
        state: folder of what was told, and of the sizes seen before.
        units: units that have to be active; those that are disabled or masked are passed over.
        folders: folders whose file systems may not become full.
        disk_percent: a warning below so much of free space or of free inodes; half of it is a fault.
        disk_days: a warning when a disk will be full in less.
        backup: status of the nightly backup; empty where there is none.
        backup_hours: the newest backup may be so old.
        restore_test_days: the last proof that it restores may be so old.
        portal: the portal on this host, as arguments of module ``portal_verify``; empty where there is none.
        checks: identifiers, or the beginnings of them, of the portal's checks that belong to a look.
        channels: file with the addresses that are told, for apprise; empty where nobody is told.
        heartbeat: file with the address that is asked after every look; empty where there is none.
        language: of what is told (``en``, ``es``).
    """

    environment: str
    host: str
    state: Path
    units: tuple[str, ...] = ()
    folders: tuple[Path, ...] = (Path("/"),)
    disk_percent: float = 10.0
    disk_days: float = 7.0
    backup: str = ""
    backup_hours: float = 26.0
    restore_test_days: float = 8.0
    portal: dict[str, Any] | None = None
    checks: tuple[str, ...] = ()
    channels: str = ""
    heartbeat: str = ""
    language: str = "en"

    @classmethod
    def read(cls, values: dict[str, Any], where: Path) -> HealthJob:
        """Make it of the file's content.

        Raises:
            ConfigurationError: it is not what role monitoring writes.
        """
        try:
            for name in ("units", "checks"):
                values[name] = tuple(values.get(name, ()))
            values["folders"] = tuple(Path(item) for item in values.get("folders", ("/",)))
            values["state"] = Path(values["state"])
            return cls(**values)
        except (KeyError, TypeError) as fault:
            raise ConfigurationError(f"not a job of role monitoring ({fault})", str(where), "apply the role") from fault
