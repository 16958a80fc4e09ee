"""Every function of the role is tried, restores above all."""

import json
import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host

STATUS = "/var/lib/encaja/backup/status.json"
SHIPPED = "/var/lib/encaja/backup/shipped.json"
REPOSITORY = "/var/backups/encaja"
SETTINGS = "/srv/portal/www/bitrix/.settings.php"


def status(host: Host) -> dict:
    return json.loads(host.file(STATUS).content_string)


@pytest.fixture(scope="module", autouse=True)
def backed_up(host: Host) -> Iterator[None]:
    host.check_output(
        'mariadb portal -e "CREATE OR REPLACE TABLE b_file (ID INT PRIMARY KEY, DATA LONGBLOB); '
        "INSERT INTO b_file SELECT seq, UNHEX(MD5(seq)) FROM seq_1_to_1000; "
        'CREATE OR REPLACE VIEW latest AS SELECT MAX(ID) FROM b_file"'
    )
    host.check_output("systemctl start encaja-backup")
    yield
    host.check_output("rm -rf /var/tmp/back")


def test_timers_wait_for_the_night(host: Host) -> None:
    for timer in ("encaja-backup.timer", "encaja-restore-test.timer"):
        assert host.service(timer).is_running
        assert host.service(timer).is_enabled


def test_status_shows_what_was_backed_up_and_read_back(host: Host) -> None:
    now = status(host)
    assert now["phase"] == "done"
    assert now["error"] is None
    assert now["last_success"]["bytes"] > 0
    assert now["last_check"]["part"] == "1/1"


def test_what_is_logged_is_in_the_repository_soon(host: Host) -> None:
    assert host.service("encaja-ship.service").is_running
    assert host.service("encaja-backup-files.timer").is_running
    before = json.loads(host.file(SHIPPED).content_string)
    assert before["base"] == f"{before['chain']} portal"
    host.check_output("mariadb portal -e 'INSERT INTO b_file VALUES (1001, 1)'")
    reached = host.check_output("mariadb -BN -e 'SHOW MASTER STATUS'").split()
    for _ in range(30):
        now = json.loads(host.file(SHIPPED).content_string)
        if now["sent"] == f"{reached[0]}:{reached[1]}":
            break
        time.sleep(1)
    assert (now["sent"], now["chain"], now["error"]) == (f"{reached[0]}:{reached[1]}", before["chain"], "")
    listed = host.check_output(
        f"RESTIC_PASSWORD_FILE=/etc/encaja/backup.password restic -r {REPOSITORY}-logs snapshots"
    )
    assert f"to={reached[0]}:{reached[1]}" in listed
    host.check_output("mariadb portal -e 'DELETE FROM b_file WHERE ID = 1001'")
    host.check_output("encaja-backup files")


def test_restored_backup_has_files_and_a_complete_dump_but_no_caches(host: Host) -> None:
    host.check_output("rm -rf /var/tmp/back; encaja-backup restore --to /var/tmp/back")
    tree = "/var/tmp/back/files/srv/portal/trees/first"
    assert host.file(f"{tree}/upload/photo [1]*.jpg").content_string == "a photograph"
    assert not host.file(f"{tree}/bitrix/cache").exists
    dump = host.file("/var/tmp/back/database.sql").content_string
    assert "CREATE TABLE `b_file`" in dump
    assert dump.rstrip().splitlines()[-1].startswith("-- Dump completed")


def test_restoring_into_a_directory_in_use_is_refused(host: Host) -> None:
    done = host.run("encaja-backup restore --to /etc")
    assert done.rc == 1
    assert "not empty" in done.stderr


def test_weekly_restore_test_loads_the_dump_and_leaves_nothing_behind(host: Host) -> None:
    host.check_output("systemctl start encaja-restore-test")
    proof = status(host)["last_restore_test"]
    assert proof["tables"] == 1
    assert proof["rows"] == 1000
    assert proof["files"] >= 2
    assert "restore_test" not in host.check_output("mariadb -BN -e 'SHOW DATABASES'")
    kept = ["lock", "logs", "logs.lock", "manifest.json", "shipped.json", "status.json"]
    assert host.check_output("ls /var/lib/encaja/backup").split() == kept


def test_retention_keeps_the_configured_snapshots(host: Host) -> None:
    for _ in range(3):
        host.check_output("encaja-backup run")
    kinds = [line.split()[2] for line in host.check_output("encaja-backup list").splitlines()]
    assert sorted(kinds) == ["database", "database", "files", "files"]


def test_dump_that_fails_leaves_no_snapshot_and_a_failed_unit(host: Host) -> None:
    before = host.check_output("encaja-backup list")
    host.check_output("mariadb portal -e 'CREATE VIEW broken AS SELECT * FROM latest; RENAME TABLE latest TO gone'")
    try:
        assert host.run("systemctl start encaja-backup").rc != 0
        assert host.check_output("systemctl show -p Result --value encaja-backup") == "exit-code"
        assert "mariadb-dump" in status(host)["error"]
        assert host.check_output("encaja-backup list") == before
    finally:
        host.check_output("mariadb portal -e 'DROP VIEW broken; RENAME TABLE gone TO latest'")
    host.check_output("systemctl start encaja-backup")


def test_damaged_repository_is_detected(host: Host) -> None:
    pack = host.check_output(f"find {REPOSITORY}/data -type f -size +1k | sort | head -1")
    host.check_output(
        f"cp -p '{pack}' /var/tmp/pack && chmod u+w '{pack}' && printf x | dd of='{pack}' bs=1 seek=200 conv=notrunc"
    )
    try:
        done = host.run("encaja-backup check --all")
        assert done.rc == 1
        assert status(host)["phase"] == "failed"
    finally:
        host.check_output(f"cp -p /var/tmp/pack '{pack}'")
    assert host.run("encaja-backup check --all").rc == 0


def test_missing_repository_is_not_created_again(host: Host) -> None:
    host.check_output(f"mv {REPOSITORY} {REPOSITORY}.away && mkdir {REPOSITORY}")
    try:
        done = host.run("encaja-backup run")
        assert done.rc == 1
        assert "does not open" in done.stderr
        assert host.file(REPOSITORY).listdir() == []
    finally:
        host.check_output(f"rmdir {REPOSITORY} && mv {REPOSITORY}.away {REPOSITORY}")


def test_missing_portal_is_an_error(host: Host) -> None:
    host.check_output("mv /srv/portal/www /srv/portal/away")
    try:
        done = host.run("encaja-backup run")
        assert done.rc == 1
        assert "is gone" in done.stderr
    finally:
        host.check_output("mv /srv/portal/away /srv/portal/www")


def test_settings_are_read_as_the_portals_user_never_as_root(host: Host) -> None:
    host.check_output(
        f"sed -i 's/^<?php/<?php file_put_contents(\"\\/run\\/lock\\/who\", posix_geteuid());/' {SETTINGS}"
    )
    try:
        host.check_output("encaja-backup run")
        assert host.file("/run/lock/who").content_string == "33"
    finally:
        host.check_output(f"rm -f /run/lock/who; sed -i 's/^<?php .*/<?php/' {SETTINGS}")


def test_secrets_are_readable_by_root_only(host: Host) -> None:
    for name in ("backup.json", "backup.password", "backup.repository"):
        assert host.file(f"/etc/encaja/{name}").mode == 0o600
    assert host.file(REPOSITORY).mode == 0o700
