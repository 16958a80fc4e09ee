"""Whether a portal is a neutralised copy, and what of it is as neutralisation leaves it.

A copy has no licence of its own, sends nothing and rings no telephone. These are not faults of a copy, but they are
checked as well: each has to be as the rules say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .site import Portal
from .snapshot import NEUTRAL_MARKER

ENVIRONMENT: Final = Path("/etc/encaja/environment")
PROOF: Final = Path("/etc/encaja/neutralised")


@dataclass(frozen=True)
class CopyState:
    """What database and host are marked as.

    Attributes:
        marked: the database is marked as a neutralised copy.
        environment: by the host's marker; empty without one.
        proof: the host's record that its copy was proven inert; empty without one.
        options: options that neutralisation sets, by module and name, with their values.
    """

    marked: bool
    environment: str
    proof: str
    options: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def is_copy(self) -> bool:
        """Whether this is a neutralised copy. Production never is one, however its database is marked."""
        return self.marked and self.environment != "production"

    def is_intended(self, portal: Portal, module: str, name: str) -> bool:
        """Whether an option of a copy has the value that neutralisation gives it."""
        wanted = self.options.get((module, name))
        return self.is_copy and wanted is not None and portal.options.get((module, name)) == wanted


def read_copy_state(
    portal: Portal, rules: Sequence[Mapping[str, Any]], environment: Path = ENVIRONMENT, proof: Path = PROOF
) -> CopyState:
    """Read what a portal's database and host are marked as.

    Args:
        portal: the portal.
        rules: what neutralises a copy (``neutralise_rules``).
        environment: the host's marker.
        proof: where the host keeps that its copy was proven inert.
    """
    options = {
        (module, key): str(value)
        for rule in rules
        for name, value in (rule.get("options") or {}).items()
        if value is not None
        for module, _, key in [str(name).lower().partition(".")]
    }
    return CopyState(
        portal.option(*NEUTRAL_MARKER) == "Y",
        environment.read_text().strip() if environment.exists() else "",
        proof.read_text().strip() if proof.exists() else "",
        options,
    )
