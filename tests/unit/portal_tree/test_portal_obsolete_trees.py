"""What is live, or would be after a roll-back, is never obsolete."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

module = importlib.import_module("ansible_collections.encaja.portal.plugins.modules.portal_obsolete_trees")


@pytest.fixture
def converge(home: Path) -> Any:
    return lambda remove=False: module.converge(home, home.parent / "restore", remove)


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


def test_each_tree_in_use_comes_with_its_reason(converge: Any) -> None:
    found = converge()
    assert found["obsolete"] == ["first", "portal"]
    assert found["databases"] == ["portal_second", "portal_third"]
    assert found["kept"] == [
        {"tree": "fourth", "why": "its restore is not done", "database": ""},
        {"tree": "holding", "why": "the holding page", "database": ""},
        {"tree": "second", "why": "the roll-back leads to it", "database": "portal_second"},
        {"tree": "third", "why": "live", "database": "portal_third"},
    ]
    assert not found["changed"]


def test_only_obsolete_trees_are_removed_also_one_that_was_half_gone(home: Path, converge: Any) -> None:
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
    assert converge()["obsolete"] == ["first", "portal"]


@pytest.mark.parametrize("text", ["<?php return [];", "<?php return ['connections' => ['value' => 7]];"])
def test_settings_that_name_no_database_stop_everything(home: Path, converge: Any, text: str) -> None:
    (home / "trees/second/bitrix/.settings.php").write_text(text)
    with pytest.raises(Exception, match="names no database"):
        converge(remove=True)
    assert (home / "trees/first").is_dir()


def test_nothing_live_means_nothing_is_obsolete(home: Path, converge: Any) -> None:
    (home / "www").unlink()
    with pytest.raises(Exception, match="the live one is unknown"):
        converge(remove=True)


def test_a_history_that_cannot_be_read_stops_everything(home: Path, converge: Any) -> None:
    (home.parent / "restore/switches.json").write_text("[{")
    with pytest.raises(Exception, match="cannot be read"):
        converge(remove=True)
