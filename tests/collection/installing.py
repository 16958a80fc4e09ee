"""Commands as somebody runs them who has nothing of the kit's environment, and what such a person installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


def run(
    *command: str | Path, folder: Path, path: Path | None = None, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody who has nothing of the kit's environment."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "ENCAJA_", "PYTHON"))}
    mine["UV_CACHE_DIR"] = str(ROOT / ".cache/uv")
    mine |= (
        {"PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home or folder), "LANG": "C.UTF-8"}
        if path
        else {}
    )
    return subprocess.run(
        [str(part) for part in command], cwd=folder, env=mine, capture_output=True, text=True, timeout=900, check=False
    )


def done(*command: str | Path, folder: Path, path: Path | None = None, home: Path | None = None) -> str:
    """What a command printed, which has to succeed."""
    ended = run(*command, folder=folder, path=path, home=home)
    assert ended.returncode == 0, f"{' '.join(map(str, command))}\n{ended.stdout[-4000:]}\n{ended.stderr[-2000:]}"
    return ended.stdout


def pins(folder: Path) -> Path:
    """The versions of requirements.txt as constraints, in a file below ``folder``."""
    path = folder / "pins.txt"
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    path.write_text("".join(f"{line.split(chr(92))[0].strip()}\n" for line in lines if line[:1].isalnum()))
    return path
