"""Who gets in, who does not, and what ends a session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from encaja.portal.serialized import unserialize
from unit.lab_portal.standin import PASSWORD, PortalUnderTest, logged_in, login

pytestmark = pytest.mark.integration


def employee(portal: PortalUnderTest, condition: str) -> str:
    return str(portal.value(f"SELECT LOGIN FROM b_user WHERE ID BETWEEN 2 AND 21 AND {condition} ORDER BY ID LIMIT 1"))


def make_box(portal: PortalUnderTest) -> None:
    portal.sql("DELETE FROM b_module WHERE ID='bitrix24'")
    portal.purge()


def test_local_password_lets_in_and_a_wrong_one_does_not(portal: PortalUnderTest) -> None:
    user = employee(portal, "EXTERNAL_AUTH_ID IS NULL AND ACTIVE='Y'")
    assert logged_in(login(portal.client(), user))
    refused = login(portal.client(), user, "wrong")
    assert not logged_in(refused)
    assert 'id="login-message" class="message-error"' in refused.text


def test_hash_of_the_old_form_lets_in(portal: PortalUnderTest) -> None:
    assert logged_in(login(portal.client(), employee(portal, "PASSWORD LIKE 'oldsalt8%%'").replace("%%", "%")))


def test_inactive_user_is_refused(portal: PortalUnderTest) -> None:
    portal.sql("UPDATE b_user SET ACTIVE='N' WHERE ID=5")
    try:
        assert not logged_in(login(portal.client(), employee(portal, "ID=5")))
    finally:
        portal.sql("UPDATE b_user SET ACTIVE='Y' WHERE ID=5")


def test_network_user_gets_in_through_the_network_and_only_in_the_cloud(portal: PortalUnderTest) -> None:
    user = employee(portal, "EXTERNAL_AUTH_ID='socservices' AND ID > 2")
    assert not logged_in(login(portal.client(), user)), "the portal does not have this password"
    assert logged_in(login(portal.client(), user, kind="NETWORK"))
    make_box(portal)
    assert not logged_in(login(portal.client(), user, kind="NETWORK"))
    assert 'id="network-form"' not in portal.client().get("/").text


FORGOT = "/auth/?forgot_password=yes"


def letters(portal: PortalUnderTest, known: Iterable[Path] = ()) -> dict[Path, str]:
    return {path: path.read_text() for path in set(portal.mails.glob("*.eml")) - set(known)}


def kernel(portal: PortalUnderTest, code: str) -> str:
    prolog = "$_SERVER['DOCUMENT_ROOT'] = getcwd(); require 'bitrix/modules/main/include/prolog_before.php'; "
    return portal.php("-r", prolog + code)


@pytest.fixture
def forgetful(portal: PortalUnderTest) -> Iterator[str]:
    """The log-in of somebody of the network, in the box, whose mark was cleared."""
    make_box(portal)
    user = employee(portal, "EXTERNAL_AUTH_ID='socservices' AND LANGUAGE_ID='es' AND ID > 2")
    row = portal.sql("SELECT ID, PASSWORD, EMAIL FROM b_user WHERE LOGIN=%s AND EXTERNAL_AUTH_ID='socservices'", user)[
        0
    ]
    portal.sql("UPDATE b_user SET EXTERNAL_AUTH_ID='' WHERE ID=%s", row["ID"])
    yield user
    portal.sql("UPDATE b_user SET EXTERNAL_AUTH_ID='socservices', PASSWORD=%s, EMAIL=%s, LID='s1' WHERE ID=%s",
               row["PASSWORD"], row["EMAIL"], row["ID"])  # fmt: skip


def test_recovery_is_mailed_at_once_and_its_answer_says_nothing(portal: PortalUnderTest, forgetful: str) -> None:
    client, newest = portal.client(), portal.value("SELECT MAX(ID) FROM b_event")
    before = set(letters(portal))
    marked = employee(portal, "EXTERNAL_AUTH_ID='socservices' AND ID > 2")
    for user in (marked, "nobody at all"):
        assert "message-ok" in client.post(FORGOT, data={"TYPE": "SEND_PWD", "USER_LOGIN": user}).text
    assert letters(portal, before) == {}, "a marked user is not found"
    client.post(FORGOT, data={"TYPE": "SEND_PWD", "USER_LOGIN": forgetful})
    assert portal.value("SELECT MAX(ID) FROM b_event") == newest, "the letter leaves no row"
    (text,) = letters(portal, before).values()
    assert "elegir una contraseña nueva" in text
    link = re.search(r"https://cloud\.encaja\.test(/auth/index\.php\?\S+USER_CHECKWORD=(\w+)\S*)", text)
    assert link
    assert 'id="change-form"' in client.get(link.group(1)).text
    form = {
        "TYPE": "CHANGE_PWD",
        "USER_LOGIN": forgetful,
        "USER_CHECKWORD": link.group(2),
        "USER_PASSWORD": "Otra-2026",
        "USER_CONFIRM_PASSWORD": "Otra-2026",
    }
    assert "message-ok" in client.post("/auth/?change_password=yes", data=form).text
    assert "message-error" in client.post("/auth/?change_password=yes", data=form).text, "a link works once"
    assert logged_in(login(portal.client(), forgetful, "Otra-2026"))


def test_recovery_finds_everybody_who_has_the_login_or_the_address(portal: PortalUnderTest, forgetful: str) -> None:
    before = set(letters(portal))
    portal.sql("UPDATE b_user SET EMAIL='office@desarrollos.test' WHERE LOGIN=%s AND EXTERNAL_AUTH_ID=''", forgetful)
    other = portal.sql("SELECT ID, EMAIL FROM b_user WHERE EXTERNAL_AUTH_ID IS NULL AND ACTIVE='Y' AND ID > 1 LIMIT 1")[
        0
    ]
    portal.sql("UPDATE b_user SET EMAIL='office@desarrollos.test' WHERE ID=%s", other["ID"])
    portal.client().post(FORGOT, data={"TYPE": "SEND_PWD", "USER_LOGIN": "office@desarrollos.test",
                                       "USER_EMAIL": "office@desarrollos.test"})  # fmt: skip
    portal.sql("UPDATE b_user SET EMAIL=%s WHERE ID=%s", other["EMAIL"], other["ID"])
    assert len(letters(portal, before)) == 2


def test_recovery_wants_the_word_of_a_picture_once(portal: PortalUnderTest, forgetful: str) -> None:
    portal.option("main", "captcha_restoring_password", "Y")
    before, client = set(letters(portal)), portal.client()
    form = {"TYPE": "SEND_PWD", "USER_LOGIN": forgetful}
    assert "message-error" in client.post(FORGOT, data=form).text
    sid = re.search(r'name="captcha_sid" value="(\w+)"', client.get("/").text)
    assert sid
    form |= {"captcha_sid": sid[1], "captcha_word": portal.value("SELECT CODE FROM b_captcha WHERE ID=%s", sid[1])}
    assert "message-ok" in client.post(FORGOT, data=form).text
    assert "message-error" in client.post(FORGOT, data=form).text
    assert len(letters(portal, before)) == 1
    portal.option("main", "captcha_restoring_password", None)


def test_one_person_by_id_is_queued_and_belongs_to_the_site(portal: PortalUnderTest, forgetful: str) -> None:
    number = portal.value("SELECT ID FROM b_user WHERE LOGIN=%s AND EXTERNAL_AUTH_ID=''", forgetful)
    newest = portal.value("SELECT MAX(ID) FROM b_event")
    kernel(portal, f"CUser::SendUserInfo({number}, 's9', 'Hola', false, 'USER_PASS_REQUEST');")
    (row,) = portal.sql("SELECT LID, SUCCESS_EXEC, C_FIELDS FROM b_event WHERE ID > %s", newest)
    assert (row["LID"], row["SUCCESS_EXEC"]) == ("s9", "N")
    fields = unserialize(row["C_FIELDS"])
    assert (str(fields["USER_ID"]), fields["MESSAGE"], fields["LOGIN"]) == (str(number), "Hola", forgetful)
    user = portal.sql("SELECT LID, CHECKWORD FROM b_user WHERE ID=%s", number)[0]
    assert user["LID"] == "s9"
    assert fields["CHECKWORD"] not in user["CHECKWORD"]
    portal.sql("UPDATE b_user SET EXTERNAL_AUTH_ID='socservices' WHERE ID=%s", number)
    kernel(portal, f"CUser::SendUserInfo({number}, 's1', '', false, 'USER_PASS_REQUEST');")
    assert portal.value("SELECT COUNT(*) FROM b_event WHERE ID > %s", newest) == 1, "nobody with a mark"
    portal.sql("DELETE FROM b_event WHERE ID > %s", newest)


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("define('ONLY_EMAIL', 'test@desarrollos.test');", 0),
        ("function custom_mail($to) { return (bool)file_put_contents('kept.txt', $to); }", 1),
    ],
    ids=["only one address", "a function of the portal's own"],
)  # fmt: skip
def test_letters_that_are_taken_away_count_as_sent(
    portal: PortalUnderTest, forgetful: str, code: str, kept: int
) -> None:
    before = set(letters(portal))
    init = portal.root / "bitrix/php_interface/init.php"
    init.write_text(f"<?php\n{code}\n")
    number = portal.value("SELECT ID FROM b_user WHERE LOGIN=%s AND EXTERNAL_AUTH_ID=''", forgetful)
    try:
        said = kernel(
            portal, f"echo CEvent::SendImmediate('USER_PASS_REQUEST', 's1', ['EMAIL' => 'x@y.es', 'ID' => {number}]);"
        )
    finally:
        init.unlink()
    assert said == "Y"
    assert letters(portal, before) == {}
    assert len(list(portal.root.glob("kept.txt"))) == kept
    (portal.root / "kept.txt").unlink(missing_ok=True)


def test_policy_binds_the_session_to_the_address(portal: PortalUnderTest) -> None:
    user = employee(portal, "EXTERNAL_AUTH_ID IS NULL AND ACTIVE='Y'")
    here = portal.client(user)
    assert logged_in(here.get("/stream/"))
    elsewhere = portal.client(address="127.0.0.2")
    elsewhere.cookies = here.cookies
    dropped = elsewhere.get("/stream/")
    assert not logged_in(dropped)
    assert 'data-reason="address"' in dropped.text

    portal.sql("UPDATE b_group SET SECURITY_POLICY='' WHERE ID=12")
    here = portal.client(user)
    elsewhere = portal.client(address="127.0.0.2")
    elsewhere.cookies = here.cookies
    assert logged_in(elsewhere.get("/stream/"))


def test_session_ends_when_the_portal_becomes_another(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    portal.option("main", "server_uniq_id", "another")
    assert 'data-reason="sign"' in client.get("/stream/").text


def test_logout_needs_the_token(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    assert logged_in(client.get("/?logout=yes"))
    link = re.search(r'id="logout" href="([^"]+)"', client.get("/stream/").text)
    assert link
    assert not logged_in(client.get(link.group(1).replace("&amp;", "&")))


def test_remembered_login_survives_the_session(portal: PortalUnderTest) -> None:
    portal.sql("UPDATE b_group SET SECURITY_POLICY='' WHERE ID=12")
    client = portal.client()
    client.post(
        "/auth/?login=yes",
        data={"TYPE": "AUTH", "USER_LOGIN": "admin", "USER_PASSWORD": PASSWORD, "USER_REMEMBER": "Y"},
    )
    client.cookies.delete("PHPSESSID")
    assert logged_in(client.get("/stream/"))
    portal.sql("DELETE FROM b_user_stored_auth WHERE USER_ID=1")
    client.cookies.delete("PHPSESSID")
    assert not logged_in(client.get("/stream/"))


def test_mobile_application_logs_in_by_itself(portal: PortalUnderTest) -> None:
    assert portal.client().get("/mobile/").status_code == 401
    told = portal.client().get("/mobile/", auth=("admin", PASSWORD)).json()
    assert told["status"] == "success"
    assert told["push"] is True
