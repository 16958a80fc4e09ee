"""A copy never goes onto production, onto itself, or onto a host of the source."""

import pytest

from encaja.clone import direction
from encaja.errors import ConfigurationError

GROUPS = {
    "production": ["box", "exchange"],
    "preproduction": ["copy"],
    "test": ["spare"],
    "portal": ["box", "copy", "spare"],
    "database": ["box", "copy", "spare"],
}


@pytest.mark.parametrize(
    ("source", "target"),
    [("production", "preproduction"), ("production", "test"), ("preproduction", "test"), ("test", "preproduction")],
)
def test_copies_that_may_go(source: str, target: str) -> None:
    direction.check(source, target, GROUPS)


@pytest.mark.parametrize(
    ("source", "target", "groups", "reason"),
    [
        ("preproduction", "production", GROUPS, "production is never a target"),
        ("production", "production", GROUPS, "production is never a target"),
        ("test", "test", GROUPS, "source and target are both 'test'"),
        ("production", "cloud", GROUPS, "the target 'cloud' is not one of preproduction, test"),
        ("production", "test", GROUPS | {"test": []}, "the inventory has no hosts in 'test'"),
        ("production", "test", GROUPS | {"test": ["box"]}, "box would be both source and target"),
        ("preproduction", "test", GROUPS | {"test": ["box"]}, "box would be both source and target"),
        ("production", "test", GROUPS | {"portal": ["box"]}, "'test' has 0 hosts in group 'portal'"),
    ],
)
def test_copies_that_are_refused(source: str, target: str, groups: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        direction.check(source, target, groups)
    assert reason in str(refused.value)


def test_another_name_for_the_same_host_is_seen_through() -> None:
    addresses = {"box": "10.0.0.1", "exchange": "10.0.0.2", "copy": "10.0.0.1", "spare": "10.0.0.2"}
    assert direction.faults("production", "preproduction", GROUPS, addresses) == [
        "copy has the address of box, 10.0.0.1"
    ]
    assert direction.faults("preproduction", "test", GROUPS, addresses) == [
        "spare has the address of exchange, 10.0.0.2"
    ]
    assert direction.faults("production", "preproduction", GROUPS, addresses | {"copy": "10.0.0.3"}) == []


def test_every_reason_is_named_at_once() -> None:
    found = direction.faults("production", "production", {})
    assert len(found) == 3
