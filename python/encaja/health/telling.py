"""Telling people, through apprise: once when a fault begins and once when it ends."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from encaja.errors import EncajaError
from encaja.health.readings import HealthJob, Reading

_TIMEOUT: Final = 60
WORDS: Final = {
    "en": {"begun": "{count} faults", "one": "1 fault", "ended": "over", "cure": "to do",
           "lasted": "lasted {minutes} min", "both": "{begun}, {ended} over"},
    "es": {"begun": "{count} fallos", "one": "1 fallo", "ended": "resuelto", "cure": "qué hacer",
           "lasted": "duró {minutes} min", "both": "{begun}, {ended} resueltos"},
}  # fmt: skip


def letter(
    job: HealthJob, begun: Sequence[Reading], ended: Sequence[tuple[str, dict[str, Any]]], now: float
) -> tuple[str, str]:
    """Title and text about what began and what ended."""
    words = WORDS[job.language]
    count = words["one"] if len(begun) == 1 else words["begun"].format(count=len(begun))
    if begun and ended:
        what = words["both"].format(begun=count, ended=len(ended))
    else:
        what = count if begun else f"{len(ended)} {words['ended']}"
    lines = [f"✗ {item.id}: {item.evidence}\n  {words['cure']}: {item.cure}" for item in begun]
    lines += [
        f"✓ {name}: {words['lasted'].format(minutes=max(1, round((now - told['since']) / 60)))} ({told['evidence']})"
        for name, told in ended
    ]
    return f"encaja {job.environment} · {job.host}: {what}", "\n".join(lines) + "\n"


def tell(job: HealthJob, title: str, text: str) -> None:
    """Send a letter to everybody named.

    Raises:
        EncajaError: it did not reach all of them.
    """
    command = ["apprise", "--config", job.channels, "--title", title, "--input-format", "text"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise EncajaError(
            f"nobody could be told ({type(fault).__name__})", job.host, "apply role monitoring"
        ) from fault
    if done.returncode:
        # What apprise prints may hold the addresses, which are secret.
        raise EncajaError(
            f"apprise could not tell everybody (exit code {done.returncode})", job.host, "check monitoring_urls"
        )


def beat(job: HealthJob) -> None:
    """Show the watcher's watcher that this host still looks.

    Raises:
        EncajaError: it could not be reached.
    """
    address = Path(job.heartbeat).read_text(encoding="utf-8").strip()
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:  # noqa: S310  an address of the inventory
            answer.read(1024)
    except (urllib.error.URLError, OSError, ValueError) as fault:
        reason = getattr(fault, "reason", None) or type(fault).__name__
        raise EncajaError(f"the heartbeat was not taken ({reason})", job.host, "check monitoring_heartbeat") from fault
