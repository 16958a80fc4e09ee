from __future__ import annotations

from pathlib import Path

from encaja.portal import host_facts

NGINX = r"""# configuration file /etc/nginx/nginx.conf:
user www-data; # a comment; with marks {
http {
    log_format main '$remote_addr "$request"';
    server {
        listen 80 default_server;
        listen 443 ssl;
        server_name crm.acme.es www.acme.es;
        location ~ "\.php{1}$" { fastcgi_pass unix:/run/php/portal.sock; add_header A "b;c"; add_header D e; }
        if ($scheme = http) { return 301 https://$host$request_uri; }
    }
}
# configuration file /etc/nginx/conf.d/map.conf:
map $http_upgrade ${connection}x { default upgrade; '' close; }
"""


def test_nginx_statements_have_their_place_and_their_order() -> None:
    found = host_facts.statements(NGINX)
    server = "/etc/nginx/nginx.conf: http > server crm.acme.es www.acme.es (80 default_server, 443 ssl)"
    assert found["/etc/nginx/nginx.conf: user"] == "www-data"
    assert found[f"{server} > listen"] == "80 default_server; 443 ssl"
    assert found[rf'{server} > location ~ "\.php{{1}}$" > add_header A'] == '"b;c"'
    assert found[rf'{server} > location ~ "\.php{{1}}$" > add_header D'] == "e"
    assert found[f"{server} > if ($scheme = http) > return"] == "301 https://$host$request_uri"
    assert found["/etc/nginx/conf.d/map.conf: map $http_upgrade ${connection}x > ''"] == "close"
    assert len(found) == 10


def test_crontabs_count_without_comments(tmp_path: Path) -> None:
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/cron.daily").mkdir()
    (tmp_path / "etc/cron.daily/dpkg").touch()
    (tmp_path / "etc/cron.daily/.placeholder").touch()
    (tmp_path / "etc/cron.d/portal").write_text("# every minute\n*  * * * *\twww-data  php x.php\n\n")
    (tmp_path / "var/spool/cron/crontabs").mkdir(parents=True)
    (tmp_path / "var/spool/cron/crontabs/root").write_text("@daily true\n")
    assert host_facts.cron(tmp_path) == {
        "/etc/cron.d/portal": "* * * * * www-data php x.php",
        "/etc/cron.daily": "dpkg",
        "/var/spool/cron/crontabs/root": "@daily true",
    }


def test_a_timer_is_compared_without_the_moment_at_which_it_is_due() -> None:
    told = "{ OnCalendar=*-*-* 06:00:00 ; next_elapse=Thu 2026-11-26 06:00:00 UTC }"
    assert host_facts.timer_spec(told) == "OnCalendar=*-*-* 06:00:00"
