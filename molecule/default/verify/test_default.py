"""One environment on four hosts: each does its own work, and the portal's host reaches the others by name, with TLS."""

import json

import pytest
import testinfra

INVENTORY_HOSTS = {name: f"{name}.encaja.test" for name in ("portal", "database", "cache", "push")}
SERVICES = {
    "portal": ["nginx", "encaja-portal-cron.timer"],
    "database": ["mariadb"],
    "cache": ["redis-server"],
    "push": ["push-server"],
}
# What the portal itself does with its settings, and which cipher comes of it.
CONNECT = """
$settings = require "/srv/portal/www/bitrix/.settings.php";
$to = $settings["connections"]["value"]["default"];
$link = mysqli_init();
$link->ssl_set(null, null, "/etc/ssl/certs/ca-certificates.crt", null, null);
$link->real_connect($to["host"], $to["login"], $to["password"], $to["database"], 3306, null, MYSQLI_CLIENT_SSL);
$cipher = $link->query("SHOW STATUS LIKE \\"Ssl_cipher\\"")->fetch_row()[1];
echo json_encode(["host" => $to["host"], "cipher" => $cipher]);
"""
testinfra_hosts = [f"ansible://{INVENTORY_HOSTS['portal']}"]


@pytest.fixture(scope="module")
def estate(request):
    """The four hosts, by function."""
    inventory = request.config.option.ansible_inventory
    return {
        function: testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory)
        for function, name in INVENTORY_HOSTS.items()
    }


@pytest.mark.parametrize(("function", "units"), SERVICES.items())
def test_each_host_runs_only_its_own_services(estate, function, units):
    for owner, services in SERVICES.items():
        for unit in services:
            state = estate[function].run(f"systemctl is-active {unit}").stdout.strip()
            assert (state == "active") == (owner == function), f"{unit} on {function}: {state}"
    assert units


def test_every_host_has_the_marker_of_its_environment(estate):
    for host in estate.values():
        assert host.file("/etc/encaja/environment").content_string.strip() == "test"


def test_the_portal_s_host_connects_to_its_database_with_tls_only(estate):
    asked = estate["portal"].run(f"php -r '{CONNECT}'")
    answer = json.loads(asked.stdout)
    assert answer["host"].split(":")[0] == INVENTORY_HOSTS["database"]
    assert answer["cipher"].startswith("TLS_"), asked.stderr


@pytest.mark.parametrize(("function", "port"), [("database", 3306), ("cache", 6379), ("push", 8010)])
def test_only_the_portal_s_host_reaches_the_others(estate, function, port):
    knock = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{INVENTORY_HOSTS[function]}/{port}'"
    stranger = "cache" if function == "database" else "database"
    assert estate["portal"].run(knock).rc == 0
    assert estate[stranger].run(knock).rc != 0


def test_a_page_of_the_installed_portal_is_served(estate):
    page = estate["portal"].run(
        f"curl -sS --max-time 20 --resolve {INVENTORY_HOSTS['portal']}:443:127.0.0.1 -w '%{{http_code}}'"
        f" https://{INVENTORY_HOSTS['portal']}/auth/"
    )
    assert page.stdout.endswith("200"), page.stdout[-300:] + page.stderr
    assert 'id="login-form"' in page.stdout
