"""Findings about the licence: near its end, past it, with too few users, and where nothing can be read."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.portal import checks_licence, fastcgi, licence, restored, users, verify
from encaja.portal.probe_page import Answer

TODAY = datetime.date(2026, 6, 1)


def tree(root: Path, versions: dict[str, str], date: str = "2026-05-12 10:00:00") -> None:
    for name, version in versions.items():
        main = name == "main"
        path = root / "bitrix/modules" / name / ("classes/general/version.php" if main else "install/version.php")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"<?php define('SM_VERSION', '{version}'); define('SM_VERSION_DATE', '{date}');" if main
            else f"<?php $arModuleVersion = array(\"VERSION\" => \"{version}\", \"VERSION_DATE\" => \"{date}\");"
        )  # fmt: skip


def scene(root: Path, status: int = 200, modules: tuple[str, ...] = ("main", "crm"), **options: str) -> Any:
    stored = {("main", name.lower()): value for name, value in options.items()}

    def get(path: str) -> Answer:
        headers = {"location": licence.COUPON} if status == 302 else {}
        licence.refuse_activation(path, status, headers)
        return Answer(status, headers, b"", 0.0)

    def option(module: str, name: str, default: str = "") -> str:
        return stored.get((module, name.lower()), default)

    database = SimpleNamespace(name="portal", count=lambda *_: 0)
    portal = SimpleNamespace(
        root=root, option=option, options=stored, database=database, modules=frozenset(modules), sites=[{}],
        text=lambda path: path.read_text() if path.exists() else "", state=dict, note=lambda **_: None,
    )  # fmt: skip
    return SimpleNamespace(portal=portal, get=get, copy=SimpleNamespace(is_copy=False), fpm_socket=Path("/none"),
                           policy=SimpleNamespace(domain="crm.acme.es"))  # fmt: skip


def ends(days: int) -> dict[str, str]:
    return {licence.END_OPTION: str(TODAY + datetime.timedelta(days=days))}


@pytest.mark.parametrize(
    ("days", "status", "state", "severity", "words"),
    [
        (31, 200, "ok", None, "in 31 days"),
        (30, 200, "found", None, "shuts the box on 2026-07-16"),
        (15, 200, "found", None, "in 15 days"),
        (0, 200, "found", None, "in 0 days"),
        (-1, 200, "found", "error", "in 14 days"),
        (-14, 200, "found", "error", "in 1 days"),
        (-15, 302, "found", "error", "was shut on 2026-06-01"),
        (-15, 200, "found", None, "not bound to a time"),
    ],
)
def test_the_end_warns_at_thirty_and_fifteen_days_and_is_an_error_afterwards(
    tmp_path: Path, days: int, status: int, state: str, severity: str | None, words: str
) -> None:
    finding = checks_licence.end(scene(tmp_path, status, **ends(days)), TODAY)
    assert (finding.state, finding.severity) == (state, severity)
    assert words in finding.evidence
    assert (finding.cure == "renew it now") == (days <= 15 and not (days < -14 and status == 200))


@pytest.mark.parametrize(
    ("option", "check"),
    [
        (licence.END_OPTION, checks_licence.end),
        (licence.USERS_OPTION, checks_licence.user_limit),
        (licence.SITES_OPTION, checks_licence.edition),
    ],
)
def test_what_cannot_be_read_is_named_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, check: Any
) -> None:
    monkeypatch.setattr(users, "read_users", lambda _: [])
    tree(tmp_path, {"main": "26.250.0", "crm": "26.250.0"})
    options = {licence.END_OPTION: "2099-12-31", licence.USERS_OPTION: "50", licence.SITES_OPTION: "2"}
    finding = check(scene(tmp_path, **{**options, option: "<encoded>"}))
    assert "'<encoded>'" in finding.evidence
    others = {checks_licence.end, checks_licence.user_limit, checks_licence.edition} - {check}
    assert {other(scene(tmp_path, **{**options, option: "<encoded>"})).state for other in others} == {"ok"}
    assert checks_licence.end(scene(tmp_path)).state == "unknown"


def test_a_clock_that_cannot_be_right_is_named_before_any_days(tmp_path: Path) -> None:
    tree(tmp_path, {"main": "26.250.0", "crm": "26.250.0"}, date="2026-05-12 10:00:00")
    assert "days" in checks_licence.end(scene(tmp_path, **ends(20)), TODAY).evidence
    finding = checks_licence.end(scene(tmp_path, **ends(20)), datetime.date(2020, 1, 1))
    assert finding.severity == "error"
    assert "clock says 2020-01-01, but the newest module was published on 2026-05-12" in finding.evidence


def test_pages_that_lead_to_the_activation_are_found_and_so_is_any_check_that_meets_it(tmp_path: Path) -> None:
    assert checks_licence.opens(scene(tmp_path)).state == "ok"
    shut = scene(tmp_path, 302)
    finding = checks_licence.opens(shut)
    assert finding.state == "found"
    assert licence.COUPON in finding.evidence
    check = verify.Check("web-x", {"en": "x"}, "error", "", lambda here: verify.ok(str(here.get("/").status)))
    assert verify.run_check(check, shut)["state"] == "found"
    for headers in ({"location": f"https://crm.acme.es{licence.COUPON}?x=1"}, {"location": licence.COUPON}):
        with pytest.raises(licence.ShutError):
            licence.refuse_activation("/auth/", 302, headers)
    licence.refuse_activation("/auth/", 302, {"location": "/stream/"})
    licence.refuse_activation("/auth/", 200, {})


def test_a_key_that_pages_have_not_loaded_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(key: str) -> None:
        monkeypatch.setattr(fastcgi, "run_php", lambda *_: hashlib.sha256(key.encode()).hexdigest())

    file = tmp_path / licence.KEY_FILE
    file.parent.mkdir()
    loaded("BOX")
    assert "no key" in checks_licence.key_present(scene(tmp_path)).evidence
    file.write_text("<? $LICENSE_KEY = 'DEMO'; ?>")
    assert checks_licence.key_present(scene(tmp_path)).state == "found"
    copy = scene(tmp_path)
    copy.copy.is_copy = True
    assert checks_licence.key_present(copy).state == checks_licence.end(copy).state == "ok"
    file.write_text("<? $LICENSE_KEY = 'BOX'; ?>")
    assert checks_licence.key_present(scene(tmp_path)).state == "ok"
    loaded("CLOUD")
    assert "another key loaded" in checks_licence.key_present(scene(tmp_path)).evidence


@pytest.mark.parametrize(("limit", "state"), [("0", "ok"), ("3", "ok"), ("2", "found"), ("", "unknown")])
def test_active_employees_against_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, state: str
) -> None:
    people = [
        SimpleNamespace(id=number, employee=employee, reason=reason)
        for number, (employee, reason) in enumerate(
            [(True, "ok"), (True, "network"), (True, "recovery"), (True, "inactive"), (False, "ok")]
        )
    ]
    monkeypatch.setattr(users, "read_users", lambda _: people)
    finding = checks_licence.user_limit(scene(tmp_path, **{licence.USERS_OPTION: limit}))
    assert finding.state == state
    assert "3 active employees" in finding.evidence
    assert ("1 will not be let in" in finding.evidence) == (state == "found")


def test_modules_and_sites_that_the_edition_lacks_are_named(tmp_path: Path) -> None:
    tree(tmp_path, {"main": "26.250.0", "crm": "26.250.0"})
    name = {"~license_name": "Business", licence.SITES_OPTION: "1"}
    fine = checks_licence.edition(scene(tmp_path, modules=("main", "crm", "bitrix24"), **name))
    assert (fine.state, fine.evidence.startswith("edition Business")) == ("ok", True)
    lost = scene(tmp_path, modules=("main", "crm", "sign"), **name)
    lost.portal.sites = [{}, {}]
    finding = checks_licence.edition(lost)
    assert finding.state == "people"
    assert "2 active sites, the licence is for 1" in finding.evidence
    assert "does not have: sign (0 of their agents never run)" in finding.evidence


def record(root: Path, **more: object) -> None:
    names = ("stamp", "archive", "run", "database", "host")
    said = {**dict.fromkeys(names, "x"), "restored": "2026-05-20T10:00:00+00:00", **more}
    (root / restored.RECORD).write_text(json.dumps(said))


def test_code_older_than_the_database_is_an_error_and_a_box_behind_a_warning(tmp_path: Path) -> None:
    tree(tmp_path, {"main": "26.250.0", "crm": "26.250.100"})
    assert "noted none" in checks_licence.versions(scene(tmp_path)).evidence
    record(tmp_path, modules={"main": "26.250.0", "crm": "26.250.100"}, box_modules={"main": "26.250.0"})
    assert checks_licence.versions(scene(tmp_path)).state == "ok"
    record(tmp_path, modules={"main": "26.250.0"}, box_modules={"main": "25.100.0", "crm": "26.250.99"})
    finding = checks_licence.versions(scene(tmp_path))
    assert (finding.state, finding.severity) == ("found", "warning")
    assert "behind: main 25.100.0 (26.250.0), crm 26.250.99 (26.250.100)" in finding.evidence
    record(tmp_path, modules={"main": "26.250.0", "crm": "26.300.0"})
    finding = checks_licence.versions(scene(tmp_path))
    assert (finding.state, finding.severity) == ("found", None)
    assert "older than the database that came with newer: crm 26.250.100 (26.300.0)" in finding.evidence


def test_steps_of_updates_that_are_left_are_counted(tmp_path: Path) -> None:
    here = scene(tmp_path, **{"~update_autocheck": "Y"})
    assert checks_licence.leftover_steps(here).evidence == "0 agents and 1 options of updates under way"
    here.portal.database.count = lambda *_: 2
    assert checks_licence.leftover_steps(here).state == "found"
