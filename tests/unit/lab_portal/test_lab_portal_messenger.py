"""The messenger's files, live messages, links, mails and agents hang from the settings that the real ones hang from."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import httpx
import pytest

from unit.lab_portal.standin import PortalUnderTest

pytestmark = pytest.mark.integration
Sink = tuple[str, list[tuple[str, str]]]


def own_push(portal: PortalUnderTest, publish: str = "http://127.0.0.1:1/bitrix/pub/") -> None:
    portal.sql("DELETE FROM b_option WHERE MODULE_ID='pull'")
    rows = {"nginx": "Y", "signature_key": "the-key", "path_to_publish": publish, "push": "N"}
    for name, value in rows.items():
        portal.sql("INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('pull', %s, %s)", name, value)
    portal.purge()


def has_icon(client: httpx.Client) -> bool:
    return 'id="im-attach"' in client.get("/online/").text


def page_setting(page: str, block: str, name: str) -> str:
    found = re.search(rf'id="{block}" type="application/json">(.*?)</script>', page)
    assert found
    return str(json.loads(found.group(1))[name])


def someone_in_a_dialog(portal: PortalUnderTest) -> tuple[str, int, int]:
    """Login of a user of one dialogue, the other one's id, and the chat."""
    row = portal.sql(
        "SELECT u.LOGIN, o.USER_ID, r.CHAT_ID FROM b_im_relation r JOIN b_im_relation o ON o.CHAT_ID=r.CHAT_ID AND"
        " o.USER_ID<>r.USER_ID JOIN b_user u ON u.ID=r.USER_ID WHERE r.MESSAGE_TYPE='P' AND u.EXTERNAL_AUTH_ID IS NULL"
        " AND u.ACTIVE='Y' LIMIT 1"
    )[0]
    return row["LOGIN"], row["USER_ID"], row["CHAT_ID"]


def act(client: httpx.Client, action: str, chat: int, **more: object) -> dict[str, object]:
    token = page_setting(client.get("/online/").text, "page-config", "sessid")
    address = f"/bitrix/services/main/ajax.php?action={action}"
    files = {"file": ("plan.txt", b"content of the plan")} if action == "im.file.send" else None
    return dict(client.post(address, data={"sessid": token, "chat": chat, **more}, files=files).json())


def test_icon_is_gone_with_the_cloud_registration_on_another_host(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    assert not has_icon(client)
    host = portal.url.removeprefix("http://").partition(":")[0]
    portal.option("pull", "host_id", hashlib.md5(host.encode(), usedforsecurity=False).hexdigest())
    assert has_icon(client)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [("pull", "nginx", "N"), ("pull", "nginx", None), ("disk", "successfully_converted", "N")],
)
def test_icon_needs_push_and_a_converted_disk(
    portal: PortalUnderTest, module: str, name: str, value: str | None
) -> None:
    own_push(portal)
    client = portal.client("admin")
    assert has_icon(client)
    portal.option(module, name, value)
    assert not has_icon(client)


@pytest.mark.parametrize("module", ["pull", "disk"])
def test_icon_needs_both_modules(portal: PortalUnderTest, module: str) -> None:
    own_push(portal)
    portal.sql("DELETE FROM b_module WHERE ID=%s", module)
    portal.purge()
    assert not has_icon(portal.client("admin"))


def test_file_goes_into_the_chat_and_comes_out_again(portal: PortalUnderTest, sink: Sink) -> None:
    own_push(portal, f"{sink[0]}/bitrix/pub/")
    login, _, chat = someone_in_a_dialog(portal)
    client = portal.client(login)
    answer = act(client, "im.file.send", chat)
    assert answer["status"] == "success", answer
    (file,) = answer["data"]["message"]["files"]  # type: ignore[index]
    assert client.get(file["url"]).text == "content of the plan"
    assert 'id="login-form"' in portal.client().get(file["url"]).text, "for those who are logged in"

    portal.option("main", "bx_fast_download", "Y")
    sent = client.get(file["url"])
    assert sent.headers["x-accel-redirect"].startswith("/upload/im/")
    assert (portal.root / sent.headers["x-accel-redirect"].lstrip("/")).read_text() == "content of the plan"


def test_file_is_refused_without_push_or_storage(portal: PortalUnderTest) -> None:
    login, _, chat = someone_in_a_dialog(portal)
    client = portal.client(login)
    assert act(client, "im.file.send", chat)["status"] == "error"
    own_push(portal)
    portal.option("im", "disk_storage_id", "999")
    assert "names no storage" in str(act(client, "im.file.send", chat)["errors"])


def test_message_is_published_to_the_channel_that_the_page_of_the_other_has(
    portal: PortalUnderTest, sink: Sink
) -> None:
    address, taken = sink
    own_push(portal, f"{address}/bitrix/pub/")
    login, other, chat = someone_in_a_dialog(portal)
    client = portal.client(login)
    assert act(client, "im.message.send", chat, text="hola")["status"] == "success"
    ids = re.findall(r"[0-9a-f]{32}", next(path for path, _ in taken if "CHANNEL_ID" in path))
    own = page_setting(client.get("/online/").text, "pull-config", "channel")
    channel, _, signature = own.partition(".")
    assert channel in ids
    assert portal.value("SELECT CHANNEL_ID FROM b_pull_channel WHERE USER_ID=%s", other) in ids
    assert signature == hmac.new(b"the-key", channel.encode(), "sha1").hexdigest()
    body = json.loads(taken[-1][1])
    assert (body["module_id"], body["command"], body["params"]["message"]["text"]) == ("im", "message", "hola")


def test_outsider_of_a_chat_can_neither_read_nor_write(portal: PortalUnderTest) -> None:
    own_push(portal)
    _, _, chat = someone_in_a_dialog(portal)
    assert act(portal.client("admin"), "im.message.send", chat, text="x")["status"] == "error"
    page = portal.client("admin").get(f"/online/?IM_DIALOG=chat{chat}").text
    assert 'class="im-message"' not in page


@pytest.mark.parametrize(
    ("site", "module", "expected"),
    [
        ("site.test", "main.test", "https://site.test/company/"),
        ("", "main.test", "https://main.test/company/"),
        ("", "", "company/"),
    ],
)
def test_notification_link_has_the_domain_of_the_settings(
    portal: PortalUnderTest, site: str, module: str, expected: str
) -> None:
    portal.sql("UPDATE b_lang SET SERVER_NAME=%s", site)
    portal.option("main", "server_name", module)
    login = portal.value(
        "SELECT LOGIN FROM b_user WHERE EXTERNAL_AUTH_ID IS NULL AND ACTIVE='Y' AND ID BETWEEN 2 AND 21 LIMIT 1"
    )
    links = re.findall(r'class="notification-link" href="([^"]+)"', portal.client(login).get("/stream/").text)
    assert links
    assert all(link.startswith(expected) for link in links)


def test_task_shows_all_comments_of_its_forum_and_none_of_another(portal: PortalUnderTest) -> None:
    task = portal.sql(
        "SELECT t.ID, f.POSTS FROM b_tasks t JOIN b_forum_topic f ON f.ID=t.FORUM_TOPIC_ID"
        " ORDER BY f.POSTS DESC LIMIT 1"
    )[0]
    assert task["POSTS"] > 50
    client = portal.client("admin")
    page = f"/company/personal/user/1/tasks/task/view/{task['ID']}/"
    assert client.get(page).text.count('class="comment-text"') == task["POSTS"]
    portal.option("tasks", "task_forum_id", "3")
    text = client.get(page).text
    assert text.count('class="comment-text"') == 0
    assert f'data-total="{task["POSTS"]}"' in text


@pytest.mark.parametrize("engine", ["bitrix", "mysql"])
def test_search_finds_after_reindex_only(portal: PortalUnderTest, engine: str) -> None:
    portal.option("search", "full_text_engine", engine)
    for table in ("b_search_content", "b_search_content_text", "b_search_content_stem"):
        portal.sql(f"TRUNCATE {table}")
    client = portal.client("admin")
    title = portal.value("SELECT TITLE FROM b_crm_deal WHERE ID=7")
    assert 'data-count="0"' in client.get("/search/", params={"q": title}).text
    assert int(portal.tool("reindex")) == portal.value("SELECT COUNT(*) FROM b_search_content")
    assert "/crm/deal/details/7/" in client.get("/search/", params={"q": title}).text


def unfreeze(portal: PortalUnderTest, *names: str) -> None:
    dbconn = portal.root / "bitrix/php_interface/dbconn.php"
    text = dbconn.read_text()
    for name in names:
        text = text.replace(f"define('{name}', true);\n", "")
    dbconn.write_text(text)


def test_frozen_portal_sends_no_mail_and_runs_no_agent(portal: PortalUnderTest) -> None:
    waiting = portal.value("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC='N'")
    assert waiting
    ran = portal.value("SELECT MAX(LAST_EXEC) FROM b_agent")
    portal.client("admin").get("/stream/")
    portal.php("bitrix/modules/main/tools/cron_events.php")
    assert (portal.tool("agents"), portal.tool("mails")) == ("0", "0")
    assert portal.value("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC='N'") == waiting
    assert portal.value("SELECT MAX(LAST_EXEC) FROM b_agent") == ran


def test_mail_goes_out_with_its_template_once_thawed(portal: PortalUnderTest) -> None:
    unfreeze(portal, "DisableEventsCheck")
    portal.option("main", "mail_event_bulk", "1")
    row = portal.sql("SELECT * FROM b_event WHERE SUCCESS_EXEC='N' AND EVENT_NAME='IM_NEW_NOTIFY' ORDER BY ID LIMIT 1")[
        0
    ]
    portal.sql("UPDATE b_event SET SUCCESS_EXEC='H' WHERE SUCCESS_EXEC='N' AND ID<>%s", row["ID"])
    before = set(portal.mails.glob("*.eml"))
    assert portal.tool("mails") == "1"
    (mail,) = set(portal.mails.glob("*.eml")) - before
    assert "Más información: https://cloud.encaja.test/pub/visita/" in mail.read_text()
    assert portal.value("SELECT SUCCESS_EXEC FROM b_event WHERE ID=%s", row["ID"]) == "Y"
    portal.sql("UPDATE b_event SET SUCCESS_EXEC='N' WHERE SUCCESS_EXEC='H'")


def test_agents_of_the_schedule_wait_for_cron(portal: PortalUnderTest) -> None:
    unfreeze(portal, "NO_AGENT_CHECK")
    portal.sql("UPDATE b_agent SET ACTIVE='N' WHERE MODULE_ID NOT IN ('main', 'pull')")
    portal.sql("UPDATE b_agent SET NEXT_EXEC='2020-01-01', LAST_EXEC=NULL, DATE_CHECK=NULL")
    try:
        portal.option("main", "agents_use_crontab", "Y")
        portal.client().get("/")
        ran = portal.sql("SELECT IS_PERIOD, LAST_EXEC IS NOT NULL AS RAN FROM b_agent WHERE ACTIVE='Y'")
        assert {(row["IS_PERIOD"], row["RAN"]) for row in ran} == {("Y", 1), ("N", 0)}
        portal.php("bitrix/modules/main/tools/cron_events.php")
        assert (
            portal.value("SELECT COUNT(*) FROM b_agent WHERE ACTIVE='Y' AND IS_PERIOD='N' AND LAST_EXEC IS NULL") == 0
        )
    finally:
        portal.sql("UPDATE b_agent SET ACTIVE='Y'")


def test_webhook_of_an_active_application_is_called(portal: PortalUnderTest, sink: Sink) -> None:
    address, taken = sink
    portal.sql("UPDATE b_rest_event SET EVENT_HANDLER=%s WHERE EVENT_NAME='ONCRMDEALUPDATE'", f"{address}/hook")
    portal.result("crm.deal.update", {"id": 1, "fields": {"COMMENTS": "x"}})
    assert [path for path, _ in taken] == ["/hook"]
    assert "ONCRMDEALUPDATE" in taken[0][1]
    portal.sql("UPDATE b_rest_app SET ACTIVE='N' WHERE ID=2")
    portal.result("crm.deal.update", {"id": 1, "fields": {"COMMENTS": "y"}})
    assert len(taken) == 1
