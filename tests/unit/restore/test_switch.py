"""The link to the live tree, there and back."""

from __future__ import annotations

import pytest

from encaja.restore import switch
from encaja.restore.errors import BackupError


def test_switch_and_back(tmp_path):
    link, work = tmp_path / "www", tmp_path / "work"
    for name in ("one", "two", "three"):
        (tmp_path / "trees" / name).mkdir(parents=True)
    one, two, three = (tmp_path / "trees" / name for name in ("one", "two", "three"))
    assert switch.switch(link, one, work).before is None
    marker = tmp_path / "reloaded"
    assert switch.switch(link, two, work, (("touch", str(marker)),)).before == str(one)
    assert marker.exists() and str(link.readlink()) == "trees/two"
    assert switch.switch(link, two, work).before == str(one)
    switch.switch(link, three, work)
    assert switch.roll_back(link, work).after == str(two)
    three.rmdir()
    with pytest.raises(BackupError, match="is gone"):
        switch.roll_back(link, work)
    with pytest.raises(BackupError, match="ended with 1"):
        switch.switch(link, one, work, (("false",),))


def test_no_way_back_is_known(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "www").symlink_to("a")
    with pytest.raises(BackupError, match="no earlier tree"):
        switch.roll_back(tmp_path / "www", tmp_path / "work")


def test_the_way_back_is_noted_before_the_link_is_switched(tmp_path, monkeypatch):
    link, work = tmp_path / "www", tmp_path / "work"
    for name in ("one", "one-2"):
        (tmp_path / "trees" / name).mkdir(parents=True)
    one, two = tmp_path / "trees" / "one", tmp_path / "trees" / "one-2"
    switch.switch(link, one, work)

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as power:
        power.setattr(switch, "link_atomically", cut)
        with pytest.raises(KeyboardInterrupt):
            switch.switch(link, two, work)
    assert link.resolve() == one, "nothing was switched"
    assert switch.switch(link, two, work).before == str(one)
    ran = tmp_path / "ran"
    assert switch.roll_back(link, work, (("touch", str(ran)),)).after == str(one)
    assert ran.exists()


def test_a_switch_that_was_cut_off_after_the_link_runs_what_follows_once_more(tmp_path):
    link, work = tmp_path / "www", tmp_path / "work"
    (tmp_path / "trees" / "one").mkdir(parents=True)
    (tmp_path / "trees" / "two").mkdir(parents=True)
    one, two = tmp_path / "trees" / "one", tmp_path / "trees" / "two"
    switch.switch(link, one, work)
    with pytest.raises(BackupError, match="ended with 1"):
        switch.switch(link, two, work, (("false",),))
    ran = tmp_path / "ran"
    again = switch.switch(link, two, work, (("touch", str(ran)),))
    assert (again.before, again.after, ran.exists()) == (str(one), str(two), True)


def test_a_document_root_that_is_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "tree").mkdir()
    with pytest.raises(BackupError, match="is a folder, not a symbolic link"):
        switch.switch(tmp_path / "www", tmp_path / "tree", tmp_path / "work")
    assert (tmp_path / "www").is_dir() and not (tmp_path / "www").is_symlink()


@pytest.mark.parametrize(
    ("dbconn", "is_in_use"),
    [
        (None, False),
        ("", True),
        ('define("NO_AGENT_CHECK", true);\n', True),
        ('define("NO_AGENT_CHECK", true);\ndefine("DisableEventsCheck", true);\n', False),
    ],
)
def test_a_portal_that_is_not_frozen_is_in_use(tmp_path, dbconn, is_in_use):
    assert not switch.is_in_use(tmp_path / "www")
    (tmp_path / "tree/bitrix/php_interface").mkdir(parents=True)
    (tmp_path / "www").symlink_to("tree")
    if dbconn is not None:
        (tmp_path / "tree/bitrix/php_interface/dbconn.php").write_text(f"<?php\n{dbconn}")
    assert switch.is_in_use(tmp_path / "www") is is_in_use
