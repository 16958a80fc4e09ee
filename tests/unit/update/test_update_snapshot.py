"""Where the way back is, and which database it is copied from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.errors import EncajaError
from encaja.update import snapshot


@pytest.mark.parametrize(
    ("live", "stamp", "name"),
    [
        ("portal_20261001", "20261130", "portal_20261001_before_20261130"),
        ("portal", "u-1.b", "portal_before_u_1_b"),
        ("portal_" + "x" * 57, "20261130", "portal_" + "x" * 41 + "_before_20261130"),
    ],
)
def test_the_copys_database_begins_as_the_portals_and_fits(live: str, stamp: str, name: str) -> None:
    assert snapshot.database_name(live, stamp) == name
    assert len(name) <= 64


def portal(host: str, **more: str) -> Any:
    default = {"host": host, "database": "portal", "login": "portal", "password": "secret", **more}
    return SimpleNamespace(
        settings_path=Path("/x/.settings.php"), extra_path=Path("/x/.settings_extra.php"), extra={},
        section=lambda _: {"default": default},
    )  # fmt: skip


def test_a_server_here_is_reached_by_its_socket_and_another_one_as_the_settings_say() -> None:
    here = snapshot.Source.of(portal("localhost"))
    assert (here.socket, here.server.user, here.server.password) == ("/run/mysqld/mysqld.sock", "root", "")
    other = snapshot.Source.of(portal("localhost:/srv/s.sock"))
    with other.client.options() as options:
        assert options == ["--protocol=socket", "--socket=/srv/s.sock", "--user=root"]
    far = snapshot.Source.of(portal("db.example:3307", ssl_ca="/etc/ca.pem"))
    assert (far.socket, far.server.host, far.server.port, far.server.ca) == ("", "db.example", 3307, "/etc/ca.pem")
    assert (far.server.user, far.server.admin_user) == ("portal", None)


def test_settings_without_a_database_are_named() -> None:
    broken = portal("localhost")
    broken.section = lambda _: {}
    with pytest.raises(EncajaError, match="no default database connection"):
        snapshot.Source.of(broken)
