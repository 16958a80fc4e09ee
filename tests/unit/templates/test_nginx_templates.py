from __future__ import annotations

import re
import subprocess
from shutil import which

import pytest

TEMPLATES = ("nginx.conf.j2", "portal.conf.j2", "locations.conf.j2", "fastcgi.conf.j2", "push.conf.j2", "proxy.conf.j2")
INVENTORY = {"encaja_domain": "portal.example.com", "encaja_environment": "production"}


def block(text: str, head: str) -> str:
    """The body of the first block that begins with the given text."""
    start = text.index(head)
    depth = 0
    for position in range(text.index("{", start), len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start : position + 1]
    raise AssertionError(f"{head}: the block has no end")


@pytest.fixture
def web(role):
    return lambda **changes: role("web", **(INVENTORY | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"web_tls": False, "web_ipv6": False},
        {"web_robots": False, "web_allowed_from": ["10.0.0.0/8"], "web_trusted_proxies": ["192.0.2.1"]},
        {"web_mobile_listeners": True, "web_cloud_hosts": ["b.s3.example.com"], "web_resolvers": ["127.0.0.53"]},
        {"ansible_facts": {"distribution_major_version": "12"}},
    ],
)
def test_every_set_of_variables_gives_balanced_files(web, changes):
    host = web(**changes)
    for template in TEMPLATES:
        text = host.render(template)
        assert text.count("{") == text.count("}"), template
        assert "{{" not in text, template


def test_no_location_silences_the_headers_of_its_server(web):
    text = web().render("locations.conf.j2")
    for location in re.findall(r"^location [^{]+\{.*?^\}", text, re.MULTILINE | re.DOTALL):
        assert "add_header" not in location


def test_plain_http_is_redirected_only_where_there_is_tls(web):
    assert "return 301 https://$host$request_uri;" in web().render("portal.conf.j2")
    plain = web(web_tls=False).render("portal.conf.j2")
    assert "301" not in plain
    assert "443" not in plain
    assert "ssl" not in plain


def test_strict_transport_security_has_a_way_back(web):
    assert 'on "max-age=31536000";' in web().render("nginx.conf.j2")
    assert 'on "max-age=0";' in web(web_hsts_seconds=0).render("nginx.conf.j2")


@pytest.mark.parametrize(("release", "listen", "directive"), [("12", "443 ssl http2", False), ("13", "443 ssl", True)])
def test_http2_is_asked_for_in_the_way_of_the_release(web, release, listen, directive):
    text = web(ansible_facts={"distribution_major_version": release}).render("portal.conf.j2")
    assert f"listen {listen};" in text
    assert ("http2 on;" in text) is directive


def test_ipv6_can_be_left_out(web):
    assert "[::]:443" in web().render("portal.conf.j2")
    assert "[::]" not in web(web_ipv6=False).render("portal.conf.j2")


def test_the_portals_rest_is_not_the_push_servers(web):
    text = web().render("locations.conf.j2")
    assert "proxy_pass http://push_pub/bitrix/rest/;" in block(text, "location = /bitrix/rest/ ")
    assert "location ^~ /rest/" not in text
    assert "location /rest/" not in text


def test_no_path_of_a_client_is_passed_to_the_push_server(web):
    host = web(web_mobile_listeners=True)
    passed = [line for name in TEMPLATES for line in host.render(name).splitlines() if "proxy_pass http://push" in line]
    assert len(passed) == 4
    assert all(line.endswith("/;") for line in passed)


@pytest.mark.parametrize(
    ("inventory", "told"), [({}, "$host"), ({"settle_port": 443}, "$host"), ({"settle_port": 8443}, "$host:8443")]
)
def test_pages_are_told_the_portals_own_name_and_port(web, inventory, told):
    assert f"fastcgi_param HTTP_HOST {told};" in web(**inventory).render("fastcgi.conf.j2")


def test_messages_may_be_as_long_as_the_push_server_takes_them(web):
    assert "client_max_body_size 1048576;" in web().render("proxy.conf.j2")
    longer = web(push_limits={"maxPayload": 4194304})
    assert "client_max_body_size 4194304;" in longer.render("proxy.conf.j2")


def test_push_servers_are_taken_from_where_they_are(web):
    text = web(web_push_host="10.0.0.7", web_push_sub_ports=[8010], web_push_pub_ports=[9010]).render("nginx.conf.j2")
    assert "server 10.0.0.7:8010 max_fails=0;" in block(text, "upstream push_sub")
    assert "server 10.0.0.7:9010 max_fails=0;" in block(text, "upstream push_pub")
    assert re.findall(r"server 127\.0\.0\.1:(\d+) max_fails=0;", web().render("nginx.conf.j2")) == [
        *("8010", "8011", "8012", "8013", "8014", "8015"),
        *("9010", "9011"),
    ]


def test_publishing_listens_on_the_loopback_address_only(web):
    text = web(web_mobile_listeners=True).render("portal.conf.j2")
    assert re.findall(r"listen (\S*8895)", text) == ["127.0.0.1:8895"]


def test_addresses_of_users_are_believed_of_named_proxies_only(web):
    assert "real_ip_header" not in web().render("nginx.conf.j2")
    text = web(web_trusted_proxies=["192.0.2.1", "198.51.100.0/24"]).render("nginx.conf.j2")
    assert re.findall(r"set_real_ip_from (\S+);", text) == ["192.0.2.1", "198.51.100.0/24"]
    assert "real_ip_recursive on;" in text


@pytest.mark.parametrize(("environment", "hidden"), [("production", False), ("preproduction", True), ("test", True)])
def test_search_engines_read_production_only(web, environment, hidden):
    text = web(encaja_environment=environment).render("locations.conf.j2")
    assert ("X-Robots-Tag" in text) is hidden
    assert ("location = /robots.txt" in text) is hidden


def test_cloud_storage_is_reached_by_name_and_internally(web):
    text = web(web_cloud_hosts=["b.s3.example.com"], web_resolvers=["10.0.0.2"]).render("locations.conf.j2")
    body = block(text, r"location ~ ^/upload/bx_cloud_upload/")
    assert r"b\.s3\.example\.com" in body
    assert "internal;" in body
    assert "proxy_ssl_verify on;" in body
    assert "return 403;" in block(web().render("locations.conf.j2"), "location ^~ /upload/bx_cloud_upload/")


PROTECTED = ["/bitrix/modules/a", "/local/php_interface/init.php", "/bitrix/.settings.php", "/.access.php", "/a.sql.1"]
PUBLIC = ["/bitrix/templates/.default/a.css", "/.well-known/assetlinks.json", "/bitrix/cache/js/a.js", "/local/js/a.js"]


def denied(text: str, path: str) -> bool:
    """Whether one of the locations that deny by a regular expression takes this path."""
    rules = re.findall(r"^location (~\*?) (\S+) \{\n    deny all;", text, re.MULTILINE)
    return any(re.search(rule, path, re.IGNORECASE if kind == "~*" else 0) for kind, rule in rules)


def test_what_is_protected_and_what_is_not(web):
    text = web().render("locations.conf.j2")
    assert [path for path in PROTECTED if not denied(text, path)] == []
    assert [path for path in PUBLIC if denied(text, path)] == []


@pytest.mark.skipif(which("nginx") is None, reason="nginx is not installed on this machine")
def test_nginx_takes_the_configuration(web, tmp_path):
    host = web(web_tls=False, web_ipv6=False, web_trusted_proxies=["192.0.2.1"], web_allowed_from=["10.0.0.0/8"])
    (tmp_path / "encaja").mkdir()
    (tmp_path / "sites-enabled").mkdir()
    places = {"nginx.conf.j2": "nginx.conf", "portal.conf.j2": "sites-enabled/portal.conf"}
    for template in TEMPLATES:
        path = tmp_path / places.get(template, f"encaja/{template.removesuffix('.j2')}")
        text = host.render(template).replace("/etc/nginx/encaja", f"{tmp_path}/encaja")
        text = text.replace("/etc/nginx/sites-enabled", f"{tmp_path}/sites-enabled").replace("/run/nginx.pid", "pid")
        path.write_text(text.replace("/var/log/nginx/", f"{tmp_path}/"))
    done = subprocess.run(
        ["nginx", "-t", "-q", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
