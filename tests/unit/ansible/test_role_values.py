"""A role's values as its templates see them, before it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible import constants

from encaja.ansible.role_values import FILES, folder, read, read_all, scope
from encaja.errors import EncajaError


def test_defaults_lie_under_the_hosts_values_and_these_under_the_roles_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, text in (("defaults", "web_a: 1\nweb_b: 1\nweb_c: 1\n"), ("vars", "web_c: 3\n")):
        (tmp_path / "web" / kind).mkdir(parents=True)
        (tmp_path / "web" / kind / "main.yml").write_text(text)
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    assert scope("web", {"web_b": 2, "web_c": 2, "other": 2}) == {"web_a": 1, "web_b": 2, "web_c": 3, "other": 2}


def test_what_was_read_before_there_were_workers_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FILES:
        (tmp_path / "web" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "web" / name).write_text("web_a: 1\n")
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    read_all()
    shutil.rmtree(tmp_path / "web")
    (tmp_path / "web").mkdir()
    assert scope("web", {}) == {"web_a": 1}
    assert [read(folder("web") / name) for name in FILES] == [{"web_a": 1}] * 4


def test_a_role_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_ROLES_PATH", [str(tmp_path)])
    with pytest.raises(EncajaError, match="there is no role 'wbe'"):
        scope("wbe", {})
