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
