"""The portal's place: the tree, what the kit keeps in it, the schedule; and that a restored tree stays itself."""

import json

import pytest

WWW = "/srv/portal/www"
PASSWORD = "not-the-portals"


@pytest.fixture
def settings(host):
    """The array of the tree's .settings.php."""
    return json.loads(host.check_output(f"php -r 'echo json_encode(require \"{WWW}/bitrix/.settings.php\");'"))


def test_the_document_root_is_a_link_to_the_distribution(host):
    assert host.file(WWW).linked_to == "/srv/portal/trees/portal"
    tree = host.file("/srv/portal/trees/portal")
    assert (tree.user, tree.group, tree.mode) == ("www-data", "www-data", 0o750)
    assert host.run("find /srv/portal/trees/portal/ -not -user www-data -o -perm /o=w").stdout == ""


def test_the_archive_is_gone(host):
    assert host.check_output("find /var/lib/encaja/portal -name '*.tar.gz'") == ""


def test_its_installer_ran_once_as_the_portal(host):
    assert host.file(f"{WWW}/bitrix/installed-by").content_string == "www-data\n"
    assert host.file(f"{WWW}/bitrix/.encaja-installed").user == "www-data"


def test_the_settings_name_database_push_and_cache(settings):
    connection = settings["connections"]["value"]["default"]
    assert connection["className"] == "\\Bitrix\\Main\\DB\\MysqliConnection"
    assert (connection["host"], connection["database"], connection["login"]) == ("localhost", "portal", "portal")
    assert connection["password"] == PASSWORD
    pull = settings["pull"]["value"]
    assert pull["signature_key"] == "0123456789abcdef"
    assert pull["path_to_publish"] == "http://127.0.0.1:8895/bitrix/pub/"
    assert pull["path_to_websocket_secure"] == "wss://#DOMAIN#/bitrix/subws/"
    assert settings["cache"]["value"]["sid"] == "portal"
    assert settings["crypto"]["value"]["crypto_key"] == "fedcba9876543210"


def test_secrets_are_readable_by_the_portal_only(host):
    for name in (".settings.php", "php_interface/dbconn.php", "license_key.php"):
        file = host.file(f"{WWW}/bitrix/{name}")
        assert (file.user, file.group, file.mode) == ("www-data", "www-data", 0o640), name


def test_the_licence_key_is_that_of_the_box(host):
    value = host.check_output(
        f"php -d short_open_tag=1 -r 'require \"{WWW}/bitrix/license_key.php\"; echo $LICENSE_KEY;'"
    )
    assert value == "BOX-LICENCE-KEY"


def test_dbconn_is_valid_and_names_the_temporary_directory(host):
    code = f'require "{WWW}/bitrix/php_interface/dbconn.php"; echo BX_TEMPORARY_FILES_DIRECTORY;'
    assert host.run("php -r %s", code).stdout == "/srv/portal/tmp/"


def test_the_schedule_runs_all_agents_and_pages_none(host):
    code = f'require "{WWW}/bitrix/php_interface/dbconn.php"; var_export(defined("BX_CRONTAB_SUPPORT"));'
    assert host.run("php -r %s", code).stdout == "true"
    assert host.run("php -r %s", f'define("CHK_EVENT", true); {code}').stdout == "false"


def test_the_schedule_runs_as_the_portal(host):
    assert host.service("encaja-portal-cron.timer").is_enabled
    assert host.service("encaja-portal-cron.timer").is_running
    assert host.run(f"rm -f {WWW}/upload/ran && systemctl start encaja-portal-cron.service").rc == 0
    ran = host.file(f"{WWW}/upload/ran").content_string.splitlines()
    assert ran == ["www-data 9.0.9", "mail", "agents", "agents of cron", "mail", "jobs"]


def test_the_schedule_is_fenced_and_can_still_send_mail(host):
    done = host.run("systemd-analyze security --no-pager encaja-portal-cron.service")
    assert float(done.stdout.rpartition("encaja-portal-cron.service: ")[2].split()[0]) <= 5.0
    # A program with a group's bit gets that group, as msmtp has to.
    probe = "/usr/local/bin/setgid-id"
    assert host.run(f"install -g adm -m 2755 /usr/bin/id {probe}").rc == 0
    try:
        assert host.run("systemctl start encaja-portal-cron.service").rc == 0
        assert host.file(f"{WWW}/upload/started").content_string.split() == ["adm", "www-data", "/var/www"]
    finally:
        assert host.run(f"rm {probe}").rc == 0


def test_the_schedule_is_skipped_while_the_portal_is_held(host):
    held = "/etc/encaja/portal.held"
    assert host.run(f"mkdir -p /etc/encaja && touch {held} && rm -f {WWW}/upload/ran").rc == 0
    try:
        assert host.run("systemctl start encaja-portal-cron.service").rc == 0
        assert not host.file(f"{WWW}/upload/ran").exists
    finally:
        assert host.run(f"rm {held}").rc == 0


def test_the_timer_can_be_masked(host):
    assert host.run("systemctl mask encaja-portal-cron.timer").rc == 0
    try:
        assert host.service("encaja-portal-cron.timer").is_masked
    finally:
        assert host.run("systemctl unmask encaja-portal-cron.timer").rc == 0
        assert host.run("systemctl start encaja-portal-cron.timer").rc == 0


def test_the_holding_page_is_a_503_in_two_languages(host):
    page = host.check_output("php /srv/portal/trees/holding/bitrix/urlrewrite.php")
    assert "The portal is being moved" in page
    assert "El portal se está trasladando" in page
    code = 'register_shutdown_function(fn () => fwrite(STDERR, (string) http_response_code())); require "index.php";'
    assert host.run("cd /srv/portal/trees/holding && php -r %s", code).stderr == "503"


def test_old_temporary_files_are_removed_and_their_directory_stays(host):
    plan = host.file("/etc/tmpfiles.d/encaja-portal.conf").content_string
    assert "d /srv/portal/tmp 0770 www-data www-data 3d" in plan
    assert host.run("systemd-tmpfiles --create --clean /etc/tmpfiles.d/encaja-portal.conf").rc == 0
    assert host.file("/srv/portal/tmp/php").mode == 0o700


def test_logs_are_rotated(host):
    assert host.run("logrotate --debug /etc/logrotate.d/encaja-portal").rc == 0
