"""Two portals for the module: what one test carries, the next one finds carried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.carryover.portals import SIZES, Site, database_server, install_cloud, restore_box, served


@pytest.fixture(scope="module")
def portals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """The cloud and the box."""
    home = tmp_path_factory.mktemp("portals")
    (home / "db").mkdir()
    with database_server(home / "db") as sock:
        cloud = install_cloud(home, sock, SIZES)
        box = restore_box(home, cloud)
        with served(cloud), served(box):
            yield cloud, box
