"""A role's values as its templates see them, before it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible import constants

from encaja.ansible.role_values import FILES, folder, lists, read, read_all, scope
from encaja.errors import EncajaError
from support.neutralise_rules import harmless, shipped


def test_defaults_lie_under_the_hosts_values_and_these_under_the_roles_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, text in (("defaults", "shop_a: 1\nshop_b: 1\nshop_c: 1\n"), ("vars", "shop_c: 3\n")):
        (tmp_path / "shop" / kind).mkdir(parents=True)
        (tmp_path / "shop" / kind / "main.yml").write_text(text)
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    assert scope("shop", {"shop_b": 2, "shop_c": 2, "other": 2}) == {"shop_a": 1, "shop_b": 2, "shop_c": 3, "other": 2}


def test_what_was_read_before_there_were_workers_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FILES:
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text("shop_a: 1\n")
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    read_all()
    shutil.rmtree(tmp_path / "shop")
    (tmp_path / "shop").mkdir()
    assert scope("shop", {}) == {"shop_a": 1}
    assert [read(folder("shop") / name) for name in FILES] == [{"shop_a": 1}] * 4


def test_the_lists_of_a_role_are_joined_by_the_names_of_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop/files/prices").mkdir(parents=True)
    for name, text in (("b", "[3]"), ("a", "[1, 2]")):
        (tmp_path / f"shop/files/prices/{name}.yml").write_text(text)
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    assert lists("shop", "prices") == [1, 2, 3]
    assert len(lists("neutralise", "rules")) == len(shipped()) - 1
    assert lists("neutralise", "harmless") == harmless()


def test_a_role_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    with pytest.raises(EncajaError, match="there is no role 'wbe'"):
        scope("wbe", {})
