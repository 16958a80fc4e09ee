"""What keeps a host closed: no line of a role's template or task that does can be lost unseen.

``tools/security-table`` prints the same as a table: role, line, test.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import meta

from support import role_security
from support.rendered_role import ROLES, Role
from support.role_security import Variant, config_files, expected, gaps, is_security, items, variants


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_the_lines_that_keep_a_host_closed_are_these(variant: Variant) -> None:
    assert variant.found() == variant.lines


def test_no_such_line_of_any_template_is_without_its_test(tmp_path: Path) -> None:
    table = gaps(tmp_path)
    assert len(table) > 400
    assert [row for row in table if not row[3]] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("PasswordAuthentication no", True),
        ("  type filter hook input priority filter; policy drop;", True),
        ("ProtectSystem=strict", True),
        ("bind {{ cache_bind }}", True),
        ("deny all;", True),
        ("# PasswordAuthentication yes", False),
        ("gzip on;", False),
        ("RestartSec=2s", False),
    ],
)
def test_lines_are_told_apart(line: str, found: bool) -> None:
    assert is_security(line) is found


@pytest.mark.parametrize("role", sorted(expected()["files"]))
def test_files_are_for_whom_they_are_meant_and_secrets_stay_out_of_diffs(role: str) -> None:
    assert config_files().get(role) == expected()["files"][role]


def test_the_files_of_every_role_are_listed() -> None:
    assert set(config_files()) == set(expected()["files"])


SECRET = re.compile(
    r"password|secret|token|webhook|licence|oauth|private|(?<!public)(?<!ssh_host)_key$|tls_key$|ca_key$|salt"
)
NO_SECRET = {
    "cache_keep_old_password", "database_keep_old_password",  # whether
    "clone_client_key",  # a public one
    "telephony_tls_key", "web_tls_key",  # paths
    "portal_secrets",
}  # fmt: skip


def options(listed: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All options of an argument specification, those inside of others too."""
    for name, about in listed.items():
        yield f"{above}{name}", about
        yield from options(about.get("options", {}), f"{above}{name}.")


def specification(role: str) -> dict[str, dict[str, Any]]:
    path = ROLES / role / "meta" / "argument_specs.yml"
    found = yaml.safe_load(path.read_text())["argument_specs"] if path.exists() else {}
    return {name: about for part in found.values() for name, about in options(part.get("options", {}))}


ALL_ROLES = sorted(path.name for path in ROLES.iterdir() if (path / "meta").is_dir())


@pytest.mark.parametrize("role", ALL_ROLES)
def test_no_variable_with_a_secret_shows_when_its_value_is_refused(role: str) -> None:
    shown = [
        name
        for name, about in specification(role).items()
        if SECRET.search(name.rpartition(".")[2]) and name not in NO_SECRET and not about.get("no_log")
        and about.get("type") not in {"bool", "path"}
    ]  # fmt: skip
    assert shown == []


def test_no_module_logs_a_secret_that_it_is_given() -> None:
    shown = []
    for path in sorted((ROLES.parent / "plugins" / "modules").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Dict):
                continue
            for key, value in zip(node.keys, node.values, strict=True):
                if not (
                    isinstance(key, ast.Constant) and isinstance(value, ast.Dict) and SECRET.search(str(key.value))
                ):
                    continue
                about = {ast.literal_eval(one): two for one, two in zip(value.keys, value.values, strict=True) if one}
                is_option = "type" in about and getattr(about["type"], "value", "") not in {"bool", "path"}
                if is_option and getattr(about.get("no_log"), "value", None) is not True:
                    shown.append(f"{path.name}: {key.value}")
    assert shown == []


@cache
def known_variables(role: str) -> dict[str, str]:
    """What a role's variables are made of."""
    known: dict[str, str] = {}
    for part in ("defaults", "vars"):
        path = ROLES / role / part / "main.yml"
        known |= {
            name: str(value) for name, value in (yaml.safe_load(path.read_text()) if path.exists() else {}).items()
        }
    for path in (ROLES / role / "tasks").glob("*.yml"):
        for task in role_security.tasks_of(yaml.safe_load(path.read_text()) or []):
            known |= {name: str(value) for name, value in task.get("vars", {}).items()}
    return known


def mentioned(role: str, text: str) -> set[str]:
    """Variables that a text of a role is made of, through others."""
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    known = known_variables(role)
    found: set[str] = set()
    todo = [text]
    while todo:
        here = re.sub(r"\|\s*[\w.]+|\bis\s+[\w.]+", "", todo.pop())  # filters and tests are Ansible's
        try:
            names = meta.find_undeclared_variables(environment.parse(here)) - found
        except jinja2.TemplateSyntaxError:
            names = set(re.findall(rf"\b(?:{role}|encaja)_\w+", here)) - found
        found |= names
        todo += [known[name] for name in names if name in known]
    return found


@pytest.mark.parametrize("role", sorted(expected()["files"]))
def test_a_file_with_a_secret_is_marked_as_such_and_readable_by_its_users_alone(role: str) -> None:
    """Whatever the list says: a file that is made of a variable with ``no_log`` is a secret one."""
    hidden = {name for name, about in specification(role).items() if about.get("no_log") and not about.get("options")}
    whole = {name.partition(".")[0] for name in hidden if "." in name}
    inside = "|".join({name.rpartition(".")[2] for name in hidden if "." in name}) or "-"
    open_ = []
    for of, item in items():
        if of != role or not (item.get("template") or item.get("content")):
            continue
        text = (ROLES / role / "templates" / item["template"]).read_text() if "template" in item else item["content"]
        # Of a list or dictionary only some values are secret: those by their names, or all where it is written whole.
        is_whole = re.search(rf"\.({inside})\b|to_(nice_)?json", str(text))
        secrets = mentioned(role, str(text)) & (hidden | whole if is_whole else hidden)
        mode = str(item.get("mode", "0644"))
        if secrets and not (item.get("secret") and ("{{" in mode or mode.endswith("0"))):
            open_.append((item["dest"], sorted(secrets)))
    assert open_ == []


@pytest.mark.parametrize(
    ("role", "inventory", "values"),
    [
        ("base", {"encaja_environment": "production"}, {
            "base_ssh_root_login": "prohibit-password", "base_ssh_forwarding": "local", "base_firewall": True,
            "base_ssh_from": [], "base_firewall_open": [], "base_upgrades": True,
            "base_sysctl['net.ipv4.conf.all.rp_filter']": 1, "base_sysctl['net.ipv4.conf.*.accept_redirects']": 0,
            "base_sysctl['net.ipv4.conf.*.send_redirects']": 0,
            "base_sysctl['net.ipv6.conf.*.accept_redirects']": 0,
        }),
        ("cache", {}, {"cache_remote": False, "cache_firewall": [], "cache_socket_users": ["www-data"]}),
        ("cache", {"cache_remote": True, "topology_cache_clients": ["10.0.0.7"]},
         {"cache_firewall": [{"port": 6379, "proto": "tcp", "from": ["10.0.0.7"]}]}),
        ("database", {}, {"database_bind": "127.0.0.1", "database_client_hosts": ["localhost"], "database_firewall": [],
                          "database_tls": False}),
        ("database", {"topology_database_remote": True, "topology_database_clients": ["10.0.0.7"]},
         {"database_firewall": [{"port": 3306, "proto": "tcp", "from": ["10.0.0.7"]}], "database_tls": True}),
        ("push", {}, {"push_listen_address": "127.0.0.1", "push_firewall": []}),
        ("push", {"topology_push_listen_address": "0.0.0.0", "topology_push_clients": ["10.0.0.7"]}, {"push_firewall": [
            {"port": "8010-8015", "proto": "tcp", "from": ["10.0.0.7"]},
            {"port": "9010-9011", "proto": "tcp", "from": ["10.0.0.7"]}]}),
        ("search", {}, {"search_listen_address": "127.0.0.1", "search_firewall": []}),
        ("search", {"search_listen_address": "0.0.0.0", "search_client_addresses": ["10.0.0.7"]},
         {"search_firewall": [{"port": 9306, "proto": "tcp", "from": ["10.0.0.7"]}]}),
        ("php", {}, {"php_firewall": [], "php_session_cookie_secure": True, "php_user": "www-data"}),
        ("web", {"encaja_domain": "p"}, {
            "web_tls": True, "web_trusted_proxies": [], "web_robots": True,
            "web_firewall": [{"port": 80, "proto": "tcp"}, {"port": 443, "proto": "tcp"}]}),
        ("telephony", {"inventory_hostname": "s"}, {"telephony_firewall | map(attribute='port') | list": [
            5060, 5060, 5061, 8089, "10000-10999"]}),
        ("clone", {"encaja_environment": "preproduction"},
         {"clone_key_hours": 24, "clone_from_environment": "production"}),
    ],
)  # fmt: skip
def test_what_is_open_by_default_and_where_other_hosts_take_part(
    role: str, inventory: dict[str, Any], values: dict[str, Any]
) -> None:
    host = Role(role, inventory)
    assert {name: host.value(name) for name in values} == values


def test_the_key_of_a_copy_may_do_one_thing_from_one_address_for_a_time() -> None:
    [task] = yaml.safe_load((ROLES / "clone" / "tasks" / "open.yml").read_text())
    given = task["ansible.posix.authorized_key"]
    assert given["user"] == "root" and given.get("exclusive", False) is False
    inventory = {"clone_client_address": "10.0.0.7", "encaja_environment": "production", "clone_home": "/srv/portal"}
    host = Role("clone", inventory)
    made = str(host.templar.template(role_trust(" ".join(given["key_options"].split()))))
    parts = re.fullmatch(r'restrict,from="(.*?)",expiry-time="(\d{12}Z)",command="(.*)"', made)
    assert parts, made
    address, expiry, command = parts.groups()
    assert address == "10.0.0.7"
    assert expiry.endswith("Z") and len(expiry) == 13
    assert command.endswith("/usr/bin/python3 /usr/local/lib/encaja/encaja.pyz clone-source /srv/portal")
    assert command.startswith("systemd-run --scope ")
    later = Role("clone", inventory | {"clone_key_hours": 48})
    other = str(later.templar.template(role_trust(" ".join(given["key_options"].split()))))
    assert other > made, "the time is the role's"
    [closing] = yaml.safe_load((ROLES / "clone" / "tasks" / "close.yml").read_text())
    assert closing["ansible.posix.authorized_key"]["state"] == "absent"
    assert closing["ansible.posix.authorized_key"]["key"] == given["key"]


def role_trust(text: str) -> Any:
    from ansible.template import trust_as_template

    return trust_as_template(text)


def test_what_is_given_to_tasks_that_set_passwords_and_rights() -> None:
    """These are asked of modules, not of templates."""
    accounts = (ROLES / "database" / "tasks" / "accounts.yml").read_text()
    assert 'require_tls: "{{ database_remote | bool }}"' in accounts
    assert 'hosts: "{{ database_client_hosts }}"' in accounts
    password = (ROLES / "cache" / "tasks" / "password.yml").read_text()
    assert "password: \"{{ cache_password if cache_remote | bool else '' }}\"" in password
    backup = (ROLES / "backup" / "vars" / "main.yml").read_text()
    for option in ("UserKnownHostsFile=/etc/encaja/backup.known_hosts", "StrictHostKeyChecking", "BatchMode"):
        assert option in backup
    for role, task in (("push", "fetch.yml"), ("portal", "distribution.yml")):
        text = (ROLES / role / "tasks" / task).read_text()
        assert re.findall(r"mode: (\S+)", text) == ['"0600"', '"0600"'], f"{role}: what was downloaded is root's"
        assert "checksum" in text or "sha256" in text


def test_cookies_of_the_portal_are_for_its_pages_and_for_tls() -> None:
    host = Role("portal", {"encaja_domain": "p", "encaja_database_password": "d", "encaja_push_key": "k"})
    assert host.value("portal_seed_sections.cookies.value") == {"secure": True, "http_only": True}


def test_nothing_in_the_roles_turns_verification_off() -> None:
    found = [
        f"{path.relative_to(ROLES)}: {line.strip()}"
        for path in sorted(ROLES.rglob("*"))
        if path.is_file() and path.suffix in {".yml", ".j2", ".py", ".php", ".conf"} and os.access(path, os.R_OK)
        for line in path.read_text(errors="replace").splitlines()
        if re.search(r"validate_certs: *(no|false)|StrictHostKeyChecking[= ]no|ssl_verify off|verify=False"
                     r"|--insecure|CURLOPT_SSL_VERIFY\w+ *=> *(false|0)|verify_peer.*false", line)
    ]  # fmt: skip
    assert found == []
