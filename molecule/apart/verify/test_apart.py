"""A copy whose database comes as SQL from another series of MariaDB: onto a host of its own and onto the portal's."""

from __future__ import annotations

import json
import time

import pytest

from lab.copying import kill, play, reached, regrouped, start

testinfra_hosts = ["ansible://apart-debian13"]


@pytest.fixture(scope="module")
def production():
    return reached("production")


@pytest.fixture(scope="module")
def database():
    return reached("apart-debian13-database")


def query(host, sql):
    return host.check_output("mariadb -N -B portal -e %s", sql)


def measured(host):
    status = json.loads(host.file("/var/lib/encaja/clone/status.json").content_string)
    assert status["error"] is None
    return {part["part"]: part for part in status["measured"]}


def is_isolated(host):
    running = host.check_output("systemctl list-units --plain --no-legend --state=active 'php*-fpm.*'")
    closed = "reject" in host.check_output("nft list chain inet encaja encaja_egress")
    return not running and closed and host.file("/etc/encaja/dark").exists


class TestExact:
    def test_every_table_was_verified(self, database, production):
        assert measured(database)["prove-database"]["tables"] > 140
        assert json.loads(database.file("/etc/encaja/clone.json").content_string)["method"] == "auto"
        for table in ("b_user", "b_voximplant_sip", "b_clouds_file_bucket"):
            count = f"SELECT COUNT(*) FROM {table}"  # noqa: S608
            assert query(database, count) == query(production, count)
        assert query(database, "SELECT @@version")[:5] != query(production, "SELECT @@version")[:5]

    def test_every_file_was_verified(self, host):
        assert measured(host)["prove-files"]["alike"] > 250

    def test_production_s_rights_were_not_copied(self, database):
        """Its own user logs in with its own password; production's does not."""
        client = "mariadb -h 127.0.0.1 -u portal --disable-ssl-verify-server-cert -N -e 'SELECT 1' portal"
        said = [database.run(f"{client} -p{word}") for word in ("what-the-copy-wants", "what-production-wants")]
        assert said[0].stdout.strip() == "1", said[0].stderr
        assert "denied" in said[1].stderr


class TestInert:
    def test_nothing_is_live(self, host, database):
        assert query(database, "SELECT COUNT(*) FROM b_mail_mailbox WHERE ACTIVE <> 'N' OR PASSWORD <> ''") == "0"
        assert query(database, "SELECT COUNT(*) FROM b_agent WHERE ACTIVE <> 'N'") == "0"
        assert query(database, "SELECT API_TOKEN FROM acme_sync_endpoint") == ""
        assert "proven inert" in host.file("/etc/encaja/neutralised").content_string

    def test_it_demands_tls_of_its_own_database(self, host):
        """Production is on one host, so its settings demand none."""
        assert connection(host)["host"] == "apart-debian13-database"
        assert connection(host)["ssl_ca"]

    def test_it_serves_from_its_own_database(self, host):
        page = host.check_output("curl -si -H 'Host: copy.encaja.test' http://127.0.0.1/auth/")
        assert page.startswith("HTTP/1.1 200")
        assert "copy of production, nothing leaves it" in page

    def test_both_hosts_reach_only_each_other(self, host, database):
        for side in (host, database):
            assert "reject" in side.check_output("nft list chain inet encaja encaja_egress")
            assert not side.file("/etc/encaja/dark").exists
        out = "timeout 5 bash -c 'exec 3<>/dev/tcp/{}/22' && echo reached || true"
        assert host.check_output(out.format("192.0.2.1")) == ""


class TestCutOff:
    def test_a_killed_load_leaves_both_isolated_and_succeeds_when_repeated(self, host, database, production):
        query(production, "CREATE TABLE b_large (ID int PRIMARY KEY, T varchar(40))")
        query(production, "INSERT INTO b_large SELECT seq, MD5(seq) FROM seq_1_to_400000")
        process = start()
        loaded = database.file("/var/lib/encaja/clone/database-loaded.json")
        deadline = time.monotonic() + 300
        while loaded.exists and time.monotonic() < deadline:
            assert process.poll() is None, "it ended before the database was copied"
        kill(process)
        database.run("systemctl kill -s KILL encaja-clone.service")
        assert not loaded.exists
        for side in (host, database):
            assert is_isolated(side)
        again = play()
        assert again.returncode == 0, again.stdout[-3000:]
        assert query(database, "SELECT COUNT(*) FROM b_large") == "400000"
        assert measured(database)["prove-database"]["rows"] > 400_000
        TestExact().test_every_table_was_verified(database, production)
        TestInert().test_nothing_is_live(host, database)
        assert production.check_output("grep -c clone-source /root/.ssh/authorized_keys || true") == "0"


HOSTS = {
    "production": ["apart-debian13-production", "apart-debian13-production-database"],
    "preproduction": ["apart-debian13", "apart-debian13-database"],
}


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """The inventory with production on two hosts, and the copy on as many as asked for; the hosts made so."""

    def run(copies):
        copy = HOSTS["preproduction"][:copies]
        database = [HOSTS["production"][-1], copy[-1]]
        folder = tmp_path_factory.mktemp(f"onto-{copies}")
        inventory = regrouped(folder, production=HOSTS["production"], preproduction=copy, database=database)
        data = tmp_path_factory.getbasetemp() / "portal.sql"
        done = play("molecule/apart/regroup.yml", "-e", f"moved={data}", inventory=inventory)
        assert done.returncode == 0, done.stdout[-3000:]
        return inventory

    return run


def connection(host):
    told = "echo json_encode((include '/srv/portal/www/bitrix/.settings.php')['connections']['value']['default']);"
    return json.loads(host.check_output("php -r %s", told))


class TestFromTwoHosts:
    @pytest.mark.parametrize("copies", [2, 1])
    def test_a_production_with_a_separate_database_host_is_copied(self, host, grouped, database, production, copies):
        inventory = grouped(copies)
        source = reached("apart-debian13-production-database")
        query(source, f"REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('acme', 'copied', 'onto {copies}')")  # noqa: S608
        assert connection(production)["ssl_ca"], "production itself demands TLS of its database"
        page = production.check_output("curl -si -H 'Host: production.encaja.test' http://127.0.0.1/auth/")
        assert page.startswith("HTTP/1.1 200")
        done = play(inventory=inventory)
        assert done.returncode == 0, done.stdout[-3000:]
        here = database if copies == 2 else host
        assert query(here, "SELECT VALUE FROM b_option WHERE NAME = 'copied'") == f"onto {copies}"
        assert measured(here)["prove-database"]["tables"] > 140
        assert query(here, "SELECT COUNT(*) FROM b_agent WHERE ACTIVE <> 'N'") == "0"
        assert connection(host)["host"] == ("apart-debian13-database" if copies == 2 else "localhost")
        assert ("ssl_ca" in connection(host)) is (copies == 2)
        TestInert().test_it_serves_from_its_own_database(host)
