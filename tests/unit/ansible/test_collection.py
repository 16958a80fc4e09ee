"""What goes into the collection's archive."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]


def test_what_is_made_in_a_clone_is_not_packed() -> None:
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]
    made = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
    assert "build" in made
    assert [path for path in made if not any(fnmatch(path, pattern) for pattern in ignored)] == []
