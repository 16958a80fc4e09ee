from __future__ import annotations

import subprocess
from shutil import which

import pytest

from encaja.portal import php, pull, settings

INVENTORY = {
    "encaja_domain": "portal.example.com",
    "encaja_database_password": "database-secret",
    "encaja_push_key": "push-secret",
}


@pytest.fixture
def portal(role):
    return lambda **changes: role("portal", **(INVENTORY | changes))


def laid_over(host, before):
    """What the role makes of a tree's settings."""
    sections, secrets = host.value("portal_sections"), host.value("portal_secrets")
    return settings.converge(before, sections, secrets, ["pull", "cache", "session"], host.value("portal_absent"))


RESTORED = {
    "connections": {"value": {"default": {"host": "cloud", "database": "portal_20260101", "password": "******"}}},
    "crypto": {"value": {"crypto_key": "of the source"}, "readonly": True},
    "cache": {"value": {"type": "memcache", "memcache": {"host": "cloud"}}},
    "pull": {"value": {"path_to_publish": "http://cloud/bitrix/pub/", "server_mode": "shared"}},
    "exception_handling": {"value": {"debug": False}},
}


def test_a_restored_tree_keeps_its_database_and_its_key(portal):
    after = laid_over(portal(), RESTORED)
    assert after["connections"]["value"]["default"]["database"] == "portal_20260101"
    assert after["connections"]["value"]["default"]["password"] == "database-secret"
    assert after["crypto"] == RESTORED["crypto"]
    assert after["exception_handling"] == RESTORED["exception_handling"]


@pytest.mark.parametrize("authority", ["", "/usr/local/share/ca-certificates/example.crt"])
def test_the_connection_names_its_class_and_a_remote_databases_authority(portal, authority):
    connection = laid_over(portal(portal_database_ca=authority), {})["connections"]["value"]["default"]
    assert connection["className"] == r"\Bitrix\Main\DB\MysqliConnection"
    assert connection.get("ssl_ca", "") == authority


@pytest.mark.parametrize("there", ["/etc/ssl/certs/ca-certificates.crt", "/srv/old-authority.crt"])
@pytest.mark.parametrize("here", ["", "/etc/ssl/certs/ca-certificates.crt"])
def test_a_tree_of_a_database_elsewhere_connects_as_this_host_wants(portal, there, here):
    before = laid_over(portal(portal_database_ca=there, portal_database_host="database.production"), RESTORED)
    host = portal(portal_database_ca=here)
    after = laid_over(host, before)
    connection = after["connections"]["value"]["default"]
    assert connection.get("ssl_ca", "") == here
    assert (connection["host"], connection["database"]) == ("localhost", "portal_20260101")
    assert laid_over(host, after) == after


def test_nothing_of_the_cloud_is_left_in_what_the_kit_owns(portal):
    text = php.render_settings(laid_over(portal(encaja_cache_password="x"), RESTORED))
    assert "cloud" not in text
    assert "shared" not in text
    assert "memcache" not in text


def test_a_second_time_changes_nothing(portal):
    host = portal()
    once = laid_over(host, RESTORED)
    assert laid_over(host, once) == once
    assert php.parse_settings(php.render_settings(once)) == once


@pytest.mark.parametrize(("listeners", "ports"), [(True, (8893, 8894)), (False, (0, 0))])
def test_push_and_pull_is_the_same_as_after_settling(portal, listeners, ports):
    policy = pull.PullPolicy("push-secret", mobile_port=ports[0], mobile_port_secure=ports[1])
    after = laid_over(portal(web_mobile_listeners=listeners), {})
    assert after["pull"] == {"value": pull.section(policy), "readonly": True}


def test_no_secret_stands_among_the_sections(portal):
    shown = str(portal(portal_cache_host="cache", encaja_cache_password="cache-secret").value("portal_sections"))
    for secret in ("database-secret", "push-secret", "cache-secret"):
        assert secret not in shown


def test_the_cache_on_this_host_is_a_socket_and_elsewhere_a_host_with_a_password(portal):
    here = laid_over(portal(encaja_cache_password="cache-secret"), {})["cache"]["value"]
    assert here["redis"] == {"host": "/run/redis/redis.sock", "port": 0}
    shared = laid_over(portal(encaja_cache_password="cache-secret", topology_cache_remote=True), {})["cache"]["value"]
    assert shared["redis"] == {**here["redis"], "password": "cache-secret"}, "Redis asks on its socket as well"
    there = laid_over(portal(portal_cache_host="10.0.0.5", encaja_cache_password="cache-secret"), {})["cache"]["value"]
    assert there["redis"] == {"host": "10.0.0.5", "port": 6379, "password": "cache-secret"}
    assert laid_over(portal(portal_cache_store="files"), {})["cache"]["value"] == {"type": "files"}


@pytest.mark.parametrize(("store", "owner"), [("files", "files"), ("redis", "php")])
def test_sessions_follow_php(portal, store, owner):
    assert portal(php_session_store=store).value("portal_session_store") == owner


def test_a_distribution_makes_the_source_and_nothing_a_restore(portal):
    assert portal().value("portal_source") == "restore"
    assert portal(portal_distribution="/a/portal.tar.gz").value("portal_source") == "distribution"


@pytest.mark.skipif(which("php") is None, reason="PHP is not installed on this machine")
@pytest.mark.parametrize("template", ["dbconn.php.j2", "after_connect_d7.php.j2"])
def test_php_takes_the_first_files(portal, template):
    text = portal().render(template)
    done = subprocess.run(["php", "-l"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_schedule_waits_for_a_portal_that_is_not_held(portal):
    text = portal().render("encaja-portal-cron.service.j2")
    assert "ConditionPathExists=!/etc/encaja/portal.held" in text
    assert "ConditionPathExists=/srv/portal/www/bitrix/modules/main/include/prolog_before.php" in text
    assert " /usr/bin/php -f /usr/local/lib/encaja/portal_cron.php /srv/portal/www\n" in text
    assert "TimeoutStartSec=15min" in text
    assert "ExecStart=/usr/bin/setpriv --reuid=www-data --regid=www-data --init-groups " in text
    assert "NoNewPrivileges=no" in text
    assert "\nUser=" not in text  # it would imply NoNewPrivileges
