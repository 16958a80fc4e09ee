"""What the role restore leaves on a host."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

REFERENCE = Path(__file__).parents[3] / "tests/fixtures/backups/encrypted/TREE.sha256"
STAMP = "20261002_210000"
TREE = f"/srv/portal/trees/{STAMP}"
DATABASE = f"portal_{STAMP}"


def status(host):
    return json.loads(host.file("/var/lib/encaja/restore/status.json").content_string)


def query(host, sql):
    return host.check_output("mariadb -N -B %s -e %s", DATABASE, sql)


def test_it_is_done(host):
    told = status(host)
    assert told["phase"] == "done"
    assert told["error"] is None


def test_the_host_was_restarted_twice_and_the_last_start_reported_success(host):
    assert host.file("/var/lib/encaja/power-was-lost").content_string.split() == ["kill", "stop"]
    ordered = host.file("/var/lib/encaja/starts/encaja-restore.service").content_string.strip()
    assert ordered == f"ENCAJA_START={status(host)['start']}"


def test_the_live_tree_has_the_record_of_its_restore(host):
    told = json.loads(host.file("/srv/portal/www/bitrix/.encaja-restore.json").content_string)
    assert (told["stamp"], told["database"]) == (STAMP, DATABASE)
    assert host.file("/srv/portal/www/bitrix/.encaja-restore.json").mode == 0o640


def test_the_new_tree_is_live(host):
    assert host.check_output("readlink -f /srv/portal/www") == TREE


def test_files_equal_the_archive(host):
    wanted = {}
    for line in REFERENCE.read_text().splitlines():
        digest, name = line.removeprefix("\\").split("  ./", 1)
        if not line.startswith("\\") and name.endswith((".png", ".js", ".txt")):
            wanted[name] = digest
    listed = host.check_output(f"cd {TREE} && find . -type f -print0 | xargs -0 sha256sum --zero | tr '\\0' '\\n'")
    found = {line[68:]: line[:64] for line in listed.splitlines() if line[64:68] == "  ./"}
    assert len(wanted) > 50
    assert {name: found.get(name) for name in wanted} == wanted


def test_owner(host):
    assert (
        host.check_output(f"find {TREE} '(' -not -user www-data -o -not -group www-data ')' -printf x | wc -c") == "0"
    )


def test_rows(host):
    assert query(host, "SELECT COUNT(*), MAX(ID) FROM b_crm_lead") == "3000\t3000"
    assert query(host, "SELECT COUNT(*) FROM v_open").isdigit()
    ours = "WHERE TABLE_SCHEMA = DATABASE()"
    assert query(host, f"SELECT DISTINCT ENGINE FROM information_schema.TABLES {ours} AND ENGINE <> ''") == "InnoDB"  # noqa: S608
    assert "0900" not in query(host, f"SELECT COLLATION_NAME FROM information_schema.COLUMNS {ours}")  # noqa: S608
    assert "encaja_restore" not in query(host, "SHOW TABLES")


def test_portal_has_its_credentials_and_is_frozen(host):
    settings = host.file(f"{TREE}/bitrix/.settings.php")
    assert settings.mode == 0o640
    assert f"'{DATABASE}'" in settings.content_string
    assert "******" not in settings.content_string
    dbconn = host.file(f"{TREE}/bitrix/php_interface/dbconn.php").content_string
    assert 'define("NO_AGENT_CHECK", true)' in dbconn
    assert 'define("DisableEventsCheck", true)' in dbconn
    assert "******" not in dbconn


def test_job_is_secret_and_nothing_keeps_running(host):
    assert host.file("/etc/encaja/restore.json").mode == 0o600
    assert not host.service("encaja-restore.service").is_running


def test_server_settings_are_restored(host):
    assert int(host.check_output("mariadb -N -B -e 'SELECT @@GLOBAL.max_allowed_packet'")) < 1 << 30


def test_the_damaged_volume_was_downloaded_again(host):
    state = json.loads(host.file("/srv/portal/backup/.encaja-fetch.json").content_string)
    assert state["volumes"]["13"]["rejected"] >= 1  # the link damages it once in each of its lives
    assert hashlib.sha256(
        host.file("/srv/portal/backup/20261002_210000_full_Wq81ZsPo4RtYu6Nm.enc.gz").content
    ).hexdigest() == (
        hashlib.sha256((REFERENCE.parent / "20261002_210000_full_Wq81ZsPo4RtYu6Nm.enc.gz").read_bytes()).hexdigest()
    )
