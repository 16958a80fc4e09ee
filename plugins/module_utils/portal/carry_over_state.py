"""The state of the carry-over, from what it leaves on the host, for the checks of the time lag.

It keeps ``prepared.json`` (``encaja.carryover.prepare``), the statuses ``once.json``, ``reconcile.json`` and
``follow.json`` (``encaja.carryover.commands``: the first two with the comparison of both sides as ``result``), and in
``portal`` the tree that it carries into (``encaja.carryover.rounds``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path("/var/lib/encaja/carry-over")
_STILL: Final = 600.0
"""Seconds without a new status after which a carry-over that follows counts as stopped."""


@dataclass(frozen=True)
class CarryOverState:
    """What the carry-over into this portal has done.

    Attributes:
        since: start of the window; empty when the carry-over was not prepared.
        proof: the last comparison of both sides, with ``ended``; empty when there was none.
        failed: why the comparison after it, or the only one, did not finish.
        follow: the status of the carry-over that follows the cloud; empty when none ever did.
        age: seconds since that status was written.
    """

    since: str = ""
    proof: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    follow: Mapping[str, Any] = field(default_factory=dict)
    age: float = 0.0

    @property
    def begun(self) -> bool:
        """Whether a carry-over was ever prepared or run."""
        return bool(self.since or self.proof or self.follow or self.failed)

    @property
    def frozen(self) -> str:
        """When work in the cloud was stopped and the rest carried; empty before."""
        return str(self.proof.get("frozen") or "")

    @property
    def follows(self) -> bool:
        """Whether a carry-over follows the cloud now and reaches it."""
        return bool(self.follow) and not self.follow.get("error") and self.age < _STILL

    @property
    def late(self) -> list[str]:
        """Who wrote in the cloud after the freeze, each name once, as far as the last comparison knows."""
        return list(dict.fromkeys(str(item.get("by") or "?") for item in self.proof.get("stragglers", [])))

    @property
    def late_records(self) -> int:
        """How many records were written in the cloud after the freeze."""
        return max(len(self.proof.get("stragglers", [])), int(self.follow.get("stragglers") or 0))


def read_carry_over(folder: Path, root: Path) -> CarryOverState:
    """Read the state of the carry-over into the live portal.

    What was compared or followed before this portal went live was another portal's, and does not count.

    Args:
        folder: where the carry-over keeps its state.
        root: the portal's document root.
    """
    live = root.lstat().st_mtime if root.is_symlink() else 0.0
    if _text(folder / "portal") not in {"", str(root.resolve())}:
        live = time.time()
    ends = [(_moment(status.get("ended") or status.get("updated")), status)
            for name in ("once", "reconcile") if (status := _read(folder / f"{name}.json"))]  # fmt: skip
    ends = sorted((end for end in ends if end[0] >= live), key=lambda end: end[0])
    proofs = [status for _, status in ends if isinstance(status.get("result"), dict)]
    proof = {**proofs[-1]["result"], "ended": proofs[-1].get("ended", "")} if proofs else {}
    last = ends[-1][1] if ends else {}
    follow = _read(folder / "follow.json")
    seen = _moment(follow.get("updated"))
    return CarryOverState(
        str(proof.get("since") or _read(folder / "prepared.json").get("since") or ""),
        proof,
        str(last.get("error") or ""),
        follow if seen >= live else {},
        time.time() - seen,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _moment(text: Any) -> float:
    """Seconds since the epoch; 0 where the text is no moment."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
