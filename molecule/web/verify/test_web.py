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


PLANTED = [
    *("/bitrix/tmp/a.php", "/bitrix/cache/css/a.php", "/x/.ssh/a.php"),
    *("/x/a.pht", "/x/a.phtml", "/x/a.phar", "/x/a.php5", "/x/A.PHP"),
    *("/dump.sql.gz", "/dump.sql.bz2", "/dump.sql.zst", "/dump.sql.xz", "/site.tgz", "/site.zip", "/site.7z"),
    *("/x/dump.sql", "/x/b.tar.gz", "/x/b.tar.gz.12"),
    *("/x/index.php~", "/x/index.php.old", "/x/index.php.orig", "/x/index.php.save", "/x/index.php.bak"),
    *("/x/a.ini", "/x/a.yml", "/x/a.conf", "/x/a.key", "/x/a.PEM", "/x/a.log", "/x/.ssh/id_rsa"),
]


@pytest.mark.parametrize("path", PLANTED)
def test_planted_code_and_leftovers_are_neither_run_nor_served(ask, path):
    status, _, body = ask(path)
    assert (status, "secret" in body) == (403, False)


@pytest.mark.parametrize("path", ["/disk/file/report.zip", "/disk/file/.cfg/my.pem", "/disk/file/A.PHP"])
def test_addresses_of_the_portal_may_end_as_a_leftover_does(ask, path):
    seen = page(ask(path))
    assert (seen["script"], seen["uri"]) == ("/bitrix/urlrewrite.php", path)


def test_template_directories_that_begin_with_a_dot_are_served(ask):
    assert ask("/bitrix/templates/.default/style.css")[2] == "body {}\n"


def test_files_are_delivered_by_internal_redirect_only(ask):
    assert ask("/?give=/bx_tmp_download/report.bin")[2] == "a report\n"
    assert ask("/bx_tmp_download/report.bin")[0] == 404
    assert ask("/?give=/upload/disk/a.txt")[2] == "a file\n"


def test_a_missing_upload_is_a_plain_404_without_a_loop(ask):
    assert ask("/?give=/upload/lost.bin")[0] == 404


@pytest.mark.parametrize("name", ["a.html", "a.xht", "a.mht", "a.pdf", "a.js", "a.svgz", "a.unknown"])
def test_an_upload_cannot_run_in_the_portals_name(ask, name):
    for path in (f"/upload/disk/{name}", f"/?give=/upload/disk/{name}"):
        assert ask(path)[1]["content-security-policy"].startswith("sandbox;")
    assert "sandbox" not in ask("/")[1]["content-security-policy"]


def test_the_headers_protect_and_permit_embedding_where_necessary(ask):
    headers = ask("/")[1]
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert headers["permissions-policy"] == "browsing-topics=(), midi=(), serial=(), usb=()"
    for own in ("policy", "frame"):
        assert ask(f"/?own={own}")[1].get("content-security-policy", "") != "frame-ancestors 'self'"
    assert "content-security-policy" not in ask("/pub/form/1/")[1]
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


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_another_name_inside_the_portals_own_connection_gets_nothing(ask, version):
    status, _, body = ask("/", version, "-H", "Host: evil.example")
    assert status in {0, 421}  # Misdirected Request, by nginx itself since 1.26.3
    assert "script" not in body
    assert "Welcome" not in body


@pytest.mark.parametrize(
    "forged",
    [
        ("-H", f"Host: {NAME}:@evil.example"),
        ("-H", f"Host: {NAME}:8443"),
        ("-H", "Host: evil.example", "--request-target", f"https://{NAME}/"),
    ],
)
def test_pages_are_told_the_portals_own_name(ask, forged):
    answer = ask("/", "--http1.1", *forged)
    assert answer[0] == 400 or page(answer)["host"] == NAME


def test_pages_are_told_the_alias_that_was_asked_for(ask):
    assert page(ask("/", "-H", f"Host: www.{NAME}"))["host"] == f"www.{NAME}"


def test_a_name_in_an_absolute_address_counts_for_more_than_the_header(ask):
    assert ask("/", "--http1.1", "--request-target", "https://evil.example/")[0] == 0


STRANGERS = (
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"),
    *("X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Real-IP", "X-Client-IP", "Client-IP"),
    *("True-Client-IP", "CF-Connecting-IP", "X-Original-URL", "X-Rewrite-URL", "X-Host", "Front-End-Https"),
)


def test_what_strangers_say_of_address_and_host_reaches_no_page(ask):
    forged = [word for name in STRANGERS for word in ("-H", f"{name}: 203.0.113.9")]
    answer = page(ask("/", *forged))
    assert answer["from"] == "127.0.0.1"
    assert "203.0.113.9" not in answer["headers"].values()


@pytest.mark.parametrize(("group", "offered"), [("X25519", True), ("P-384", True), ("X448", False), ("P-521", False)])
def test_the_curves_are_those_of_mozillas_intermediate_profile(host, group, offered):
    done = host.run(f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} -groups {group} < /dev/null")
    assert ("no peer certificate available" not in done.stdout) is offered


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


TRICKS = [
    *("/bitrix/rest/..\\pub/?CHANNEL_ID=a", "/bitrix/rest/..\\..\\server-stat/", "/bitrix/rest/x"),
    *("/bitrix/sub/..\\..\\server-stat/", "/bitrix/subws/..\\..\\server-stat/", "/bitrix/pub/?CHANNEL_ID=a"),
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_other_path_of_the_push_server_is_reached_from_outside(ask, path):
    assert ask(path, "-d", "{}")[0] == 403


def test_the_push_server_gets_paths_of_nginx_and_not_of_the_client(ask):
    for asked in ("/bitrix/pub/../rest/?a=1", "/bitrix/rest/../rest/?a=1", "//bitrix/%72est/?a=1"):
        assert page(ask(asked, "-d", "{}"))["path"] == "/bitrix/rest/?a=1"
    for base in (f"http://{NAME}:8893", f"https://{NAME}:8894"):
        assert ask("/bitrix/subws/..\\..\\server-stat/", base=base)[0] == 403
    assert ask("/bitrix/pub/..\\..\\server-stat/", base="http://127.0.0.1:8895")[0] == 403


def test_the_push_server_is_told_the_clients_own_address(ask):
    seen = page(ask("/bitrix/rest/", "-H", "X-Forwarded-For: 203.0.113.9"))["headers"]
    assert (seen["X-Forwarded-For"], seen["X-Real-IP"]) == ("127.0.0.1", "127.0.0.1")


def test_messages_are_small(ask, host):
    assert host.run("truncate -s 1048576 /srv/portal/tmp/most; truncate -s 1048577 /srv/portal/tmp/more").rc == 0
    outside = [f"https://{NAME}/bitrix/{kind}/" for kind in ("rest", "sub", "subws")]
    for place in [*outside, "http://127.0.0.1:8895/bitrix/pub/"]:
        assert ask("", "--data-binary", "@/srv/portal/tmp/most", base=place)[0] == 200
        assert ask("", "--data-binary", "@/srv/portal/tmp/more", base=place)[0] == 413


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
    assert page(ask("/disk/a.zip", "-T", "/srv/portal/tmp/big"))["body"] == 300 * 1024 * 1024
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


def test_the_service_is_fenced(host):
    done = host.run("systemd-analyze security --no-pager nginx.service")
    assert float(re.search(r"exposure level for nginx.service: ([0-9.]+)", done.stdout)[1]) <= 5.0
    master = host.check_output("systemctl show -P MainPID nginx.service")
    assert "NoNewPrivs:\t1" in host.file(f"/proc/{master}/status").content_string


def test_logs_are_opened_anew_after_rotation(ask, host):
    log = "/var/log/nginx/access.log"
    made = f"mv {log} {log}.1 && install -o www-data -g adm -m 0640 /dev/null {log}"  # as logrotate does
    assert host.run(f"{made} && systemctl kill --kill-whom=main --signal=USR1 nginx.service").rc == 0
    for _ in range(50):
        ask("/?after=rotation")
        if host.file(log).contains("after=rotation"):
            break
    else:
        raise AssertionError(f"nothing is written to the new {log}")


def test_it_reloads_and_restarts_inside_its_fence(ask, host):
    for verb in ("reload", "restart"):
        assert host.run(f"systemctl {verb} nginx.service").rc == 0
        assert page(ask("/"))["script"] == "/index.php"
