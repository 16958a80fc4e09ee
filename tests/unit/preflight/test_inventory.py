"""The inventory's faults: all of them at once, each with a cure."""

from pathlib import Path

import pytest

from encaja.preflight.inventory import faults, role_variables, shared_variables

ROLES = Path(__file__).parents[3] / "roles"
GROUPS = {
    "production": ["box"],
    "portal": ["box"],
    "database": ["box"],
    "cache": ["box"],
    "push": ["box"],
}


def complete() -> dict[str, object]:
    values: dict[str, object] = {
        name: "value" for name, spec in shared_variables().items() if spec.get("required") and spec["type"] == "str"
    }
    return {**values, "encaja_environment": "production"}


def said(variables: dict[str, object], groups: dict[str, list[str]] | None = None) -> list[str]:
    return [str(fault) for fault in faults({"box": variables}, groups or GROUPS, ROLES)]


def test_a_complete_inventory_has_no_fault() -> None:
    assert said(complete()) == []


@pytest.mark.parametrize("name", [n for n, s in shared_variables().items() if "portal" in s.get("required", ())])
def test_every_required_value_is_missed(name: str) -> None:
    variables = complete()
    del variables[name]
    (line,) = said(variables)
    assert line.startswith(f"box: {name} has no value (set it in the environment's")


def test_all_faults_come_at_once() -> None:
    variables = complete() | {
        "encaja_push_key": "change me",
        "web_domian": "x",
        "web_upload_max_mb": "lots",
        "encaja_environment": "prod",
    }
    lines = said(variables)
    assert len(lines) == 4
    assert "box: unknown variable 'web_domian' (did you mean 'web_domain'?)" in lines
    assert "box: web_upload_max_mb must be int, it is 'lots' (give a value of that type)" in lines
    assert "box: encaja_push_key still has its placeholder (set it in the environment's vault.yml)" in lines
    assert "box: encaja_environment is 'prod' (use one of production, preproduction, test)" in lines


def test_a_placeholder_is_told_where_the_value_is_not_needed_too() -> None:
    (line,) = said(complete() | {"encaja_archive_password": "Change me"})
    assert line.startswith(
        "box: encaja_archive_password still has its placeholder (set it in the environment's vault.yml, or"
    )


def test_the_same_fault_on_two_hosts_is_one_line() -> None:
    groups = {name: ["box", "bin"] for name in GROUPS}
    found = faults({"box": complete() | {"web_x": 1}, "bin": complete() | {"web_x": 1}}, groups, ROLES)
    assert [fault.where for fault in found] == ["box, bin"]


def test_a_wrong_secret_is_not_shown() -> None:
    (line,) = said(complete() | {"encaja_push_key": ["hunter2"]})
    assert "hunter2" not in line
    assert "must be str" in line


def test_templates_are_left_to_ansible() -> None:
    assert said(complete() | {"web_upload_max_mb": "{{ 2 * 512 }}"}) == []


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        (GROUPS | {"test": ["box"]}, "box: belongs to production and test"),
        (GROUPS | {"production": ["box", "spare"]}, "spare: has no function"),
        (GROUPS | {"portal": ["box", "lost"]}, "lost: belongs to no environment"),
        (GROUPS | {"push": []}, "production: a portal but no host in group 'push'"),
    ],
)
def test_groups_that_contradict_each_other(groups: dict[str, list[str]], line: str) -> None:
    assert any(one.startswith(line) for one in said(complete(), groups))


def test_every_role_describes_its_variables() -> None:
    known = role_variables(ROLES)
    assert known["web_domain"]["type"] == "str"
