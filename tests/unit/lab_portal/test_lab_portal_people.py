"""Who gets in, who does not, and what ends a session."""

from __future__ import annotations

import re

import pytest

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


def test_network_user_recovers_in_the_box_once_the_mark_is_cleared(portal: PortalUnderTest) -> None:
    make_box(portal)
    user = employee(portal, "EXTERNAL_AUTH_ID='socservices' AND LANGUAGE_ID='es' AND ID > 2")
    client = portal.client()
    newest = portal.value("SELECT MAX(ID) FROM b_event")
    client.post("/auth/?forgot_password=yes", data={"TYPE": "SEND_PWD", "USER_LOGIN": user})
    assert portal.value("SELECT MAX(ID) FROM b_event") == newest, "a marked user is not found"

    portal.sql("UPDATE b_user SET EXTERNAL_AUTH_ID='' WHERE LOGIN=%s AND EXTERNAL_AUTH_ID='socservices'", user)
    client.post("/auth/?forgot_password=yes", data={"TYPE": "SEND_PWD", "USER_LOGIN": user})
    portal.sql("UPDATE b_event SET SUCCESS_EXEC='H' WHERE SUCCESS_EXEC='N' AND EVENT_NAME<>'USER_PASS_REQUEST'")
    before = set(portal.mails.glob("*.eml"))
    dbconn = portal.root / "bitrix/php_interface/dbconn.php"
    dbconn.write_text(dbconn.read_text().replace("define('DisableEventsCheck', true);\n", ""))
    portal.sql("UPDATE b_event SET SUCCESS_EXEC='N' WHERE EVENT_NAME='USER_PASS_REQUEST'")
    portal.tool("mails")
    (mail,) = set(portal.mails.glob("*.eml")) - before
    text = mail.read_text()
    assert "elegir una contraseña nueva" in text, "the mail is in the user's language"
    link = re.search(r"https://cloud\.encaja\.test(/auth/index\.php\?\S+USER_CHECKWORD=(\w+)\S*)", text)
    assert link
    assert 'id="change-form"' in client.get(link.group(1)).text
    form = {
        "TYPE": "CHANGE_PWD",
        "USER_LOGIN": user,
        "USER_CHECKWORD": link.group(2),
        "USER_PASSWORD": "Otra-2026",
        "USER_CONFIRM_PASSWORD": "Otra-2026",
    }
    assert "message-ok" in client.post("/auth/?change_password=yes", data=form).text
    assert "message-error" in client.post("/auth/?change_password=yes", data=form).text, "a link works once"
    assert logged_in(login(portal.client(), user, "Otra-2026"))
    portal.sql(
        "UPDATE b_user SET EXTERNAL_AUTH_ID='socservices' WHERE LOGIN=%s AND ID<=21",
        user,
    )
    portal.sql("UPDATE b_event SET SUCCESS_EXEC='N' WHERE SUCCESS_EXEC='H'")


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
