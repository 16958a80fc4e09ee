"""A copy with everything live in it becomes harmless, stays so, and is isolated where that is not proven."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from lab.copying import play

UNKNOWN = "unknown_module.API_TOKEN"
INERT = "molecule/neutralise/inert.yml"


def query(host: Host, sql: str) -> str:
    return host.check_output("mariadb -N -B portal -e %s", sql)


def refused(host: Host) -> int:
    chain = host.check_output("nft list chain inet encaja encaja_egress")
    return int(re.search(r"counter packets (\d+) bytes \d+ reject", chain).group(1))


@pytest.mark.parametrize(
    "live",
    [
        "b_mail_mailbox WHERE ACTIVE <> 'N' OR PASSWORD <> ''",
        "b_event WHERE SUCCESS_EXEC = 'N'",
        "b_agent WHERE ACTIVE <> 'N'",
        "b_voximplant_sip WHERE SERVER <> '' OR PASSWORD <> ''",
        "b_rest_event",
        "b_rest_ap WHERE ACTIVE = 'Y'",
        "b_pull_push",
        "b_clouds_file_bucket WHERE READ_ONLY <> 'Y'",
        "b_option WHERE MODULE_ID IN ('socialservices', 'messageservice') AND NAME <> 'queue_stopped'",
        "acme_sync_endpoint WHERE API_TOKEN <> ''",
    ],
)
def test_nothing_is_live(host: Host, live: str) -> None:
    assert query(host, f"SELECT COUNT(*) FROM {live}") == "0"  # noqa: S608


def test_the_portals_own_code_is_frozen(host: Host) -> None:
    tree = "/srv/portal/www/bitrix"
    dbconn = host.file(f"{tree}/php_interface/dbconn.php").content_string
    assert re.search(r"define\(.NO_AGENT_CHECK., true\)", dbconn)
    assert re.search(r"define\(.DisableEventsCheck., true\)", dbconn)
    assert not host.file(f"{tree}/.settings_extra.php").exists


def test_users_are_masked_and_the_test_user_exists(host: Host) -> None:
    assert query(host, "SELECT COUNT(*) FROM b_user WHERE EMAIL LIKE '%@encaja.test'") == "0"
    assert query(host, "SELECT ACTIVE FROM b_user WHERE LOGIN = 'tester'") == "Y"


def test_outbound_connections_are_refused_immediately(host: Host) -> None:
    before = refused(host)
    tried = host.run("curl -s -m 5 http://192.0.2.10/")
    assert tried.rc == 7, "not refused, but timed out"
    assert refused(host) > before


def test_pages_have_the_banner_and_the_proof_exists(host: Host) -> None:
    page = host.check_output("curl -si -H 'Host: copy.encaja.test' http://127.0.0.1/auth/")
    assert page.count("copy of production, nothing leaves it") == 1
    assert "proven inert" in host.file("/etc/encaja/neutralised").content_string
    assert not host.file("/etc/encaja/dark").exists


def test_uncovered_credentials_isolate_the_copy_until_they_are_acknowledged(host: Host) -> None:
    query(host, "CREATE TABLE unknown_module (ID int PRIMARY KEY, API_TOKEN varchar(20))")
    query(host, "INSERT INTO unknown_module VALUES (1, 'partner')")
    done = play(INERT)
    assert done.returncode != 0
    assert UNKNOWN in done.stdout
    assert "the copy stays isolated" in done.stdout
    assert host.file("/etc/encaja/dark").exists
    assert not host.file("/etc/encaja/neutralised").exists
    assert not host.check_output("systemctl list-units --plain --no-legend --state=active 'php*-fpm.*'")
    query(host, "DROP TABLE unknown_module")
    done = play(INERT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert not host.file("/etc/encaja/dark").exists
    assert host.check_output("systemctl list-units --plain --no-legend --state=active 'php*-fpm.*'")
