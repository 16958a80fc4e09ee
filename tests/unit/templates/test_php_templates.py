from __future__ import annotations

import re

import pytest

DEMANDED = {
    "short_open_tag": "On",
    "max_file_uploads": "100",
    "max_execution_time": "300",
    "post_max_size": "1024M",
    "upload_max_filesize": "1024M",
    "pcre.recursion_limit": "14000",
    "realpath_cache_size": "4096k",
    "default_charset": "UTF-8",
    "allow_url_fopen": "On",
    "enable_dl": "Off",
    "expose_php": "Off",
    "mail.add_x_header": "Off",
    "display_errors": "Off",
}


def settings(text: str) -> dict[str, str]:
    """An ini file as PHP reads it: the last one of a name wins."""
    pairs = (line.split(" = ", 1) for line in text.splitlines() if " = " in line and not line.startswith(";"))
    return {name: value.strip('"') for name, value in pairs}


@pytest.mark.parametrize("template", ["fpm.ini.j2", "cli.ini.j2"])
def test_the_vendors_settings_hold_for_pages_and_the_command_line(role, template):
    ini = settings(role("php").render(template))
    assert {name: ini[name] for name in DEMANDED} == DEMANDED
    assert int(ini["max_input_vars"]) >= 10000
    assert int(ini["default_socket_timeout"]) >= 60
    assert int(ini["pcre.backtrack_limit"]) >= 1000000


def test_the_code_cache_sees_every_change_at_once(role):
    ini = settings(role("php").render("fpm.ini.j2"))
    assert (ini["opcache.revalidate_freq"], ini["opcache.validate_timestamps"]) == ("0", "1")
    assert int(ini["opcache.interned_strings_buffer"]) == int(ini["opcache.memory_consumption"]) // 4


@pytest.mark.parametrize(("memory", "workers"), [(1024, 5), (4096, 17), (16384, 68), (131072, 200)])
def test_the_pool_is_sized_by_memory(role, memory, workers):
    pool = settings(role("php", ansible_facts={"memtotal_mb": memory}).render("pool.conf.j2"))
    assert int(pool["pm.max_children"]) == workers
    spare = int(pool["pm.min_spare_servers"]), int(pool["pm.start_servers"]), int(pool["pm.max_spare_servers"])
    assert list(spare) == sorted(spare), "FPM refuses a pool that starts outside of its spare servers"
    assert spare[2] <= workers


def test_sessions_are_private_files_by_default(role):
    ini = settings(role("php").render("fpm.ini.j2"))
    assert (ini["session.save_handler"], ini["session.save_path"]) == ("files", "/var/lib/php/portal-sessions")
    assert ini["session.gc_maxlifetime"] == str(7 * 86400)


@pytest.mark.parametrize(
    ("inventory", "path"),
    [
        ({}, "unix:///run/redis/redis.sock?database=1"),
        ({"encaja_cache_password": "of others"}, "unix:///run/redis/redis.sock?database=1"),
        (
            {"encaja_cache_password": "a&b c", "topology_cache_remote": True},
            "unix:///run/redis/redis.sock?database=1&auth=a%26b+c",
        ),
        (
            {"php_session_redis_host": "cache.example.com", "encaja_cache_password": "a&b c"},
            "tcp://cache.example.com:6379?database=1&auth=a%26b+c",
        ),
    ],
)
def test_sessions_in_redis(role, inventory, path):
    ini = settings(role("php", php_session_store="redis", **inventory).render("fpm.ini.j2"))
    assert (ini["session.save_handler"], ini["session.save_path"]) == ("redis", path)
    assert ini["redis.session.locking_enabled"] == "1"


@pytest.mark.parametrize(("tls", "secure"), [(True, "On"), (False, "Off")])
def test_the_session_cookie_follows_tls(role, tls, secure):
    assert settings(role("php", web_tls=tls).render("fpm.ini.j2"))["session.cookie_secure"] == secure


def test_extra_settings_win(role):
    ini = settings(role("php", php_ini_extra={"memory_limit": "2G"}).render("fpm.ini.j2"))
    assert ini["memory_limit"] == "2G"


def test_the_sandbox_lets_a_setgid_mailer_be(role):
    text = role("php").render("sandbox.conf.j2")
    assert "NoNewPrivileges=no" in text
    assert not re.search(r"^(User|SystemCallFilter|RestrictSUIDSGID)=", text, re.MULTILINE)


def test_the_release_decides_on_the_version(role):
    assert role("php", ansible_facts={"distribution_major_version": "12"}).value("php_version") == "8.2"
    assert role("php").value("php_version") == "8.4"
