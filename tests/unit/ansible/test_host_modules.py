"""What the host's modules work out, without a host."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.encaja.portal.plugins.module_utils import host_state
from ansible_collections.encaja.portal.plugins.module_utils.dpkg import installed
from ansible_collections.encaja.portal.plugins.module_utils.host_state import (
    Host,
    hosts_text,
    sysctl_path,
    sysctl_value,
)
from ansible_collections.encaja.portal.plugins.modules.packages import apt_error
from ansible_collections.encaja.portal.plugins.modules.portal_database import granted, native_hash, quoted, same, text

ENTRY = {"address": "192.0.2.7", "names": ["db.example.org", "db"]}
HOSTS = "127.0.0.1\tlocalhost\n"


def test_names_are_appended_to_the_file() -> None:
    made = hosts_text(HOSTS, [ENTRY])
    assert made.startswith(HOSTS)
    assert "192.0.2.7\tdb.example.org db\n" in made
    assert hosts_text(made, [ENTRY]) == made


def test_former_names_are_removed_and_the_rest_is_kept() -> None:
    made = hosts_text(HOSTS, [ENTRY]) + "192.0.2.9\tlater\n"
    assert hosts_text(made, []) == HOSTS + "192.0.2.9\tlater\n"


def test_a_file_without_a_final_newline_is_kept_intact() -> None:
    assert hosts_text("127.0.0.1 localhost", [ENTRY]).startswith("127.0.0.1 localhost\n# BEGIN")


def test_kernel_settings_are_compared_as_the_kernel_shows_them() -> None:
    assert sysctl_path("net.ipv4.ip_local_port_range") == "/proc/sys/net/ipv4/ip_local_port_range"
    assert sysctl_value("16384\t60999\n") == sysctl_value("16384 60999")
    assert sysctl_value(True) == "1"


def test_a_setting_of_every_interface_reaches_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "KERNEL", str(tmp_path))
    monkeypatch.setattr(host_state.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    places = [tmp_path / "net/ipv4/conf" / name / "send_redirects" for name in ("all", "default", "eth0.7")]
    for place in places:
        place.parent.mkdir(parents=True)
        place.write_text("1\n")
    host = Host(check=False)
    host.sysctl({"net.ipv4.conf.*.send_redirects": 0, "net.ipv9.conf.*.any": 0}, str(tmp_path / "60-encaja.conf"))
    assert [place.read_text() for place in places] == ["0", "0", "0"]
    assert len(host.diffs) == 4
    assert host.not_settable == ["net.ipv9.conf.*.any is not in this kernel"]
    assert "net.ipv4.conf.*.send_redirects = 0\n" in (tmp_path / "60-encaja.conf").read_text()


def test_a_provided_name_counts_as_installed_and_a_removed_package_does_not() -> None:
    listing = (
        "installed\tmariadb-server\tvirtual-mysql-server\n"
        "installed\tphp8.4-cli\tphp-json (= 8.4.1), php8.4-phpdbg:any\n"
        "config-files\tnginx\t\n"
    )
    names = installed(listing)
    assert {"mariadb-server", "virtual-mysql-server", "php8.4-cli", "php-json", "php8.4-phpdbg"} == names


def test_the_reason_is_extracted_from_apts_output() -> None:
    output = "Reading package lists...\nBuilding dependency tree...\nE: Unable to locate package nosuch\n"
    assert apt_error(output) == "E: Unable to locate package nosuch"


def test_a_password_becomes_the_servers_hash() -> None:
    # SELECT PASSWORD('mypass') of MariaDB
    assert native_hash("mypass") == "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


def test_rights_are_read_as_the_server_writes_them() -> None:
    lines = [
        "GRANT USAGE ON *.* TO `portal`@`localhost` IDENTIFIED BY PASSWORD '*0'",
        "GRANT ALL PRIVILEGES ON `portal`.* TO `portal`@`localhost`",
        "GRANT ALL PRIVILEGES ON `portal\\_%`.* TO `portal`@`localhost`",
        "GRANT SELECT, INSERT ON `other`.* TO `portal`@`localhost`",
        "GRANT SELECT ON `other`.`one` TO `portal`@`localhost`",
    ]
    rights = granted(lines)
    assert rights["`portal`.*"] == rights["`portal\\_%`.*"] == "ALL PRIVILEGES"
    assert rights["`other`.*"] == "SELECT, INSERT"
    assert "OTHER" in rights.values(), "a right on a table is not passed over"
    assert len(rights) == 4


@pytest.mark.parametrize(
    ("have", "want", "is_same"),
    [
        ("OFF", "OFF", True),
        ("0", "OFF", True),
        ("ON", True, True),
        ("ON", "OFF", False),
        ("", "", True),
        ("STRICT_TRANS_TABLES", "", False),
        ("READ-COMMITTED", "read-committed", True),
        ("1", "0", False),
        ("10", "1", False),
    ],
)
def test_switches_are_equal_in_any_spelling(have: str, want: object, is_same: bool) -> None:
    assert same(have, want) is is_same


def test_names_cannot_escape_their_quotes() -> None:
    assert quoted("a`b") == "`a``b`"
    assert text("it's \\ here") == "'it''s \\\\ here'"
