"""Options count through their cache, and settings of push & pull in their order."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.lab_portal.standin import SIZES, PortalUnderTest, until

pytestmark = pytest.mark.integration


def pull_config(page: str) -> dict[str, Any]:
    found = re.search(r'id="pull-config" type="application/json">(.*?)</script>', page)
    assert found
    return dict(json.loads(found.group(1)))


def test_sql_update_of_option_shows_only_after_purge(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    portal.option("encaja", "banner", "first")
    assert ">first<" in client.get("/stream/").text
    portal.sql("UPDATE b_option SET VALUE='second' WHERE MODULE_ID='encaja' AND NAME='banner'")
    assert ">first<" in client.get("/stream/").text
    portal.purge()
    assert ">second<" in client.get("/stream/").text


def test_option_of_site_wins(portal: PortalUnderTest) -> None:
    portal.option("encaja", "banner", "for all")
    portal.sql("INSERT INTO b_option_site (MODULE_ID, NAME, SITE_ID, VALUE) VALUES ('encaja','banner','s1','for s1')")
    portal.purge()
    assert ">for s1<" in portal.client().get("/").text


def test_option_set_by_code_counts_at_once(portal: PortalUnderTest) -> None:
    portal.client().get("/")
    portal.tool("option", "set", "encaja", "banner", "by code")
    assert ">by code<" in portal.client().get("/").text


def test_rows_of_pull_win_over_settings_file(portal: PortalUnderTest) -> None:
    settings = portal.root / "bitrix/.settings.php"
    text = settings.read_text()
    section = "['nginx' => 'Y', 'path_to_websocket' => 'ws://#DOMAIN#/own/', 'server_mode' => 'shared']"
    settings.write_text(re.sub(r"\);\s*$", f"'pull' => ['value' => {section}],\n);\n", text))
    try:
        client = portal.client("admin")
        assert pull_config(client.get("/stream/").text)["websocket"].startswith("wss://rtc-cloud.")
        portal.sql("DELETE FROM b_option WHERE MODULE_ID='pull'")
        portal.purge()
        config = pull_config(client.get("/stream/").text)
        assert config["server_enabled"] is True
        assert config["mode"] == "personal", "server_mode is not read from the file"
        assert config["websocket"] == "ws://cloud.encaja.test/own/", "the cloud's constant overrides the host"
        portal.sql("INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('pull', 'nginx', 'N')")
        portal.purge()
        assert pull_config(client.get("/stream/").text)["server_enabled"] is False
    finally:
        settings.write_text(text)


def test_settings_extra_replaces_whole_sections(portal: PortalUnderTest) -> None:
    extra = portal.root / "bitrix/.settings_extra.php"
    portal.sql("DELETE FROM b_option WHERE MODULE_ID='pull'")
    portal.purge()
    client = portal.client("admin")
    assert pull_config(client.get("/stream/").text)["server_enabled"] is False
    extra.write_text("<?php\nreturn ['pull' => ['value' => ['nginx' => 'Y']]];\n")
    try:
        assert pull_config(client.get("/stream/").text)["server_enabled"] is True
    finally:
        extra.unlink()


def test_document_root_of_another_host_leaves_only_the_login_form(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    portal.sql("UPDATE b_lang SET DOC_ROOT='/home/bitrix/www'")
    portal.purge()
    answer = client.get("/stream/")
    assert answer.status_code == 403
    assert 'id="login-form"' in answer.text


def test_access_file_missing_leaves_only_the_login_form(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    access = portal.root / ".access.php"
    text = access.read_text()
    access.unlink()
    try:
        assert client.get("/stream/").status_code == 403
    finally:
        access.write_text(text)


def test_every_page_answers(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    task = portal.value("SELECT MAX(ID) FROM b_tasks")
    records = [
        f"/crm/{kind}/{page}/"
        for kind in ("lead", "deal", "contact", "company")
        for page in ("list", "details/1", "details/0")
    ]
    others = [
        "/",
        "/stream/",
        "/company/",
        "/company/personal/user/2/",
        "/tasks/",
        "/online/",
        "/search/?q=piso",
        "/telephony/",
        "/mobile/",
    ]
    pages = [*records, *others, f"/company/personal/user/2/tasks/task/view/{task}/"]  # fmt: skip
    for page in pages:
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert not re.search(r"(Warning|Fatal error|Deprecated|Notice)</b>:|Stack trace", answer.text), page
    assert client.get("/no/such/page/").status_code == 404


def test_site_checker_needs_the_word_of_the_files(portal: PortalUnderTest) -> None:
    assert portal.client().get("/bitrix/admin/site_checker.php").status_code == 403
    word = portal.php(
        "-r",
        "$_SERVER['DOCUMENT_ROOT'] = getcwd();"
        " require 'bitrix/modules/main/include.php'; echo CSiteChecker::uniqueId();",
    )
    told = portal.client().get("/bitrix/admin/site_checker.php", params={"unique_id": word}).json()
    assert told["check_mysql_table_structure"]["ok"] is True
    assert told["check_pull_comments"]["ok"] is False
    one = portal.client().get(
        "/bitrix/admin/site_checker.php", params={"unique_id": word, "test_type": "pcre_recursion_test"}
    )
    assert one.text == "SUCCESS"


def test_host_that_is_not_in_the_list_is_refused_while_the_handler_is_there(portal: PortalUnderTest) -> None:
    portal.option("security", "restriction_hosts_hosts", "cloud.encaja.test")
    assert portal.client().get("/").status_code == 403
    assert portal.client().get("/", headers={"Host": "cloud.encaja.test"}).status_code == 200
    handlers = portal.sql("SELECT * FROM b_module_to_module WHERE TO_CLASS LIKE '%%HostRestriction'")
    portal.sql("UPDATE b_module_to_module SET TO_CLASS='' WHERE ID=%s", handlers[0]["ID"])
    portal.purge()
    try:
        assert portal.client().get("/").status_code == 200
    finally:
        portal.sql("UPDATE b_module_to_module SET TO_CLASS=%s WHERE ID=%s", handlers[0]["TO_CLASS"], handlers[0]["ID"])


def test_export_takes_all_rows_and_breaks_the_cloud(portal: PortalUnderTest, tmp_path: Path) -> None:
    client = portal.client("admin")
    assert client.get("/crm/lead/list/?export=csv").text.count("\n") > SIZES["leads"]
    portal.option("encaja", "export_limit", "50")
    assert client.get("/crm/lead/list/?export=csv").status_code == 500
    assert client.get("/crm/lead/list/?export=csv&STATUS_ID=NEW").status_code == 200
    portal.option("main", "bx_fast_download", "Y")
    dbconn = portal.root / "bitrix/php_interface/dbconn.php"
    dbconn.write_text(dbconn.read_text() + f"define('BX_TEMPORARY_FILES_DIRECTORY', '{tmp_path}/');\n")
    sent = client.get("/crm/lead/list/?export=csv&STATUS_ID=NEW").headers["x-accel-redirect"]
    assert (tmp_path / sent.removeprefix("/bx_tmp_download/")).read_text().startswith("ID;")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Path]:
    """The socket of a Redis of its own."""
    socket = tmp_path / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(socket.exists)
        yield socket
    finally:
        process.terminate()
        process.wait(10)


def test_options_and_sessions_live_in_redis_where_settings_say_so(portal: PortalUnderTest, redis: Path) -> None:
    def keys() -> list[str]:
        done = subprocess.run(["redis-cli", "-s", str(redis), "KEYS", "*"], capture_output=True, text=True, check=True)
        return done.stdout.split()

    extra = portal.root / "bitrix/.settings_extra.php"
    place = f"'host' => '{redis}', 'port' => 0"
    cache = f"'cache' => ['value' => ['type' => ['extension' => 'redis'], 'redis' => [{place}], 'sid' => 'mine']]"
    session = (
        f"'session' => ['value' => ['handlers' => ['general' => ['type' => 'redis', {place}, 'keyPrefix' => 'S:']]]]"
    )
    extra.write_text(f"<?php\nreturn [{cache}, {session}];\n")
    try:
        client = portal.client("admin")
        portal.sql("UPDATE b_option SET VALUE='fresh' WHERE MODULE_ID='main' AND NAME='site_name'")
        assert "fresh" not in client.get("/stream/").text
        assert "mine:managed:b_option:main" in keys()
        assert any(key.startswith("S:") for key in keys())
        subprocess.run(
            ["redis-cli", "-s", str(redis), "DEL", "mine:managed:b_option:main"], check=True, capture_output=True
        )
        assert "fresh" in client.get("/stream/").text
        assert not list((portal.root / "bitrix").glob("managed_cache/**/*.php"))
    finally:
        extra.unlink()
