"""Versions of modules as their files say them, in any way of writing, and which are lower."""

from __future__ import annotations

from pathlib import Path

import pytest

from encaja.portal import module_versions

FORMS = {
    "a": '<?\n$arModuleVersion = array(\n\t"VERSION" => "26.100.0",\n\t"VERSION_DATE" => "2026-01-02 03:04:05");\n',
    "b": "<?php $arModuleVersion = ['VERSION_DATE' => '2026-03-02 00:00:00', 'VERSION' => '26.100.10'];",
    "broken": "<?php // nothing",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FORMS.items():
        path = tmp_path / "bitrix/modules" / name / "install/version.php"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "bitrix/modules/none").mkdir()
    main = tmp_path / module_versions.MAIN_FILE
    main.parent.mkdir(parents=True)
    main.write_text('<?\ndefine("SM_VERSION","26.250.100");\ndefine("SM_VERSION_DATE","2026-05-01 00:00:00");')
    return tmp_path


def test_every_form_is_read(root: Path) -> None:
    assert module_versions.read_versions(root) == {"a": "26.100.0", "b": "26.100.10", "main": "26.250.100"}
    assert module_versions.main_version(root) == "26.250.100"
    assert module_versions.newest_date(root) == "2026-05-01 00:00:00"
    assert module_versions.read_versions(root / "nowhere") == {}
    assert module_versions.newest_date(root / "nowhere") == ""


def test_versions_are_compared_as_numbers_and_only_where_both_have_one() -> None:
    have = {"main": "26.9.0", "crm": "26.100.0", "mine": "1.0"}
    other = {"main": "26.10.0", "crm": "26.99.9", "theirs": "1.0"}
    pairs = module_versions.older(have, other)
    assert pairs == {"main": ("26.9.0", "26.10.0")}
    many = {f"m{number}": ("1", "2") for number in range(7)} | pairs
    assert module_versions.shown(many).startswith("main 26.9.0 (26.10.0), m0 1 (2)")
    assert module_versions.shown(many).endswith(" and 3 more")
