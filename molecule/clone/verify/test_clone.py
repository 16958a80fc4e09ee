"""A copy of production: exact, silent whatever is done on it, and isolated whenever its making is cut off."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections import Counter

import pytest

from lab.copying import INVENTORY, kill, play, reached, start

testinfra_hosts = ["ansible://preproduction"]


@pytest.fixture(scope="module")
def production():
    return reached("production")


@pytest.fixture(scope="module")
def world():
    return reached("world")


@pytest.fixture(scope="module")
def addresses():
    shown = subprocess.run(["ansible-inventory", "-i", INVENTORY, "--list"], capture_output=True, text=True, check=True)
    told = json.loads(shown.stdout)
    known = told["_meta"]["hostvars"]
    return {group: known[told[group]["hosts"][0]]["ansible_host"] for group in ("production", "preproduction", "world")}


def query(host, sql):
    return host.check_output("mariadb -N -B portal -e %s", sql)


def packets(host, chain, comment):
    shown = host.check_output(f"nft list chain inet {chain}")
    return int(re.search(rf"packets (\d+) bytes \d+(?: accept)? comment \"{comment}\"", shown).group(1))


def refused(host):
    found = re.search(
        r"counter packets (\d+) bytes \d+ reject", host.check_output("nft list chain inet encaja encaja_egress")
    )
    return int(found.group(1))


def sunk(world, sender):
    lines = [json.loads(line) for line in world.file("/var/lib/sinks/log").content_string.splitlines()]
    return Counter(line["sink"] for line in lines if line["from"] == sender)


def provoke(host):
    told = host.run("cd /srv/portal/www && runuser -u www-data -- php /opt/provoke.php")
    assert told.rc == 0, told.stderr
    host.run("runuser -u www-data -- php /srv/portal/www/bitrix/modules/main/tools/cron_events.php")
    return json.loads(told.stdout.splitlines()[-1])


def knock(host, addresses):
    host.check_output(f"python3 /opt/knock.py {addresses['world']}")


class TestExact:
    def test_every_table_and_every_file_was_compared(self, host):
        status = json.loads(host.file("/var/lib/encaja/clone/status.json").content_string)
        measured = {part["part"]: part for part in status["measured"]}
        assert status["error"] is None
        assert measured["prove-database"]["tables"] > 140
        assert measured["prove-files"]["alike"] > 250
        assert measured["prove-files"]["moved_on"] == 0

    def test_rows_equal_production(self, host, production):
        for table in ("b_user", "b_voximplant_sip", "b_clouds_file_bucket"):
            count = f"SELECT COUNT(*) FROM {table}"  # noqa: S608
            assert query(host, count) == query(production, count)

    def test_the_key_of_the_copy_is_gone(self, host, production):
        assert production.check_output("grep -c clone-source /root/.ssh/authorized_keys || true") == "0"
        assert not host.file("/var/lib/encaja/clone/key").exists


class TestInert:
    def test_nothing_is_live(self, host):
        assert query(host, "SELECT COUNT(*) FROM b_mail_mailbox WHERE ACTIVE <> 'N' OR PASSWORD <> ''") == "0"
        assert query(host, "SELECT COUNT(*) FROM b_agent WHERE ACTIVE <> 'N'") == "0"
        assert query(host, "SELECT COUNT(*) FROM b_voximplant_sip WHERE SERVER <> '' OR PASSWORD <> ''") == "0"
        assert query(host, "SELECT COUNT(*) FROM b_rest_event") == "0"
        assert query(host, "SELECT READ_ONLY FROM b_clouds_file_bucket") == "Y"
        assert query(host, "SELECT COUNT(*) FROM b_option_site WHERE MODULE_ID = 'pull'") == "0"
        others = "SELECT COUNT(*) FROM b_option WHERE NAME <> 'queue_stopped' AND MODULE_ID IN"
        assert query(host, f"{others} ('socialservices', 'messageservice')") == "0"
        assert query(host, "SELECT API_TOKEN FROM acme_sync_endpoint") == ""

    def test_the_copy_has_its_own_keys_and_keeps_them(self, host, production):
        key = "SELECT VALUE FROM b_option WHERE NAME = 'server_uniq_id'"
        assert query(host, key) != query(production, key)
        assert len(query(host, key)) == 64

    def test_licence_settings_and_constants(self, host):
        tree = "/srv/portal/www/bitrix"
        assert "ssl_ca" not in host.file(f"{tree}/.settings.php").content_string, "its database is on its own host"
        assert "PRODUCTION" not in host.file(f"{tree}/license_key.php").content_string
        assert not host.file(f"{tree}/.settings_extra.php").exists
        dbconn = host.file(f"{tree}/php_interface/dbconn.php").content_string
        assert re.search(r"define\(.NO_AGENT_CHECK., true\)", dbconn)
        assert re.search(r"define\(.DisableEventsCheck., true\)", dbconn)

    def test_the_source_s_services_have_priority(self, production):
        """The program on the source runs in a control group of its own; nothing of it is left."""
        journal = production.check_output("journalctl -o cat -b | grep -c 'encaja-copy-.*scope' || true")
        assert int(journal) > 0
        assert not production.check_output("systemctl list-units --plain --no-legend 'encaja-copy-*'")

    def test_markers(self, host):
        assert query(host, "SELECT VALUE FROM b_option WHERE NAME = 'encaja_neutralised'") == "Y"
        assert "proven inert" in host.file("/etc/encaja/neutralised").content_string
        assert not host.file("/etc/encaja/dark").exists

    def test_banner_and_search_engines(self, host):
        page = host.check_output("curl -si -H 'Host: copy.encaja.test' http://127.0.0.1/auth/")
        assert page.startswith("HTTP/1.1 200")
        assert page.count("copy of production, nothing leaves it") == 1
        assert "X-Robots-Tag: noindex" in page
        robots = host.check_output("curl -s -H 'Host: copy.encaja.test' http://127.0.0.1/robots.txt")
        assert "Disallow: /" in robots


class TestVerified:
    """As ``encaja verify`` sees it, without what this scenario has not: HTTPS and a push server."""

    CHECKS = ("portal-copy", "portal-agents", "portal-mail", "portal-release", "case-02", "case-10", "bug-links")

    def verification(self):
        asked = json.dumps({"verify_only": self.CHECKS})
        return play("playbooks/verify.yml", "--limit", "preproduction", "-v", "-e", asked)

    def test_a_proven_copy_with_its_own_index_passes(self, host):
        done = self.verification()
        assert done.returncode == 0, done.stdout[-3000:]
        assert query(host, "SELECT VALUE FROM b_option WHERE NAME = 'full_text_engine'") == "sphinx"
        found = "mariadb -h 127.0.0.1 -P 9306 --skip-ssl -N -B -e %s"
        assert host.check_output(found, "SELECT COUNT(*) FROM bitrix WHERE MATCH('valladolid')") == "1"

    def test_a_copy_with_its_timer_unmasked_fails(self, host):
        host.check_output("systemctl unmask encaja-portal-cron.timer")
        done = self.verification()
        host.check_output("systemctl mask encaja-portal-cron.timer")
        assert done.returncode != 0
        assert "found portal-agents, portal-copy" in re.sub(r"\s+", " ", done.stdout)


class TestSilent:
    def test_production_reaches_every_sink(self, production, world, addresses):
        """Else the silence of the copy would prove nothing."""
        did = provoke(production)
        assert did["mails"] >= 1
        assert did["agents"] >= 1
        assert did["call"] is True
        portal = sunk(world, addresses["production"])
        assert portal["smtp"] >= 2
        assert portal["http"] >= 4, "webhook, call, SMS and push"
        assert portal["imap"] + portal["imaps"] >= 2
        knock(production, addresses)
        assert set(sunk(world, addresses["production"])) == {"smtp", "sip", "http", "https", "imap", "imaps", "dns"}

    def test_the_copy_s_portal_attempts_nothing(self, host, world, addresses):
        before = refused(host)
        provoke(host)
        time.sleep(2)
        assert refused(host) == before
        assert sunk(world, addresses["preproduction"]) == {}

    def test_attempts_are_refused(self, host, production, world, addresses):
        before = refused(host)
        knock(host, addresses)
        knock(host, addresses | {"world": addresses["production"]})
        assert refused(host) - before >= 20
        assert sunk(world, addresses["preproduction"]) == {}
        assert packets(world, "world input", "copy") == 0
        assert packets(production, "watch input", "anything else") == 0
        assert packets(production, "watch input", "the copy itself") > 0


STAGES = [
    "Block outbound traffic",
    "clone : Run the copy",
    "Create the portal's database and user",
    "neutralise : Start the permitted services",
]
UNKNOWN = "unknown_module.API_TOKEN"
UNKNOWN_TABLE = (
    "CREATE TABLE unknown_module (ID int PRIMARY KEY, API_TOKEN varchar(20)) AS SELECT 1 AS ID, 'partner' AS API_TOKEN"
)


def is_isolated(host):
    """No program runs that could reach out, and none could."""
    running = host.check_output(
        "systemctl list-units --plain --no-legend --state=active 'php*-fpm.*' encaja-portal-cron.*"
    )
    return not running and "reject" in host.check_output("nft list chain inet encaja encaja_egress")


def killed_at(stage, on_the_way=None):
    """Cut a copy off at a stage; what is to happen on the way does once the source was looked at."""
    process = start()
    said = []
    for line in process.stdout:
        said.append(line)
        if on_the_way and re.match(rf"TASK \[.*{STAGES[0]}", line):
            on_the_way()
        if re.match(rf"TASK \[.*{stage}", line):
            break
    else:
        raise AssertionError(f"{stage} was not reached:\n{''.join(said[-40:])}")
    time.sleep(random.Random(stage).random())  # noqa: S311
    kill(process)


class TestRefused:
    def test_uncovered_credentials_are_reported_before_the_target_is_changed(self, host, production):
        began = host.check_output("systemctl show --value --property=ActiveEnterTimestampMonotonic php*-fpm.service")
        query(production, UNKNOWN_TABLE)
        query(production, "REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('acme', 'partner_secret', 'x')")
        refused = play()
        query(production, "DROP TABLE unknown_module")
        query(production, "DELETE FROM b_option WHERE MODULE_ID = 'acme'")
        said = re.sub(r"\s+", " ", refused.stdout)
        assert refused.returncode != 0
        assert f"no rule covers them: {UNKNOWN}, option acme.partner_secret" in said
        assert "Isolate a copy that is not proven inert" not in said
        assert not host.file("/etc/encaja/dark").exists
        assert host.file("/etc/encaja/neutralised").exists
        assert (
            host.check_output("systemctl show --value --property=ActiveEnterTimestampMonotonic php*-fpm.service")
            == began
        )


class TestCutOff:
    """One copy that is cut off again and again, by kills and by an error, and ends well."""

    def test_it_is_isolated_after_every_failure_and_succeeds_in_the_end(self, host, production, world, addresses):
        silent = packets(world, "world input", "copy")
        for stage in STAGES[:3]:
            # What comes after the look at the source comes along; the copy that has it stays isolated.
            killed_at(stage, lambda: query(production, UNKNOWN_TABLE) if stage == STAGES[2] else None)  # noqa: B023
            if stage == STAGES[1]:
                host.run("systemctl kill -s KILL encaja-clone.service")
            if stage != STAGES[0]:
                assert is_isolated(host), f"after a kill at {stage} it is not isolated"
                assert host.file("/etc/encaja/dark").exists
            assert not host.file("/etc/encaja/neutralised").exists or stage == STAGES[0]
            knock(host, addresses)
        estate = play("playbooks/portal.yml", "--limit", "preproduction")
        assert estate.returncode != 0
        assert "this host is an isolated copy" in re.sub(r"\s+", " ", estate.stdout)
        query(production, "DROP TABLE unknown_module")
        refused = play()
        assert refused.returncode != 0
        assert UNKNOWN in refused.stdout
        assert is_isolated(host)
        query(host, "DROP TABLE unknown_module")
        killed_at(STAGES[3])
        knock(host, addresses)
        done = play()
        assert done.returncode == 0, done.stdout[-3000:]
        assert packets(world, "world input", "copy") == silent
        assert not host.file("/etc/encaja/dark").exists
        TestExact().test_every_table_and_every_file_was_compared(host)
        TestInert().test_nothing_is_live(host)

    def test_a_host_with_another_marker_is_refused(self, host):
        host.check_output("echo test > /etc/encaja/environment")
        done = play()
        host.check_output("echo preproduction > /etc/encaja/environment")
        assert done.returncode != 0
        assert "this host belongs to test, but the inventory says preproduction" in re.sub(r"\s+", " ", done.stdout)


class TestNoLonger:
    """The host of a copy that is to be a portal's host again."""

    def test_a_restore_refuses_it_and_says_how_it_is_opened(self, host):
        refused = play("playbooks/restore.yml", "--limit", "preproduction")
        said = re.sub(r"\s+", " ", refused.stdout)
        assert refused.returncode != 0
        opening = re.search(r"portal's host again: (.*?); then run site\.yml", said)
        host.check_output(opening.group(1))
        assert "reject" not in host.check_output("nft list chain inet encaja encaja_egress")
        assert "this host held a copy" not in play("playbooks/restore.yml", "--limit", "preproduction").stdout
