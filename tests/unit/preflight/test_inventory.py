"""The inventory's faults: all of them at once, each with a cure."""

from pathlib import Path

import pytest

from encaja.preflight.inventory import (
    faults,
    licence_warnings,
    requirement_faults,
    role_variables,
    shared_variables,
)

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


@pytest.mark.parametrize("name", ["database_password", "restore_url", "carry_over_cloud_webhook", "tls_key"])
def test_a_secret_that_is_no_text_is_not_shown(name: str) -> None:
    (line,) = said(complete() | {name: 47114711})
    assert line == f"box: {name} must be str, it is int (give a value of that type)"


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
    assert "box: web_upload_max_mb must be int, it is str (give a value of that type)" in lines
    assert "box: encaja_push_key still has its placeholder (set it in the environment's vault.yml)" in lines
    assert "box: encaja_environment is 'prod' (use one of production, preproduction, test)" in lines


def test_a_placeholder_is_told_where_the_value_is_not_needed_too() -> None:
    (line,) = said(complete() | {"encaja_archive_password": "Change me"})
    assert line.startswith(
        "box: encaja_archive_password still has its placeholder (set it in the environment's vault.yml, or"
    )


def test_the_domain_of_the_shipped_inventories_is_a_placeholder() -> None:
    groups = {name: ["portal.example.com"] for name in GROUPS}
    values = complete() | {
        "encaja_domain": "portal.example.com",
        "encaja_mail_from": "portal@example.com",
        "encaja_mail_relay_host": "smtp.notexample.com",
    }
    assert [fault.what for fault in faults({"portal.example.com": values}, groups, ROLES)] == [
        "the host's name is still a placeholder",
        "encaja_domain still has its placeholder",
        "encaja_mail_from still has its placeholder",
    ]


def test_the_same_fault_on_two_hosts_is_one_line() -> None:
    groups = GROUPS | {"production": ["box", "bin"], "telephony": ["bin"]}
    found = faults({"box": complete() | {"web_x": 1}, "bin": complete() | {"web_x": 1}}, groups, ROLES)
    assert [fault.where for fault in found] == ["box, bin"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encaja_push_key", ["hunter2"]),
        ("backup_environment", "AWS_SECRET_ACCESS_KEY=hunter2"),
        ("backup_environment", ["hunter2"]),
        ("backup_ssh_key", {"key": "hunter2"}),
    ],
)
def test_a_wrong_secret_is_not_shown(name: str, value: object) -> None:
    (line,) = said(complete() | {name: value})
    assert "hunter2" not in line
    assert f"{name} must be" in line


def test_templates_are_left_to_ansible() -> None:
    assert said(complete() | {"web_upload_max_mb": "{{ 2 * 512 }}"}) == []


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        (GROUPS | {"test": ["box"]}, "box: belongs to production and test"),
        (GROUPS | {"production": ["box", "spare"]}, "spare: has no function"),
        (GROUPS | {"portal": ["box", "lost"]}, "lost: belongs to no environment"),
        (GROUPS | {"push": []}, "production: a portal but no host in group 'push'"),
        (
            GROUPS | {"production": ["box", "bin"], "database": ["box", "bin"]},
            "production: 2 hosts in group 'database' (box, bin), only the first would be used",
        ),
    ],
)
def test_groups_that_contradict_each_other(groups: dict[str, list[str]], line: str) -> None:
    assert any(one.startswith(line) for one in said(complete(), groups))


def test_a_database_in_each_environment_is_none_too_many() -> None:
    groups = {name: ["box", "bin"] for name in GROUPS} | {"production": ["box"], "test": ["bin"]}
    assert faults({"box": complete(), "bin": complete() | {"encaja_environment": "test"}}, groups, ROLES) == []


def test_a_placeholder_is_told_once_with_one_cure_whoever_needs_it() -> None:
    groups = GROUPS | {"production": ["box", "bin"], "telephony": ["bin"]}
    values = complete() | {"encaja_backup_password": "change me"}  # telephony has no use for it
    (fault,) = faults({"box": values, "bin": values}, groups, ROLES)
    assert str(fault) == (
        "box, bin: encaja_backup_password still has its placeholder (set it in the environment's vault.yml)"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("portl_cache_store", "portal_cache_store"),
        ("potral_cache_stor", "portal_cache_store"),
        ("portalcache_store", "portal_cache_store"),
        ("tsl_certificate", "tls_certificate"),
        ("encja_domain", "encaja_domain"),
        ("cary_over_mode", "carry_over_mode"),
    ],
)
def test_a_misspelt_prefix_is_told_with_the_name_that_was_meant(name: str, meant: str) -> None:
    (line,) = said(complete() | {name: "files"})
    assert line == f"box: unknown variable {name!r} (did you mean {meant!r}? If it is your own, rename it)"


@pytest.mark.parametrize(
    "name",
    [
        "company_name",
        "db_domain",
        "my_domain",
        "main_from",
        "web2_domain",
        "php8_packages",
        "mysql_packages",
        "lab_url",
    ],
)
def test_an_inventorys_own_variables_are_its_own(name: str) -> None:
    assert said(complete() | {name: "files"}) == []


def require(step: str, *names: str, brought_by: str = "") -> dict[str, object]:
    return {"step": step, "names": list(names), "hosts": ["box"], "brought_by": brought_by}


def test_what_steps_require_is_told_once_with_all_that_need_it() -> None:
    wanted = [require("prepare", "encaja_cloud_webhook", "hook"), require("carry", "encaja_cloud_webhook", "hook")]
    (found,), warnings = requirement_faults({"box": {}}, wanted)
    assert str(found) == (
        "box: encaja_cloud_webhook has no value, and the run-book's steps prepare, carry cannot run without it "
        "(set it in the environment's vault.yml)"
    )
    assert warnings == []
    assert requirement_faults({"box": {"hook": "https://there.test/"}}, wanted) == ([], [])


def test_what_an_earlier_step_brings_is_warned_of() -> None:
    found, (warning,) = requirement_faults(
        {"box": {}}, [require("restore", "encaja_backup_source", brought_by="order")]
    )
    assert found == []
    assert str(warning) == (
        "box: encaja_backup_source has no value yet, step restore will need it "
        "(set it in the environment's vault.yml when step order is done)"
    )


def test_an_environment_that_a_step_works_on_and_that_is_not_there_is_warned_of() -> None:
    wanted = [
        {"step": "copy", "absent": ["test"]},
        {"step": "refresh", "absent": ["test"]},
        {"step": "x", "absent": []},
    ]
    found, (warning,) = requirement_faults({"box": {}}, wanted)
    assert found == []
    assert str(warning).startswith("test: no such hosts here, steps copy, refresh will need them (give their inventory")


def test_a_licence_key_in_more_environments_than_it_covers_is_warned_of_and_not_shown() -> None:
    groups = {name: ["a", "b", "c"] for name in GROUPS} | {"production": ["a"], "preproduction": ["b"], "test": ["c"]}
    keys = {"a": "SESAME", "b": "SESAME", "c": "OTHER"}
    (warning,) = licence_warnings(keys, {}, groups)
    assert warning.where == "production, preproduction"
    assert warning.what.startswith("one licence key for 2 installations, it covers 1")
    assert "SESAME" not in str(warning)
    assert licence_warnings(keys, {"a": 2}, groups) == []
    assert licence_warnings({"a": "SESAME", "b": "OTHER"}, {}, groups) == []


def test_every_role_describes_its_variables() -> None:
    known = role_variables(ROLES)
    assert known["web_domain"]["type"] == "str"
