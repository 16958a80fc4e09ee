"""A portal has more tables than the files that a program may open by default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, subprocess, sys
from pathlib import Path
from encaja.clone.open_files import allow_open_files
from encaja.errors import EncajaError
resource.setrlimit(resource.RLIMIT_NOFILE, (300, int(sys.argv[2])))
try:
    allow_open_files(Path(sys.argv[1]))
except EncajaError as fault:
    print(fault)
print(subprocess.run(["sh", "-c", "ulimit -n"], capture_output=True, text=True).stdout.strip())
"""


def limits(datadir: Path, hard: int) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(datadir), str(hard)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_what_it_starts_may_open_every_table(tmp_path: Path) -> None:
    assert limits(tmp_path, 900) == ["900"]


def test_too_many_tables_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "portal").mkdir()
    for number in range(100):
        (tmp_path / "portal" / f"t{number}.ibd").touch()
    fault, limit = limits(tmp_path, 350)
    assert fault.startswith(f"{tmp_path}: 356 files have to be open at once, the limit is 350 (raise the hard limit")
    assert limit == "300"
