"""What an integrator gets from the docs alone, on hosts that lose power in the middle of a restore."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from estate import backup
from estate.acme import DATABASE, PREPRODUCTION, PRODUCTION, TREE, ZONE, Again, Project, Restored, changed
from lab.misbehaving_server import MisbehavingServer
from support.silence_rules import shipped

SILENCED = {rule.get("table", "b_option") for rule in shipped()}
"""What is off in the data until the release, and comes back then."""

VERIFIED_ON_A_COPY = {
    "case-05-mobile": r"a neutralised copy: push to devices is off; certificate and listener on port \d+ are right",
    "bug-attachments": r"a message published to \S+ came back on wss://pre\.acme\.example\S+",
    "portal-copy": r"preproduction: .*",
}


def attempts(journal: list[dict[str, Any]], step: str) -> list[str]:
    """How the attempts of a step ended, in their order."""
    return [line["result"] for line in journal if line["kind"] == "step" and line["step"] == step]


def test_names_are_known_by_the_inventory_alone(built: Project) -> None:
    assert built.shell("crm", f"getent hosts db.{ZONE}").split() == ["10.89.83.12", f"db.{ZONE}"]
    assert built.shell("crm", f"getent -s dns hosts db.{ZONE} || echo unknown") == "unknown"


def test_the_company_s_authority_is_known_where_it_has_to_be(built: Project) -> None:
    """The portal's host knows its database by it, and every host has it among those that it trusts."""
    asked = "openssl s_client -starttls mysql -verify_return_error -verify_hostname {0} -connect {0}:3306 </dev/null"
    database = built.shell("crm", f"{asked.format(f'db.{ZONE}')} 2>&1 | grep 'Verify return code'")
    assert database.endswith("0 (ok)")
    for host in ("crm", "db", "pre"):
        known = built.shell(host, "openssl crl2pkcs7 -nocrl -certfile /etc/ssl/certs/ca-certificates.crt"
                                  " | openssl pkcs7 -print_certs -noout | grep -c 'Acme Root CA'")  # fmt: skip
        assert int(known) >= 1, host


class TestRestored:
    """A restore during which hosts lost power ends as one that nothing disturbed."""

    def test_hosts_were_lost_in_the_middle(self, restored: Restored) -> None:
        assert [host for host, _ in restored.lost] == ["crm", "crm", "db"], restored.said[-6000:]

    def test_it_is_done_only_when_everything_is_there(self, restored: Restored) -> None:
        """Whatever came of it: no success without the tree, the link and the database."""
        is_there = (restored.status.get("phase"), restored.live, bool(restored.tables)) == ("done", TREE, True)
        assert (restored.code == 0) == is_there, restored.said[-6000:]

    def test_it_is_done(self, restored: Restored) -> None:
        assert restored.code == 0, restored.said[-6000:]
        assert restored.status["error"] is None

    def test_the_tree_holds_what_the_cloud_had(self, restored: Restored, cloud: backup.Backup) -> None:
        assert len(cloud.files) > 100
        assert {name: restored.files.get(name) for name in cloud.files} == cloud.files

    def test_the_database_holds_what_the_cloud_had(self, restored: Restored, cloud: backup.Backup) -> None:
        assert len(cloud.tables) > 100
        assert restored.tables.keys() == cloud.tables.keys()
        changed = {name for name, content in cloud.tables.items() if restored.tables[name] != content}
        assert changed <= {*backup.OWN_TABLES, *SILENCED}

    @pytest.mark.usefixtures("restored")
    def test_little_was_fetched_twice(self, cloud: backup.Backup, link: MisbehavingServer) -> None:
        """A volume under way may be lost, what was proven may not."""
        size = sum(path.stat().st_size for path in cloud.folder.iterdir())
        assert sum(link.record.sent.values()) < 2 * size


class TestDoneAgain:
    """``encaja run --from restore``."""

    def test_nothing_behind_it_begins_before_it_is_approved(self, again: Again) -> None:
        assert attempts(again.waiting, "settle") == []
        assert attempts(again.waiting, "restore").count("done") == 1

    def test_the_approval_continues_what_was_asked(self, again: Again) -> None:
        assert attempts(again.after, "restore").count("done") == 2
        assert attempts(again.after, "settle") == ["done"]
        assert attempts(again.after, "verify") == ["done"]


@pytest.mark.usefixtures("again")
def test_the_portal_serves_over_the_company_s_authority(built: Project) -> None:
    status, text = built.page("crm")
    assert status == 200
    assert "USER_LOGIN" in text


class TestCopy:
    """Pre-production on one host, copied from production with a database of its own."""

    def test_it_serves_its_page_with_the_banner(self, copied: Project) -> None:
        status, text = copied.page("pre")
        assert status == 200
        assert "copy of production" in text

    def test_it_asks_its_own_database_without_the_other_s_certificate(self, copied: Project) -> None:
        settings = copied.shell("pre", "cat /srv/portal/www/bitrix/.settings.php")
        assert DATABASE in settings
        assert "ssl_ca" not in settings
        assert "ssl_ca" in copied.shell("crm", "cat /srv/portal/www/bitrix/.settings.php")

    def test_it_verifies(self, copied: Project) -> None:
        """What a copy is excused from is looked at, with HTTPS and a push server of its own."""
        path = copied.folder / "verified.json"
        asked = copied.inventories(PREPRODUCTION), ("--json", "--output", str(path))
        copied.done("encaja", "verify", PREPRODUCTION, *(word for words in asked for word in words))
        checks = {check["id"]: check for check in json.loads(path.read_text())["checks"]}
        seen = {name: (checks[name]["state"], checks[name]["evidence"]) for name in VERIFIED_ON_A_COPY}
        for name, evidence in VERIFIED_ON_A_COPY.items():
            assert seen[name][0] == "ok", seen
            assert re.fullmatch(evidence, seen[name][1]), seen


class TestRotated:
    """Secrets changed in the vault, and ``site.yml``."""

    @pytest.mark.usefixtures("rotated")
    def test_the_portal_serves(self, copied: Project) -> None:
        assert copied.page("crm")[0] == 200
        copied.done("encaja", "verify", PRODUCTION, *copied.inventories(PRODUCTION), "--only", "portal")

    def test_only_the_new_password_opens_the_database(self, copied: Project, rotated: dict[str, str]) -> None:
        settings = copied.shell("crm", "cat /srv/portal/www/bitrix/.settings.php")
        assert rotated["encaja_database_password"] in settings


@pytest.mark.usefixtures("rotated")
def test_the_site_changes_nothing_the_second_time(copied: Project) -> None:
    said = copied.done("ansible-playbook", *copied.inventories(), "site.yml")
    assert set(changed(said).values()) == {0}, said[-6000:]
    assert len(changed(said)) >= 3
