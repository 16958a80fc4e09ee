from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encaja.compare.differences import compare, rules
from encaja.compare.environments import Environment
from encaja.portal import domain, neutralise, snapshot
from encaja.portal.site import Portal
from integration.portal.cloud_portal import NEW, OLD, again
from support.neutralise_rules import shipped

pytestmark = pytest.mark.integration
RULES = shipped(NEW)


def look(portal: Portal, environment: str, name: str) -> dict[str, Any]:
    place = snapshot.Place(environment, ["portal"], [name], portal.root)
    return snapshot.take(place, "salt", RULES)


def differences(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    one, other = Environment.of("production", {"a": a}), Environment.of("preproduction", {"b": b})
    found = compare(one, other, rules()).as_dict()["found"]
    host = {"(not read)"}  # no PHP-FPM and no nginx here
    return {row["name"]: (row["a"], row["b"]) for row in found if row["name"] not in host}


def made_a_copy(portal: Portal, kept: Path) -> Portal:
    plan, _ = domain.plan_domain(portal, domain.DomainPolicy(NEW))
    plan.apply(portal.database, kept)
    neutralise.apply(portal.database, RULES, check=False)
    return again(portal)


def test_a_settled_and_neutralised_copy_differs_in_nothing_and_a_change_shows(portal: Portal, tmp_path: Path) -> None:
    original = made_a_copy_of_old(portal, tmp_path)
    before = look(original, "production", OLD)
    copy = made_a_copy(original, tmp_path / "kept")
    after = look(copy, "preproduction", NEW)
    assert after["neutral"]["options"]
    assert before["neutral"] == {}
    assert differences(before, after) == {}
    copy.database.execute("UPDATE b_option SET VALUE = 'Y' WHERE MODULE_ID = 'main' AND NAME = 'check_agents'")
    copy.database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('acme', 'api_token', 'hunter2')")
    copy.database.execute("DELETE FROM b_tasks LIMIT 1")
    (copy.root / "bitrix/php_interface/init.php").write_text("<?php // ours\nAddEventHandler('x', 'y', 'z');")
    changed = look(again(copy), "preproduction", NEW)
    assert differences(before, changed) == {
        "main.check_agents": (None, "Y"),
        "acme.api_token": (None, "(secret)"),
        "b_tasks": ("2", "1"),
        "bitrix/php_interface/init.php": (None, "a file of 2 lines"),
    }
    assert "hunter2" not in json.dumps(changed)


def made_a_copy_of_old(portal: Portal, kept: Path) -> Portal:
    """A portal in use under its old name: settled once, so that its own addresses are in order."""
    portal.settings_path.write_text(portal.settings_path.read_text().replace(f"http://{OLD}", f"https://{OLD}"))
    plan, _ = domain.plan_domain(again(portal), domain.DomainPolicy(OLD))
    plan.apply(portal.database, kept / "old")
    return again(portal)


def test_no_secret_of_the_portal_leaves_the_host(portal: Portal) -> None:
    told = json.dumps(look(portal, "production", OLD))
    for secret in ("cloud-secret", "cloud-key", "source-crypto-key", "dbconn-password", "LICENSE_KEY"):
        assert secret not in told


def test_settings_that_are_a_program_are_compared_as_a_whole(portal: Portal) -> None:
    path = portal.settings_path
    portal.settings  # noqa: B018 - read while it is data, as the connection needs it
    text = path.read_text()
    database = portal.database
    path.write_text(text.replace("'readonly' => true", "'readonly' => true, 'x' => function () {}", 1))
    fresh = again(portal)
    fresh.__dict__["database"] = database
    files = snapshot.files(fresh, snapshot.ValueDigester("salt", {}))
    assert ".settings.php" in files
    assert not any(name.startswith(".settings.php: ") for name in files)
