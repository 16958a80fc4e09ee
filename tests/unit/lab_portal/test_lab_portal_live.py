"""Two people in real browsers: a message and a file arrive live, through the stand-in of the push server."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from lab.push_server.build import build
from unit.lab_portal.standin import PASSWORD, PortalUnderTest, free_port, until

KEY = "k" * 64
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (
            CHROMIUM and shutil.which("node") and shutil.which("redis-server") and Path("/usr/share/nodejs/ws").exists()
        ),
        reason="needs the packages chromium, nodejs, node-ws and redis-server",
    ),
]


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Ports of a running subscriber and publisher."""
    home = tmp_path_factory.mktemp("push")
    redis_socket = home / "redis.sock"
    with tarfile.open(build(home).path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in the Python of Debian 12
        archive.extractall(home)
    running = [
        subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(redis_socket), "--save", "", "--dir", str(home)],
            stdout=subprocess.DEVNULL,
        )
    ]
    ports = {"sub": free_port(), "pub": free_port()}
    try:
        until(redis_socket.exists)
        for kind, port in ports.items():
            text = (home / f"package/etc/push-server/push-server-{kind}-__PORT__.json").read_text()
            values = {
                "__PORT__": str(port),
                "__WS_HOST__": "127.0.0.1",
                "__REDIS_SOCK__": str(redis_socket),
                "__SECURITY_KEY__": KEY,
                "__SUBWSPATH__": "/bitrix/subws/",
                "__PUBPATH__": "/bitrix/pub/",
                "__RESTPATH__": "/bitrix/rest/",
            }
            config = home / f"{kind}.json"
            config.write_text(re.sub(r"__[A-Z_]+__", lambda m, known=values: known.get(m[0], "/nowhere"), text))
            node = ["node", str(home / "package/server.js"), "--config", str(config)]
            running.append(subprocess.Popen(node, env=os.environ | {"NODE_PATH": "/usr/share/nodejs"}))
        for port in ports.values():
            until(lambda port=port: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield ports["sub"], ports["pub"]
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def enter(browser: Browser, portal: PortalUnderTest, login: str) -> tuple[BrowserContext, Page]:
    context = browser.new_context(base_url=portal.url)
    page = context.new_page()
    page.goto("/online/")
    page.fill("#login", login)
    page.fill("#password", PASSWORD)
    page.click("#login-button")
    expect(page.locator("#user-block")).to_be_visible()
    return context, page


def test_message_file_and_call_card_arrive_live(
    portal: PortalUnderTest, push: tuple[int, int], browser: Browser, tmp_path: Path
) -> None:
    subscriber, publisher = push
    portal.sql("DELETE FROM b_option WHERE MODULE_ID='pull'")
    rows = {
        "nginx": "Y",
        "signature_key": KEY,
        "path_to_websocket": f"ws://127.0.0.1:{subscriber}/bitrix/subws/",
        "path_to_publish": f"http://127.0.0.1:{publisher}/bitrix/pub/",
    }
    for name, value in rows.items():
        portal.sql("INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('pull', %s, %s)", name, value)
    portal.purge()
    one, other = portal.sql(
        "SELECT ID, LOGIN FROM b_user WHERE (EXTERNAL_AUTH_ID IS NULL OR EXTERNAL_AUTH_ID='') AND ACTIVE='Y'"
        " AND ID BETWEEN 2 AND 21 ORDER BY ID LIMIT 2"
    )
    here, sender = enter(browser, portal, one["LOGIN"])
    there, receiver = enter(browser, portal, other["LOGIN"])
    sender.goto(f"/online/?IM_DIALOG={other['ID']}")
    receiver.goto(f"/online/?IM_DIALOG={one['ID']}")
    expect(receiver.locator("body[data-pull=online]")).to_be_attached()

    sender.fill("#im-text", "¿Llega en directo?")
    sender.click("#im-send")
    expect(receiver.locator(".im-message .im-text", has_text="¿Llega en directo?")).to_be_visible()

    plan = tmp_path / "plano.txt"
    plan.write_text("plano")
    sender.set_input_files("#im-file-input", plan)
    link = receiver.locator("a.im-file", has_text="plano.txt")
    expect(link).to_be_visible()
    assert there.request.get(str(link.get_attribute("href"))).text() == "plano"
    expect(sender.locator("#im-error")).to_be_empty()

    call = {"USER_ID": other["ID"], "PHONE_NUMBER": "+34999123123", "TYPE": 2, "CRM_CREATE": 1, "SHOW": 1}
    registered = portal.result("telephony.externalCall.register", call, app=True)
    expect(receiver.locator("#call-card-link")).to_have_text("+34999123123")
    finish = {"CALL_ID": registered["CALL_ID"], "USER_ID": other["ID"], "DURATION": 3}
    portal.result("telephony.externalCall.finish", finish, app=True)
    expect(receiver.locator("#call-card")).to_be_hidden()
    here.close()
    there.close()


def test_wrong_key_keeps_the_page_offline(portal: PortalUnderTest, push: tuple[int, int], browser: Browser) -> None:
    portal.sql("DELETE FROM b_option WHERE MODULE_ID='pull'")
    socket = f"ws://127.0.0.1:{push[0]}/bitrix/subws/"
    for name, value in {"nginx": "Y", "signature_key": "another", "path_to_websocket": socket}.items():
        portal.sql("INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('pull', %s, %s)", name, value)
    portal.purge()
    context, page = enter(browser, portal, "admin")
    expect(page.locator("body[data-pull-code='4010']")).to_be_attached()
    context.close()
