"""What podman is told depends on this machine's cgroup tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from encaja.lab import engine


@pytest.mark.parametrize(("plain", "option"), [(True, "--pids-limit=-1"), (False, "--pids-limit=0")])
def test_no_limit_is_written_where_no_controller_would_take_it(
    plain: bool, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: plain and str(path) == "/sys/fs/cgroup/cgroup.controllers")
    assert engine.pids_option() == option
