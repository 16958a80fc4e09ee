"""What is live, or would be after a roll-back, is never old."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest

UTILS = Path(__file__).parents[3] / "python" / "encaja" / "ansible" / "module_utils"


@pytest.fixture(scope="module")
def portal_old() -> Iterator[ModuleType]:
    """The module as Ansible packs it: the portal package below ansible.module_utils."""
    ansible.module_utils.__path__.append(str(UTILS))
    try:
        yield importlib.import_module("ansible_collections.encaja.portal.plugins.modules.portal_old")
    finally:
        ansible.module_utils.__path__.remove(str(UTILS))


@pytest.fixture
def converge(home: Path, portal_old: ModuleType) -> Any:
    return lambda remove=False: portal_old.converge(home, home.parent / "restore", remove)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Four restores: the third is live, the second is what a roll-back leads to, the fourth is under way."""
    home, work = tmp_path / "portal", tmp_path / "restore"
    for name in ("holding", "portal", "first", "second", "third", "fourth"):
        tree = home / "trees" / name
        (tree / "bitrix").mkdir(parents=True)
        if name not in ("holding", "fourth"):
            settings = f"<?php return ['connections' => ['value' => ['default' => ['database' => 'portal_{name}']]]];"
            (tree / "bitrix/.settings.php").write_text(settings)
    (home / "www").symlink_to("trees/third")
    for name in ("first", "second", "third", "fourth"):
        (work / name).mkdir(parents=True)
        (work / name / "journal.json").write_text(json.dumps({"phase": "stream" if name == "fourth" else "done"}))
    steps = [("portal", "first"), ("first", "second"), ("second", "third")]
    history = [{"before": str(home / "trees" / one), "after": str(home / "trees" / other)} for one, other in steps]
    (work / "switches.json").write_text(json.dumps(history))
    return home


def test_what_is_needed_says_why(converge: Any) -> None:
    found = converge()
    assert found["old"] == ["first", "portal"]
    assert found["databases"] == ["portal_second", "portal_third"]
    assert found["kept"] == [
        {"tree": "fourth", "why": "its restore is not done", "database": ""},
        {"tree": "holding", "why": "the holding page", "database": ""},
        {"tree": "second", "why": "the roll-back leads to it", "database": "portal_second"},
        {"tree": "third", "why": "live", "database": "portal_third"},
    ]
    assert not found["changed"]


def test_only_old_trees_are_removed_also_one_that_was_half_gone(home: Path, converge: Any) -> None:
    (home / "trees/.removed-zeroth/bitrix").mkdir(parents=True)
    assert converge(remove=True)["changed"]
    assert sorted(path.name for path in (home / "trees").iterdir()) == ["fourth", "holding", "second", "third"]
    assert not converge(remove=True)["changed"]


def test_after_a_roll_back_the_way_forward_is_kept(home: Path, converge: Any) -> None:
    (home / "www").unlink()
    (home / "www").symlink_to("trees/second")
    history = home.parent / "restore/switches.json"
    back = {"before": str(home / "trees/third"), "after": str(home / "trees/second")}
    history.write_text(json.dumps([*json.loads(history.read_text()), back]))
    assert converge()["old"] == ["first", "portal"]


@pytest.mark.parametrize("text", ["<?php return [];", "<?php return ['connections' => ['value' => 7]];"])
def test_settings_that_name_no_database_stop_everything(home: Path, converge: Any, text: str) -> None:
    (home / "trees/second/bitrix/.settings.php").write_text(text)
    with pytest.raises(Exception, match="names no database"):
        converge(remove=True)
    assert (home / "trees/first").is_dir()


def test_nothing_live_means_nothing_is_old(home: Path, converge: Any) -> None:
    (home / "www").unlink()
    with pytest.raises(Exception, match="nothing is known to be live"):
        converge(remove=True)


def test_a_history_that_cannot_be_read_stops_everything(home: Path, converge: Any) -> None:
    (home.parent / "restore/switches.json").write_text("[{")
    with pytest.raises(Exception, match="cannot be read"):
        converge(remove=True)
