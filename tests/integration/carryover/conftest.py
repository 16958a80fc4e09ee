"""Two portals for the module: what one test carries, the next one finds carried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.carryover.portals import Site, cloud_and_box


@pytest.fixture(scope="module")
def portals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """The cloud and the box."""
    with cloud_and_box(tmp_path_factory.mktemp("portals")) as both:
        yield both
