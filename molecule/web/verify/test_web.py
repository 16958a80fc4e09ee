"""What nginx answers to people, to search engines, to the portal itself and to those who look for more."""

import json
import re

import pytest

NAME = "portal.encaja.test"


@pytest.fixture(scope="module")
def ask(host):
    """A function that requests a path and returns (status, headers, body); options go to curl."""

    def asked(path, *options, base=f"https://{NAME}"):
        ports = " ".join(f"--resolve {NAME}:{port}:127.0.0.1" for port in (80, 443, 8893, 8894))
        quoted = " ".join("'" + option.replace("'", "'\\''") + "'" for option in options)
        done = host.run(f"curl -sSik --path-as-is -m 20 {ports} {quoted} '{base}{path}'")
        if not done.stdout.startswith("HTTP/"):
            return 0, {}, done.stderr
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        while head.startswith("HTTP/1.1 100"):
            head, _, body = body.partition("\n\n")
        lines = head.splitlines()
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        return int(lines[0].split()[1]), {name: ", ".join(values) for name, values in headers.items()}, body

    return asked


def page(answer):
    return json.loads(answer[2])


@pytest.mark.parametrize(
    ("path", "script"),
    [
        ("/", "/index.php"),
        ("/?a=1", "/index.php"),
        ("/crm/", "/crm/index.php"),
        ("/crm/deal/details/12/", "/bitrix/urlrewrite.php"),
        ("/no/such/page.php", "/bitrix/urlrewrite.php"),
        ("/no/such.css", "/bitrix/urlrewrite.php"),
        ("/rest/1/token/crm.lead.list.json", "/bitrix/urlrewrite.php"),
        ("/pub/imconnector/", "/bitrix/urlrewrite.php"),
    ],
)
def test_pages_reach_the_right_script_with_their_own_address(ask, path, script):
    answer = ask(path)
    assert answer[0] == 200
    seen = page(answer)
    assert (seen["script"], seen["uri"]) == (script, path)
    assert (seen["name"], seen["port"], seen["https"]) == (NAME, "443", "on")


def test_a_directory_without_its_slash_is_redirected_to_its_own_host(ask):
    status, headers, _ = ask("/crm?a=1")
    assert (status, headers["location"]) == (301, "/crm/?a=1")


def test_path_info_reaches_the_calendar_server(ask):
    assert page(ask("/bitrix/groupdav.php/principals/1/"))["path_info"] == "/principals/1/"
    assert ask("/.well-known/caldav")[1]["location"] == "/bitrix/groupdav.php/"


@pytest.mark.parametrize(
    "path",
    [
        "/bitrix/.settings.php",
        "/upload/../bitrix/.settings.php",
        "/bitrix//modules/main/include.php",
        "/Bitrix/Modules/main/include.php",
        "/bitrix/modules/main/include.php",
        "/bitrix/php_interface/dbconn.php",
        "/local/php_interface/init.php",
        "/bitrix/managed_cache/x",
        "/bitrix/backup/x.tar.gz",
        "/20260101_210000_full_x.tar.gz.3",
        "/dump.sql",
        "/.access.php",
        "/.git/config",
        "/upload/disk/script.php",
        "/upload/1c_catalog/goods.xml",
        "/upload/bx_cloud_upload/https.bucket.example.com/file",
    ],
)
def test_protected_files_are_refused(ask, path):
    assert ask(path)[0] == 403


def test_template_directories_that_begin_with_a_dot_are_served(ask):
    assert ask("/bitrix/templates/.default/style.css")[2] == "body {}\n"


def test_files_are_delivered_by_internal_redirect_only(ask):
    assert ask("/?give=/bx_tmp_download/report.bin")[2] == "a report\n"
    assert ask("/bx_tmp_download/report.bin")[0] == 404
    assert ask("/?give=/upload/disk/a.txt")[2] == "a file\n"


def test_a_missing_upload_is_a_plain_404_without_a_loop(ask):
    assert ask("/?give=/upload/lost.bin")[0] == 404


def test_an_uploaded_page_cannot_run_in_the_portals_name(ask):
    assert "sandbox" in ask("/upload/disk/a.html")[1]["content-security-policy"]
    assert "content-security-policy" not in ask("/")[1]


def test_the_headers_protect_and_permit_embedding_where_necessary(ask):
    headers = ask("/")[1]
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "x-frame-options" not in ask("/pub/form/1/")[1]
    assert "x-frame-options" not in ask("/online/")[1]


def test_plain_http_redirects_to_tls(ask):
    status, headers, _ = ask("/crm/?a=1", base=f"http://{NAME}")
    assert (status, headers["location"]) == (301, f"https://{NAME}/crm/?a=1")


def test_other_names_get_nothing(ask):
    assert ask("/", "-H", "Host: evil.example", base="http://127.0.0.1")[0] == 0
    assert ask("/", base="https://127.0.0.1")[0] == 0


def test_search_engines_are_excluded_from_a_copy(ask):
    assert "Disallow: /" in ask("/robots.txt", "-A", "Googlebot/2.1")[2]
    assert ask("/", "-A", "Mozilla/5.0 (compatible; YandexBot/3.0)")[0] == 403
    assert "noindex" in ask("/")[1]["x-robots-tag"]


def test_the_address_of_the_user_comes_from_a_trusted_proxy_only(ask):
    forged = ("-H", "X-Forwarded-For: 203.0.113.9")
    assert page(ask("/", *forged))["from"] == "127.0.0.1"
    assert page(ask("/", *forged, "--interface", "127.0.0.2"))["from"] == "203.0.113.9"


UPGRADE = ("--http1.1", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket")


@pytest.mark.parametrize("path", ["/bitrix/subws/?CHANNEL_ID=a", "/bitrix/sub/?CHANNEL_ID=a"])
def test_websockets_reach_the_push_server(ask, path):
    status, headers, _ = ask(path, *UPGRADE)
    assert (status, headers["x-path"]) == (101, "/bitrix/subws/?CHANNEL_ID=a")


def test_the_push_server_s_rest_is_separate_from_the_portal_s(ask):
    seen = page(ask("/bitrix/rest/?method=x"))
    assert (seen["port"], seen["path"]) == (9010, "/bitrix/rest/?method=x")


def test_only_the_host_itself_may_publish(ask, host):
    seen = page(ask("/bitrix/pub/?CHANNEL_ID=a", "-d", "text", base="http://127.0.0.1:8895"))
    assert (seen["port"], seen["path"]) == (9010, "/bitrix/pub/?CHANNEL_ID=a")
    assert ask("/bitrix/subws/", base="http://127.0.0.1:8895")[0] == 403
    listening = host.check_output("ss -Hltn 'sport = 8895'")
    assert re.findall(r"(\S+):8895", listening) == ["127.0.0.1"]


def test_old_mobile_applications_find_the_push_server_and_nothing_else(ask):
    for base in (f"http://{NAME}:8893", f"https://{NAME}:8894"):
        assert ask("/bitrix/subws/?CHANNEL_ID=a", *UPGRADE, base=base)[0] == 101
        assert ask("/", base=base)[0] == 403


def test_only_the_host_itself_sees_the_pool_status(ask):
    assert "pool:                 portal" in ask("/php-status", base="http://127.0.0.1:8895")[2]
    assert page(ask("/php-status"))["script"] == "/bitrix/urlrewrite.php"


def test_an_upload_of_300_mb_arrives(ask, host):
    assert host.run("truncate -s 300M /srv/portal/tmp/big").rc == 0
    assert page(ask("/", "-F", "file=@/srv/portal/tmp/big"))["file"] == 300 * 1024 * 1024
    assert host.run("rm /srv/portal/tmp/big").rc == 0


def test_the_next_request_after_a_switch_comes_from_the_new_tree(ask, host):
    assert page(ask("/"))["root"].endswith("/first")
    assert host.run("ln -sfn trees/second /srv/portal/www").rc == 0
    try:
        assert page(ask("/"))["root"].endswith("/second")
    finally:
        assert host.run("ln -sfn trees/first /srv/portal/www").rc == 0


def test_the_log_has_timings_and_no_tokens(ask, host):
    ask("/rest/1/s3cretToken/crm.lead.list.json?auth=other5ecret")
    ask("/?USER_CHECKWORD=once0nly")
    log = host.file("/var/log/nginx/access.log").content_string
    assert "/rest/1/***/crm.lead.list.json" in log
    assert re.search(r" time=\d+\.\d+ php=\d+\.\d+$", log, re.MULTILINE)
    for secret in ("s3cretToken", "other5ecret", "once0nly"):
        assert secret not in log
