"""The derived values on two hosts: the same function is local for one and remote for the other."""

import json
from typing import Any

import pytest
from testinfra.host import Host


@pytest.fixture
def values(host: Host) -> dict[str, Any]:
    derived: dict[str, Any] = json.loads(host.file("/var/tmp/topology.json").content_string)
    return derived


@pytest.fixture
def has_portal(host: Host) -> bool:
    return not host.backend.get_hostname().endswith("-cache")


def test_both_hosts_know_the_host_of_each_function(values: dict[str, Any]) -> None:
    portal = values["topology_portal"]
    assert values["topology_database"] == portal
    assert values["topology_push"] == portal
    assert values["topology_cache"] == f"{portal}-cache"
    assert values["topology_environment_hosts"] == [portal, f"{portal}-cache"]


def test_functions_on_the_same_host_are_reached_locally(values: dict[str, Any]) -> None:
    assert values["topology_database_remote"] is False
    assert values["topology_portal_database_host"] == "localhost"
    assert values["topology_portal_database_ca"] == ""
    assert values["topology_push_listen_address"] == values["topology_web_push_host"] == "127.0.0.1"


def test_functions_on_other_hosts_are_reached_by_name_with_a_password(values: dict[str, Any], has_portal: bool) -> None:
    assert values["topology_cache_remote"] is True
    assert values["topology_portal_cache_host"] == values["topology_push_redis_host"] == values["topology_cache"]
    assert values["topology_push_redis_password"] == "long enough to be a password"
    (client,) = values["topology_cache_clients"]
    assert (client == values["address"]) is has_portal


def test_host_gets_the_packages_of_its_own_roles(values: dict[str, Any], has_portal: bool) -> None:
    assert "nftables" in values["topology_packages"]
    assert ("mariadb-server" in values["topology_packages"]) is has_portal
    assert ("redis-server" in values["topology_packages"]) is not has_portal
    assert ("mariadb.service" in values["topology_units"]) is has_portal
    assert values["topology_database_tls"] is has_portal


def test_host_opens_the_ports_of_its_own_roles(values: dict[str, Any], has_portal: bool) -> None:
    ports = {entry["port"] for entry in values["topology_firewall_open"]}
    assert 9999 in ports
    assert (443 in ports) is has_portal
    assert (6379 in ports) is not has_portal
