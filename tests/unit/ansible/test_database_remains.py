"""Module ``database_remains``: production is never purged, and a server that does not answer is one line."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError

database_remains = importlib.import_module("ansible_collections.encaja.portal.plugins.modules.database_remains")


def module(folder: Path, *, check_mode: bool = False) -> Any:
    params = {"marker": str(folder / "environment"), "socket": str(folder / "no.sock")}
    return SimpleNamespace(params=params, check_mode=check_mode)


@pytest.mark.parametrize("marked", [None, "", "production\n"])
def test_only_a_copy_is_purged(marked: str | None, tmp_path: Path) -> None:
    if marked is not None:
        (tmp_path / "environment").write_text(marked)
    with pytest.raises(EncajaError, match="only a copy is purged"):
        database_remains.purge(module(tmp_path))


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "environment").write_text("test\n")
    assert database_remains.purge(module(tmp_path, check_mode=True)) == {"changed": False, "tables": 0}
    with pytest.raises(EncajaError, match=r"no\.sock: does not answer"):
        database_remains.purge(module(tmp_path))
