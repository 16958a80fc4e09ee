"""Fixtures of the backup tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from backup_archives import FIXTURES, PASSWORDS


@pytest.fixture(params=sorted(PASSWORDS))
def fixture_archive(request: pytest.FixtureRequest) -> tuple[Path, str | None]:
    """Folder and password of each of the vendor's archives."""
    return FIXTURES / request.param, PASSWORDS[request.param]
