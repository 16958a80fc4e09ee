"""What a host is told of its neighbours: the same function is near for one and far for the other."""

import json
from typing import Any

import pytest
from testinfra.host import Host


@pytest.fixture
def told(host: Host) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(host.file("/var/tmp/topology.json").content_string)
    return values


@pytest.fixture
def has_portal(host: Host) -> bool:
    return not host.backend.get_hostname().endswith("-cache")


def test_both_know_who_has_which_function(told: dict[str, Any]) -> None:
    portal = told["topology_portal"]
    assert told["topology_database"] == portal
    assert told["topology_push"] == portal
    assert told["topology_cache"] == f"{portal}-cache"
    assert told["topology_environment_hosts"] == [portal, f"{portal}-cache"]


def test_what_is_on_the_same_host_is_reached_on_it(told: dict[str, Any]) -> None:
    assert told["topology_database_remote"] is False
    assert told["topology_portal_database_host"] == "localhost"
    assert told["topology_portal_database_ca"] == ""
    assert told["topology_push_listen_address"] == told["topology_web_push_host"] == "127.0.0.1"


def test_what_is_apart_is_reached_by_name_with_a_password(told: dict[str, Any], has_portal: bool) -> None:
    assert told["topology_cache_remote"] is True
    assert told["topology_portal_cache_host"] == told["topology_push_redis_host"] == told["topology_cache"]
    assert told["topology_push_redis_password"] == "long enough to be a password"
    (client,) = told["topology_cache_clients"]
    assert (client == told["address"]) is has_portal


def test_host_gets_the_packages_of_its_own_roles(told: dict[str, Any], has_portal: bool) -> None:
    assert "nftables" in told["topology_packages"]
    assert ("mariadb-server" in told["topology_packages"]) is has_portal
    assert ("redis-server" in told["topology_packages"]) is not has_portal
    assert ("mariadb.service" in told["topology_units"]) is has_portal
    assert told["topology_database_tls"] is has_portal


def test_host_opens_what_its_own_roles_serve(told: dict[str, Any], has_portal: bool) -> None:
    ports = {entry["port"] for entry in told["topology_firewall_open"]}
    assert 9999 in ports
    assert (443 in ports) is has_portal
    assert (6379 in ports) is not has_portal
