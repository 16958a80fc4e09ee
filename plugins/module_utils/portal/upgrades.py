"""Security upgrades of this host: whether they have a source, and whether one waits for a restart.

Role base lets unattended-upgrades install what comes from Debian's security suite, and nothing else. Sources of the
formats: ``apt-cache(8)``, ``os-release(5)``, and Debian policy for ``/run/reboot-required``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

RELEASE: Final = Path("/etc/os-release")
REBOOT: Final = Path("/run/reboot-required")


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def is_automatic() -> bool:
    """Whether this host's apt installs upgrades by itself."""
    return '"1"' in _said("apt-config", "dump", "APT::Periodic::Unattended-Upgrade")


def has_security_suite(policy: str, codename: str) -> bool:
    """Whether ``apt-cache policy`` names the security suite of a release, as unattended-upgrades looks for it."""
    return re.search(rf"\bo=Debian,.*\bn={codename}-security,l=Debian-Security\b", policy) is not None


def upgrade_faults(*, automatic: bool) -> list[tuple[str, str]]:
    """What is wrong, each with how to fix it.

    Args:
        automatic: whether upgrades have to come by themselves.
    """
    found = []
    codename = re.search(r'(?m)^VERSION_CODENAME="?(\w+)', RELEASE.read_text())
    if automatic and codename and not has_security_suite(_said("apt-cache", "policy"), codename[1]):
        found.append(
            (
                f"security upgrades have no source: apt knows no suite {codename[1]}-security of Debian",
                "add it to /etc/apt/sources.list and run apt-get update, or set base_upgrades to false",
            )
        )
    if REBOOT.exists():
        reasons = REBOOT.with_suffix(".pkgs")
        names = sorted(set(reasons.read_text().split())) if reasons.exists() else []
        found.append(
            (
                f"an upgrade waits for a restart of the host ({', '.join(names) or 'package not named'})",
                "restart it, or let base_upgrades_reboot do so",
            )
        )
    return found
