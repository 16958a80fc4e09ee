"""The pool answers as the portal's user, with the vendor's settings, and is shut off from the rest of the host."""

import json
import textwrap

import pytest

ASK = textwrap.dedent(
    """
    import socket, struct, sys

    def record(kind, data):
        return struct.pack("!BBHHBB", 1, kind, 1, len(data), 0, 0) + data

    def pair(name, value):
        return struct.pack("!II", len(name) | 1 << 31, len(value) | 1 << 31) + name.encode() + value.encode()

    values = {"SCRIPT_FILENAME": sys.argv[1], "SCRIPT_NAME": "/x.php", "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(20)
    link.connect("/run/php/portal.sock")
    link.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, b"".join(pair(*v) for v in values.items()))
                 + record(4, b"") + record(5, b""))
    out = b""
    while True:
        head = link.recv(8, socket.MSG_WAITALL)
        if len(head) < 8:
            break
        _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", head)
        data = link.recv(length + padding, socket.MSG_WAITALL)[:length] if length + padding else b""
        if kind == 6:
            out += data
        if kind == 3:
            break
    sys.stdout.write(out.decode().split("\\r\\n\\r\\n", 1)[1])
    """
)
LOOK = """<?php
$names = ['max_input_vars', 'upload_max_filesize', 'post_max_size', 'memory_limit', 'date.timezone', 'user_agent',
    'opcache.revalidate_freq', 'opcache.max_accelerated_files', 'session.save_path', 'session.cookie_samesite'];
session_start();
$_SESSION['x'] = 1;
session_write_close();
$tmp = tempnam(sys_get_temp_dir(), 'x');
echo json_encode([
    'ini' => array_combine($names, array_map('ini_get', $names)),
    'user' => posix_getpwuid(posix_geteuid())['name'],
    'environment' => getenv('BITRIX_VA_VER'),
    'tmp' => dirname($tmp),
    'session' => file_exists(session_save_path() . '/sess_' . session_id()),
    'etc' => @file_put_contents('/etc/written', 'x'),
    'home' => is_readable('/root'),
    'mail' => mail('a@example.com', 'subject', 'body'),
]);
"""
MAILER = """#!/bin/sh
cat > /srv/portal/tmp/letter
"""


@pytest.fixture(scope="module")
def seen(host):
    """What a script in the pool sees, which also sends a letter."""
    assert host.run("printf %%s %s > /srv/portal/look.php", LOOK).rc == 0
    assert host.run("printf %%s %s > /usr/local/bin/mailer && chmod 755 /usr/local/bin/mailer", MAILER).rc == 0
    return json.loads(host.check_output("python3 -c %s /srv/portal/look.php", ASK))


def test_the_settings_are_the_required_ones(seen):
    ini = seen["ini"]
    assert int(ini["max_input_vars"]) >= 10000
    assert ini["upload_max_filesize"] == ini["post_max_size"] == "1024M"
    assert ini["opcache.revalidate_freq"] == "0"
    assert int(ini["opcache.max_accelerated_files"]) >= 100000
    assert ini["date.timezone"] == "America/Bogota"
    assert ini["session.cookie_samesite"] == "Lax"
    assert ini["user_agent"] == "encaja"


def test_the_pool_runs_as_the_portal_and_names_its_environment(seen):
    assert seen["user"] == "www-data"
    assert seen["environment"] == "9.0.9"


def test_sessions_and_temporary_files_are_in_private_directories(seen, host):
    assert seen["session"] is True
    sessions = host.file(seen["ini"]["session.save_path"])
    assert (sessions.user, sessions.mode) == ("www-data", 0o700)
    assert seen["tmp"] == "/srv/portal/tmp/php"
    assert host.file("/srv/portal/tmp/php").mode == 0o700


def test_the_mailer_works_inside_the_sandbox(seen, host):
    assert seen["mail"] is True
    assert "Subject: subject" in host.file("/srv/portal/tmp/letter").content_string
    pid = host.check_output("systemctl show -p MainPID --value 'php*-fpm.service'")
    assert "NoNewPrivs:\t0" in host.file(f"/proc/{pid}/status").content_string


def test_the_sandbox_keeps_the_pool_out_of_the_host(seen):
    assert seen["etc"] is False
    assert seen["home"] is False


def test_the_default_pool_is_gone(host):
    assert host.process.filter(comm="php-fpm8.4") or host.process.filter(comm="php-fpm8.2")
    assert "pool www" not in host.check_output("ps -eo args")


def test_the_service_starts_with_the_host(host):
    unit = host.check_output("systemctl list-unit-files --plain --no-legend 'php8*-fpm.service'").split()
    assert unit[1] == "enabled"


def test_old_sessions_are_removed_by_debians_timer(host):
    trace = host.run("sh -x /usr/lib/php/sessionclean").stderr
    (line,) = [line for line in trace.splitlines() if line.startswith("+ find -O3 /var/lib/php/portal-sessions/")]
    assert "-cmin +10080 -delete" in line
    assert host.service("phpsessionclean.timer").is_running


def test_the_command_line_has_the_same_settings(host):
    text = host.check_output('php -r \'echo ini_get("max_input_vars"), " ", ini_get("date.timezone");\'')
    assert text == "10000 America/Bogota"
