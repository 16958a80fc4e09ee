"""The page of the contract is the one that the table gives, and the table is whole."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest

from encaja.portal.contract import CONTRACT, RELEASES, chosen
from encaja.portal.contract_probe import Assumption
from encaja.preflight.contract_page import page

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "contract.md").read_text() == page(), "run 'make docs'"


def test_ids_are_unique_and_of_one_group_after_the_other() -> None:
    ids = [one.id for one in CONTRACT]
    assert len(set(ids)) == len(ids) >= 30
    groups = [group for group, _ in groupby(ids, key=lambda name: name.partition("-")[0])]
    assert len(set(groups)) == len(groups)


@pytest.mark.parametrize("one", CONTRACT, ids=lambda one: one.id)
def test_an_assumption_says_what_from_where_and_for_whom(one: Assumption) -> None:
    assert set(one.says) == {"en", "es"}
    assert all(re.fullmatch(r"[A-Z\x2f].*\.|[a-zI].*\.", text) for text in one.says.values())
    assert one.source.endswith(".")
    assert set(one.releases) <= set(RELEASES)
    assert one.used
    for name in one.used:
        path = ROOT / "python" / "encaja" / Path(*name.split("."))
        assert path.with_suffix(".py").is_file() or path.is_dir(), f"{one.id} is used by no {name}"


def test_the_releases_of_the_source_are_those_of_the_table() -> None:
    for one in CONTRACT:
        named = re.findall(r"\d+\.\d+", one.source)
        assert not named or tuple(named) == one.releases, one.id


def test_only_takes_beginnings_of_ids() -> None:
    assert {one.id.partition("-")[0] for one in chosen(["rest", "page-licence"])} == {"rest", "page"}
    assert chosen([]) == list(CONTRACT)
