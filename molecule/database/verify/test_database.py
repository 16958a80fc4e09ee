"""MariaDB as the vendor's site checker looks at it, and as an intruder would."""

import shlex

import pytest
from testinfra.host import Host

PASSWORD = 'it\'s "quoted" \\ and long'
OPTIONS = "/var/tmp/verify.cnf"


@pytest.fixture(autouse=True)
def as_portal(host: Host) -> None:
    """Options of MariaDB's client for the portal's user."""
    secret = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    text = f'[client]\nuser=portal\npassword="{secret}"\n'
    host.check_output(f"umask 077; printf %s {shlex.quote(text)} > {OPTIONS}")


def ask(host: Host, query: str, *options: str) -> str:
    return host.check_output(f"mariadb {' '.join(options)} -BN -e {shlex.quote(query)}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sql_mode", ""),
        ("innodb_strict_mode", "0"),
        ("tx_isolation", "READ-COMMITTED"),
        ("character_set_server", "utf8mb4"),
        ("collation_server", "utf8mb4_unicode_ci"),
        ("default_storage_engine", "InnoDB"),
        ("innodb_default_row_format", "dynamic"),
        ("innodb_buffer_pool_size", str(256 * 1024 * 1024)),
        ("max_allowed_packet", str(256 * 1024 * 1024)),
    ],
)
def test_server_meets_the_site_checkers_requirements(host: Host, name: str, value: str) -> None:
    assert ask(host, f"SELECT @@global.{name}").strip() == value


def test_default_connection_matches_the_database(host: Host) -> None:
    query = "SELECT @@collation_connection = @@collation_database"
    assert ask(host, query, f"--defaults-extra-file={OPTIONS}", "portal") == "1"


def test_new_table_gets_the_databases_collation(host: Host) -> None:
    query = (
        "CREATE TABLE verify (a VARCHAR(9)); "
        "SELECT TABLE_COLLATION FROM information_schema.TABLES WHERE TABLE_NAME = 'verify'; DROP TABLE verify"
    )
    assert ask(host, query, f"--defaults-extra-file={OPTIONS}", "portal") == "utf8mb4_unicode_ci"


def test_character_set_without_a_collation_means_the_databases(host: Host) -> None:
    if host.system_info.release.startswith("12"):
        pytest.skip("MariaDB 10.11 has no setting for it; clients have to name the collation there")
    query = (
        "SET NAMES utf8mb4; SELECT @@collation_connection = @@collation_database; "
        "CREATE TABLE verify (a VARCHAR(9)) CHARSET utf8mb4; "
        "SELECT TABLE_COLLATION FROM information_schema.TABLES WHERE TABLE_NAME = 'verify'; DROP TABLE verify"
    )
    assert ask(host, query, f"--defaults-extra-file={OPTIONS}", "portal").split() == ["1", "utf8mb4_unicode_ci"]


def test_clock_agrees_with_php(host: Host) -> None:
    zone = "TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW())"
    assert ask(host, f"SELECT {zone}") == "-300"


def test_portal_may_create_databases_for_restored_trees(host: Host) -> None:
    query = "CREATE DATABASE portal_20260101; DROP DATABASE portal_20260101"
    ask(host, query, f"--defaults-extra-file={OPTIONS}")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT User FROM mysql.user",
        "CREATE DATABASE other",
        "CREATE DATABASE portalx20260101",
        "CREATE USER intruder",
        "SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/x'",
    ],
)
def test_portal_may_nothing_else(host: Host, query: str) -> None:
    done = host.run(f"mariadb --defaults-extra-file={OPTIONS} -BN -e {shlex.quote(query)}")
    assert done.rc != 0
    assert "denied" in done.stderr


def test_network_needs_tls(host: Host) -> None:
    options = f"--defaults-extra-file={OPTIONS} -h 127.0.0.1 -P 3306"
    refused = host.run(f"mariadb {options} --skip-ssl -BN -e 'SELECT 1'")
    assert refused.rc != 0
    name = host.backend.get_hostname()
    chain = host.check_output(
        f"echo | openssl s_client -starttls mysql -connect 127.0.0.1:3306 -verify_hostname {name} 2>/dev/null"
    )
    assert "Verify return code: 0 (ok)" in chain
    cipher = ask(host, "SHOW STATUS LIKE 'Ssl_cipher'", options, "--ssl", "--ssl-ca=/etc/ssl/certs/ca-certificates.crt")
    assert cipher.split("\t")[1] != ""


def test_new_certificate_is_loaded_without_a_restart(host: Host) -> None:
    before = host.check_output("systemctl show -p MainPID mariadb")
    host.check_output("systemctl reload mariadb")
    assert host.check_output("systemctl show -p MainPID mariadb") == before


def test_only_root_connects_without_a_password(host: Host) -> None:
    assert host.run("su -s /bin/sh www-data -c 'mariadb -u root -e status'").rc != 0
    assert host.run("mariadb -h 127.0.0.1 --ssl -u portal -e status").rc != 0


def test_tool_for_physical_copies_is_installed(host: Host) -> None:
    assert host.exists("mariadb-backup")


def test_server_started_without_complaint_about_its_options(host: Host) -> None:
    log = host.check_output("journalctl -u mariadb -q --no-pager -o cat")
    assert "unknown variable" not in log
    assert "deprecated" not in log


def test_slow_statement_is_logged(host: Host) -> None:
    ask(host, "SET SESSION long_query_time = 0.01; SELECT SLEEP(0.05) AS slow_on_purpose")
    assert host.file("/var/log/mysql/mariadb-slow.log").contains("slow_on_purpose")
