"""The private MariaDB of the restore tests."""

from __future__ import annotations

import shutil

import pytest

from support.mariadb import KillableMariaDB
from support.restore_runs import NAMES, load_reference


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A MariaDB server with the fixtures' dumps loaded by its own client, as reference_<kind>."""
    if not shutil.which("mariadbd"):
        pytest.skip("needs MariaDB (apt-get install mariadb-server)")
    folder = tmp_path_factory.mktemp("db")
    server = KillableMariaDB(folder)
    server.initialise()
    server.start()
    server.run("SET GLOBAL max_allowed_packet = 1 << 30")
    for kind in NAMES:
        load_reference(server, kind, f"reference_{kind.replace('-', '_')}", folder / "scratch")
    server.run("SET GLOBAL max_allowed_packet = 16 << 20")
    yield server
    server.stop()


@pytest.fixture
def home(tmp_path, database):
    """The portal's folder with an older tree that is live; the new database is gone before and after."""
    database.run("DROP DATABASE IF EXISTS portal_s1")
    folder = tmp_path / "portal"
    (folder / "trees" / "old").mkdir(parents=True)
    (folder / "trees" / "old" / "index.php").write_text("old")
    (folder / "www").symlink_to("trees/old")
    yield folder
    database.run("DROP DATABASE IF EXISTS portal_s1")
