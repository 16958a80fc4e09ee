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
