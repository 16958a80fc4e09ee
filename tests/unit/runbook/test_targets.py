"""What the inventory tells, and which hosts a destructive step may replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Action, Kind, Owner, Step, Text, Urgency
from encaja.runbook.durations import parse_span
from encaja.runbook.redact import MASK, secrets_of_inventory
from encaja.runbook.run.inventory import InventoryReader, parse_inventory
from encaja.runbook.run.targets import check_targets

INVENTORY = {
    "_meta": {
        "hostvars": {
            "prod": {"encaja_domain": "portal.example.com", "encaja_database_password": "sesame-open"},
            "pre": {"nested": {"api_token": "tok-12345"}, "templated_password": "{{ other }}"},
        }
    },
    "all": {"children": ["production", "preproduction", "portal"]},
    "production": {"hosts": ["prod"]},
    "preproduction": {"hosts": ["pre"]},
    "portal": {"hosts": ["prod", "pre"]},
}


def step(**keys: object) -> Step:
    given = {
        "id": "wipe",
        "phase": 1,
        "title": Text("x", "x"),
        "owner": Owner.CONTRACTOR,
        "kind": Kind.PLAYBOOK,
        "action": Action(playbook="p.yml"),
        "needs": (),
        "estimate": parse_span("1m"),
        "urgency": Urgency.LOW,
        **keys,
    }
    return Step(**given)


def test_inventory_tells_environments_addresses_and_secrets() -> None:
    view = parse_inventory(INVENTORY)
    assert view.environments("prod") == ("production",)
    assert view.members("all") == {"prod", "pre"}
    assert view.addresses() == [("production", "https://portal.example.com/"), ("preproduction", "https://pre/")]
    assert secrets_of_inventory(INVENTORY) == {"sesame-open", "tok-12345"}


def test_secrets_count_once_the_inventory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encaja.runbook.run.inventory.read_inventory", lambda *_: parse_inventory(INVENTORY))
    reader = InventoryReader(tmp_path, [tmp_path])
    assert reader.redactor().clean("sesame-open") == "sesame-open"
    reader.prefetch()
    assert reader.redactor().clean("sesame-open") == MASK


def test_destructive_step_is_held_to_its_environments() -> None:
    view = parse_inventory(INVENTORY)
    allowed = step(targets=("preproduction",), never_on=("production",))
    assert check_targets(view, ["prod", "pre"], allowed) == ["pre"]
    with pytest.raises(ConfigurationError, match="prod is production, which is never a target"):
        check_targets(view, ["prod", "pre"], step(never_on=("production",)))
    with pytest.raises(ConfigurationError, match="pre is preproduction, not production"):
        check_targets(view, ["pre"], step(only_on=("production",)))
    with pytest.raises(ConfigurationError, match="no host to work on"):
        check_targets(view, ["prod"], step(targets=("preproduction",)))
    with pytest.raises(ConfigurationError, match="stranger is in no environment"):
        check_targets(view, ["stranger"], step())


def test_a_host_in_two_environments_is_no_target_whichever_of_them_is_allowed() -> None:
    both = {**INVENTORY, "preproduction": {"hosts": ["pre", "prod"]}}
    view = parse_inventory(both)
    for rules in ({}, {"never_on": ("production",)}, {"only_on": ("preproduction",)}, {"only_on": ("production",)}):
        with pytest.raises(
            ConfigurationError, match=r"prod is in (production and preproduction|preproduction and pro)"
        ):
            check_targets(view, ["prod", "pre"], step(targets=("preproduction",), **rules))


def test_every_wrong_host_is_named_and_a_host_of_that_name_is_a_target() -> None:
    view = parse_inventory(INVENTORY)
    with pytest.raises(ConfigurationError, match=r"prod is production.*; stranger is in no environment"):
        check_targets(view, ["prod", "stranger"], step(never_on=("production",)))
    assert check_targets(view, ["prod", "pre"], step(targets=("prod",), only_on=("production",))) == ["prod"]
    assert check_targets(view, ["prod", "pre"], step()) == ["prod", "pre"]


def test_groups_below_groups_and_in_a_circle_are_followed() -> None:
    data = {
        "_meta": {"hostvars": {}},
        "production": {"children": ["web", "loop"], "hosts": ["a"]},
        "web": {"hosts": ["b"]},
        "loop": {"children": ["production"], "hosts": ["c"]},
    }
    view = parse_inventory(data)
    assert view.members("production") == view.members("all") == {"a", "b", "c"}
    assert (view.environments("c"), view.members("ghost")) == (("production",), frozenset())
