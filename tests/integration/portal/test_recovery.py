"""Recovery links through the stand-in's own kernel: one for each person, and none that is only believed in."""

from __future__ import annotations

import csv
import functools
import io
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encaja.portal import checks_case, kernel, recovery, users
from encaja.portal.serialized import serialize, unserialize
from encaja.portal.site import Portal
from integration.portal.cloud_portal import NEW, again, connect
from unit.lab_portal.standin import install, until

pytestmark = pytest.mark.integration
SIZES = {"users": 12, "companies": 3, "contacts": 3, "leads": 3, "deals": 3, "tasks": 3, "messages": 3}
PEOPLE = (2, 3, 4, 5)
STOPS = "AddEventHandler('main', 'OnBeforeSendUserInfo', static fn($id) => $id !== 3);"


@pytest.fixture(scope="module")
def tree(server: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = install(tmp_path_factory.mktemp("recovery"), server, "recovered", SIZES)
    with connect(server, "recovered") as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM b_module WHERE ID = 'bitrix24'")
        cursor.execute("UPDATE b_user SET ACTIVE = 'Y', EXTERNAL_AUTH_ID = NULL WHERE ID IN (2, 3, 4, 5)")
        cursor.execute("UPDATE b_user SET ACTIVE = 'N' WHERE EXTERNAL_AUTH_ID = 'socservices'")
        cursor.execute("DELETE FROM b_event")
    return root


@pytest.fixture
def waiting(tree: Path, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """Four people wait for a link."""
    monkeypatch.setattr(kernel, "send_recovery", functools.partial(kernel.send_recovery, user="root"))
    portal = Portal(tree, tmp_path / "state")
    rows = portal.database.rows("SELECT ID, PASSWORD FROM b_user WHERE ID IN (2, 3, 4, 5)")
    portal.note(recovery={str(row["ID"]): users._fingerprint(row["PASSWORD"]) for row in rows})
    yield portal
    (tree / "bitrix/php_interface/init.php").unlink(missing_ok=True)
    with connect(server, "recovered") as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM b_event WHERE EVENT_NAME IN ('{recovery.EVENT}', '{recovery.LISTED}')")
        cursor.execute("UPDATE b_user SET CHECKWORD = NULL, LID = 's1', EMAIL = CONCAT(ID, '@desarrollos.test')")
        cursor.execute("UPDATE b_event_message SET ACTIVE = 'Y'")
        cursor.execute("UPDATE b_group SET SECURITY_POLICY = NULL WHERE ID = 12")


def letters(portal: Portal) -> list[dict[Any, Any]]:
    rows = portal.database.rows("SELECT C_FIELDS FROM b_event WHERE EVENT_NAME = %s ORDER BY ID", recovery.EVENT)
    return [unserialize(row["C_FIELDS"]) for row in rows]


def column(portal: Portal, name: str) -> dict[int, Any]:
    return {row["ID"]: row[name] for row in portal.database.rows(f"SELECT ID, {name} FROM b_user")}


def test_people_who_share_an_address_get_a_letter_each(waiting: Portal) -> None:
    waiting.database.execute("UPDATE b_user SET EMAIL = 'office@desarrollos.test' WHERE ID IN (2, 3, 9)")
    waiting.database.execute("UPDATE b_user SET LOGIN = 'office@desarrollos.test' WHERE ID = 4")
    assert recovery.mail(waiting, NEW) == {"sent": 4, "refused": {}, "minutes": 2880}
    assert [int(fields["USER_ID"]) for fields in letters(waiting)] == list(PEOPLE)
    told = recovery.conditions(waiting, recovery.waiting(waiting))
    assert told == ["users share an address, and each gets a letter of their own there: 2, 3"]
    assert recovery.mail(again(waiting), NEW)["sent"] == 0


def test_a_letter_that_the_kernel_did_not_queue_is_not_counted(waiting: Portal, tree: Path) -> None:
    (tree / "bitrix/php_interface/init.php").write_text(f"<?php\n{STOPS}\n")
    done = recovery.mail(waiting, NEW)
    assert (done["sent"], set(done["refused"])) == (3, {"3"})
    assert [user.id for user in recovery.due(again(waiting), without_mail=False)] == [3]
    links, refused = recovery.listed(again(waiting), f"https://{NEW}")
    assert (links, set(refused)) == ([], {"3"})


def test_the_site_stays_the_persons_own_and_has_to_have_a_template(waiting: Portal) -> None:
    waiting.database.execute(
        "INSERT INTO b_lang (LID, SORT, ACTIVE, NAME, DIR, LANGUAGE_ID) VALUES ('s2', 5, 'Y', 'Second', '/', 'en')"
    )
    waiting.database.execute("UPDATE b_user SET LID = 's2' WHERE ID = 5")
    waiting.database.execute("UPDATE b_user SET LID = 'xx' WHERE ID = 4")
    try:
        done = recovery.mail(waiting, NEW)
        assert (done["sent"], set(done["refused"])) == (3, {"5"})
        assert "site s2 has no active template" in done["refused"]["5"]
        links, _ = recovery.listed(again(waiting), f"https://{NEW}")
        assert [user.id for user, _ in links] == [5], "no template is needed for a list"
        assert column(waiting, "LID")[5] == "s2"
        assert column(waiting, "LID")[4] == "s1"
    finally:
        waiting.database.execute("DELETE FROM b_lang WHERE LID = 's2'")


MAIL = """<?php
$_SERVER['DOCUMENT_ROOT'] = $argv[1];
require "$argv[1]/bitrix/modules/main/include/prolog_before.php";
while (CEvent::CheckEvents() > 0) { }
"""


@pytest.mark.fault("interrupt: host tool", "recover", "while links are listed")
def test_links_are_listed_and_not_even_a_killed_run_leaves_one_that_is_mailed(waiting: Portal, tree: Path) -> None:
    waiting.database.execute("UPDATE b_user SET EMAIL = '' WHERE ID = 2")
    asked = recovery._ask(waiting, NEW, recovery.due(waiting, without_mail=True), recovery.LISTED)
    next(asked)
    asked.close()  # killed while the words are in the queue, where mail runs
    subprocess.run(["php", "-d", "sendmail_path=/bin/true", "--", str(tree)], input=MAIL, text=True, check=True)
    states = "SELECT DISTINCT SUCCESS_EXEC AS state FROM b_event WHERE EVENT_NAME = %s"
    assert waiting.database.rows(states, recovery.LISTED) == [{"state": "0"}], "there is no template for it"
    links, refused = recovery.listed(again(waiting), f"https://{NEW}")
    assert [user.id for user, _ in links] == list(PEOPLE)
    assert refused == {}
    assert letters(waiting) == []
    assert waiting.database.rows(states, recovery.LISTED) == [], "the words do not stay in the queue"
    assert links[0][1].startswith(f"https://{NEW}/auth/?change_password=yes&USER_LOGIN=")


def test_a_list_keeps_the_links_that_are_still_good(waiting: Portal) -> None:
    user = recovery.waiting(waiting)[0]
    first = recovery.as_csv(waiting, [(user, "https://first")], "es")
    other = recovery.waiting(waiting)[1]
    rows = list(csv.reader(io.StringIO(recovery.as_csv(waiting, [(other, "https://second")], "es", first))))
    assert rows[0] == list(recovery.HEAD["es"])
    assert [(row[0], row[4]) for row in rows[1:]] == [("2", "https://first"), ("3", "https://second")]
    assert rows[1][5].endswith(" UTC")


def test_the_shortest_policy_of_a_persons_groups_says_how_long_a_link_is_valid(waiting: Portal) -> None:
    policy = serialize({"CHECKWORD_TIMEOUT": "60"}).decode()
    waiting.database.execute("UPDATE b_group SET SECURITY_POLICY = %s WHERE ID = 12", policy)
    members = {row["USER_ID"] for row in waiting.database.rows("SELECT USER_ID FROM b_user_group WHERE GROUP_ID = 12")}
    assert 3 in members
    waiting.database.execute("DELETE FROM b_user_group WHERE GROUP_ID = 12 AND USER_ID = 2")
    try:
        assert recovery.lifetimes(waiting, [2, 3]) == {2: 2880, 3: 60}
        assert recovery.mail(waiting, NEW)["minutes"] == 60
        told = recovery.conditions(waiting, recovery.waiting(waiting))
        assert told[0].startswith("links of 3 people are valid for 60 minutes only")
        texts = {int(fields["USER_ID"]): fields["MESSAGE"] for fields in letters(waiting)}
        assert "48" in texts[2]
        assert "60" in texts[3]
        sent = waiting.state()["recovery_sent"]
        waiting.note(recovery_sent={number: when - 3601 for number, when in sent.items()})
        assert recovery.due(again(waiting), without_mail=False) == [], "nobody asked for another"
        assert [user.id for user in recovery.due(again(waiting), without_mail=False, again=True)] == [3, 4, 5]
        assert recovery.mail(again(waiting), NEW, again=True)["sent"] == 3
        assert recovery.mail(again(waiting), NEW, again=True)["sent"] == 0
    finally:
        waiting.database.execute("INSERT INTO b_user_group (USER_ID, GROUP_ID) VALUES (2, 12)")


@pytest.mark.fault("interrupt: host tool", "recover", "between a letter and its note")
def test_everybody_gets_one_letter_whatever_dies_in_between(waiting: Portal, tree: Path) -> None:
    waiting.note(recovery_sent={}, recovery_mails_after=recovery._newest(waiting))
    asked = recovery._ask(waiting, NEW, recovery.due(waiting, without_mail=False), recovery.EVENT)
    assert next(asked)[0].id == 2
    asked.close()  # queued, and killed before it was noted; the kernel ends at its next word
    until(lambda: subprocess.run(["pgrep", "-f", str(tree)], stdout=subprocess.DEVNULL, check=False).returncode == 1)
    waiting.database.execute("UPDATE b_event SET SUCCESS_EXEC = 'Y' WHERE EVENT_NAME = %s", recovery.EVENT)
    assert 1 <= len(letters(waiting)) < 4
    recovery.mail(again(waiting), NEW)
    assert sorted(int(fields["USER_ID"]) for fields in letters(waiting)) == list(PEOPLE)


def test_a_letter_that_the_queue_could_not_send_is_due_again(waiting: Portal) -> None:
    recovery.mail(waiting, NEW)
    waiting.database.execute("UPDATE b_event SET SUCCESS_EXEC = 'Y' WHERE EVENT_NAME = %s", recovery.EVENT)
    waiting.database.execute(
        "UPDATE b_event SET SUCCESS_EXEC = 'F' WHERE EVENT_NAME = %s ORDER BY ID LIMIT 1", recovery.EVENT
    )
    waiting.database.execute(
        "UPDATE b_event SET SUCCESS_EXEC = 'H' WHERE EVENT_NAME = %s ORDER BY ID DESC LIMIT 1", recovery.EVENT
    )
    assert recovery.sent_states(waiting) == {"Y": 2, "F": 1, "H": 1}, "one that is held is not lost"
    assert [user.id for user in recovery.due(again(waiting), without_mail=False)] == [2]
    finding = checks_case.passwords(_Scene(again(waiting)))  # type: ignore[arg-type]
    assert finding.state == "found"
    assert "1 recovery letters were not sent" in finding.evidence
    assert recovery.mail(again(waiting), NEW)["sent"] == 1


def test_what_has_to_be_known_is_told(waiting: Portal, tree: Path) -> None:
    (tree / "bitrix/php_interface/init.php").write_text(
        "<?php\nfunction custom_mail($to, $subject, $body, $headers = '') { return true; }\n"
    )
    waiting.database.execute(
        "REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('main', 'captcha_restoring_password', 'Y')"
    )
    dbconn = tree / "bitrix/php_interface/dbconn.php"
    text = dbconn.read_text()
    dbconn.write_text(f"{text}define('ONLY_EMAIL', 'test@desarrollos.test');\n")
    try:
        told = recovery.conditions(again(waiting), recovery.waiting(waiting))
        words = "picture", "ONLY_EMAIL", "custom_mail"
        assert [word for sentence in told for word in words if word in sentence] == list(words)
        assert recovery.mail(again(waiting), NEW)["sent"] == 4, "the captcha is for those who ask by themselves"
        assert "picture" in checks_case.passwords(_Scene(again(waiting))).evidence  # type: ignore[arg-type]
    finally:
        dbconn.write_text(text)
        waiting.database.execute("DELETE FROM b_option WHERE NAME = 'captcha_restoring_password'")


def test_an_old_note_without_times_still_counts(waiting: Portal) -> None:
    waiting.note(recovery_sent=[2, 3])
    assert [user.id for user in recovery.due(waiting, without_mail=False)] == [4, 5]
    assert [user.id for user in recovery.due(waiting, without_mail=False, again=True)] == list(PEOPLE)
    recovery.note_listed(waiting, [4])
    assert waiting.state()["recovery_sent"]["4"] > time.time() - 60


class _Scene:
    def __init__(self, portal: Portal) -> None:
        self.portal = portal
