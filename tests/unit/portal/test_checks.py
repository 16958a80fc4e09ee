from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.errors import EncajaError
from encaja.portal import checks_case, checks_server, verify
from encaja.portal.verify import Check, found, ok, people

CHECKS = [*checks_case.CHECKS, *checks_server.CHECKS]


class Notes:
    """A portal that only remembers."""

    def __init__(self, **notes: Any) -> None:
        self.notes = notes
        self.database = SimpleNamespace(name="portal")

    def state(self) -> dict[str, Any]:
        return dict(self.notes)

    def note(self, **values: Any) -> None:
        self.notes.update(values)


def scene(**notes: Any) -> Any:
    return SimpleNamespace(portal=Notes(**notes), policy=SimpleNamespace(domain="crm.acme.es"))


def check(name: str, probe: Any, severity: Any = "error", part: str = "") -> Check:
    return Check(name, {"en": name, "es": name}, severity, "mend it", probe, part)


def test_every_danger_and_bug_of_the_case_has_a_check() -> None:
    names = [item.id for item in CHECKS]
    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("case-")]) == 10
    assert len([name for name in names if name.startswith("bug-")]) == 3
    for item in CHECKS:
        assert item.title["en"]
        assert item.title["es"]
        assert item.cure
        assert item.part in {"", "domain", "pull", "users", "cloud", "work", "search"}


def test_only_errors_that_are_found_make_a_difference() -> None:
    checks = [
        check("a-ok", lambda _: ok("fine")),
        check("b-found", lambda _: found("bad")),
        check("c-warned", lambda _: found("slow"), "warning"),
        check("d-people", lambda _: people("buy it")),
    ]
    body = verify.verify(scene(), checks)
    assert body["differences"] == 1
    assert body["counts"] == {"ok": 1, "found": 2, "people": 1}
    assert verify.verify(scene(), checks, ["a", "d"])["differences"] == 0


def test_cured_is_what_was_found_before_and_is_no_more() -> None:
    here = scene(cured={"domain": "2026-01-02"})
    answers = [found("no domain"), ok("a domain")]
    one = check("bug-links", lambda _: answers.pop(0), part="domain")
    other = check("case-other", lambda _: ok("never was"), part="domain")
    assert [item["state"] for item in verify.verify(here, [one, other])["checks"]] == ["found", "ok"]
    second = verify.verify(here, [one, other])["checks"]
    assert [item["state"] for item in second] == ["cured", "ok"]
    assert second[0]["cured"] == "2026-01-02"


def test_a_look_that_leaves_no_trace() -> None:
    here = scene()
    verify.verify(here, [check("a", lambda _: found("bad"))], remember=False)
    assert here.portal.notes == {}


@pytest.mark.parametrize(("severity", "state"), [("error", "found"), ("warning", "unknown")])
def test_a_probe_that_fails_is_a_finding_and_not_a_crash(severity: str, state: str) -> None:
    def probe(_: Any) -> Any:
        raise EncajaError("no answer", "pool")

    result = verify.run_check(check("a", probe, severity), scene())
    assert result["state"] == state
    assert "no answer" in result["evidence"]


@pytest.mark.parametrize(
    ("text", "value"), [("1024M", 2**30), ("4096k", 2**22), ("-1", 2**62), ("10000", 10000), ("1G", 2**30), ("x", 0)]
)
def test_sizes_of_php_ini(text: str, value: int) -> None:
    assert checks_server.size(text) == value


GOOD_INI = {
    "max_input_vars": "10000", "max_file_uploads": "100", "post_max_size": "1024M", "upload_max_filesize": "1024M",
    "memory_limit": "512M", "default_socket_timeout": "60", "pcre.backtrack_limit": "1000000",
    "realpath_cache_size": "4096k", "short_open_tag": "1", "file_uploads": "1", "allow_url_fopen": "1",
    "display_errors": "", "enable_dl": "", "expose_php": "", "mail.add_x_header": "0", "default_charset": "UTF-8",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "group"),
    [
        ("max_input_vars", "4000", "limits"),
        ("memory_limit", "128M", "limits"),
        ("short_open_tag", "", "switches"),
        ("display_errors", "1", "switches"),
        ("default_charset", "windows-1251", "charset"),
        ("mbstring.func_overload", "2", "charset"),
    ],
)
def test_php_settings_that_the_vendor_refuses(name: str, value: str, group: str) -> None:
    good = SimpleNamespace(fpm={"ini": GOOD_INI}, cli={"ini": GOOD_INI})
    assert checks_server.ini_probe(group)(good).state == "ok"
    bad = SimpleNamespace(fpm={"ini": {**GOOD_INI, name: value}}, cli={"ini": GOOD_INI})
    finding = checks_server.ini_probe(group)(bad)
    assert finding.state == "found"
    assert f"pages: {name} is {value or 'empty'}" in finding.evidence


def test_database_variables_that_the_checker_refuses() -> None:
    good = {
        "sql_mode": "", "innodb_strict_mode": "OFF", "innodb_default_row_format": "dynamic", "version": "11.8",
        "default_storage_engine": "InnoDB", "character_set_server": "utf8mb4", "max_allowed_packet": "67108864",
    }  # fmt: skip
    assert checks_server.database_settings(SimpleNamespace(variables=good)).state == "ok"  # type: ignore[arg-type]
    bad = SimpleNamespace(variables={**good, "sql_mode": "STRICT_TRANS_TABLES"})
    assert "sql_mode is STRICT_TRANS_TABLES" in checks_server.database_settings(bad).evidence  # type: ignore[arg-type]


def test_installers_left_behind(tmp_path: Path) -> None:
    here: Any = SimpleNamespace(portal=SimpleNamespace(root=tmp_path))
    assert checks_server.install_scripts(here).state == "ok"
    (tmp_path / "bitrix").mkdir()
    (tmp_path / "bitrix" / "restore.php").write_text("<?php")
    assert checks_server.install_scripts(here).evidence == "left behind: bitrix/restore.php"
