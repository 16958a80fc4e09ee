"""Conflicts by field, and decisions about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from encaja.carryover.mapping.canonical import fingerprints
from encaja.carryover.mapping.identity_map import Conflict, IdentityMap
from encaja.carryover.merge import decide, decide_all
from encaja.carryover.settings import Rule
from encaja.cli.carryover import read_answers
from encaja.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with IdentityMap(tmp_path) as identities:
        for cloud, name, decision in (("1", "title", "open"), ("1", "name", "open"), ("2", "title", "open"),
                                      ("3", "title", "box")):  # fmt: skip
            identities.conflict(Conflict("lead", cloud, f"10{cloud}", name, "there", "here", decision))
    return tmp_path


def test_a_decision_is_durable_and_beside_the_writer(folder: Path) -> None:
    with IdentityMap(folder) as writer:
        with IdentityMap.for_answers(folder) as identities:
            body = decide_all(identities, read_answers(["lead:1.title=cloud", "lead:2=box"]))
        assert [(row["cloud"], row["field"], row["decided_for"]) for row in body["decided"]] == [
            ("1", "title", "cloud"),
            ("2", "title", "box"),
        ]
        assert [(row["cloud"], row["field"], row["value_in_cloud"], row["value_in_box"]) for row in body["open"]] == [
            ("1", "name", "there", "here")
        ]
        assert [(item.cloud, item.field, item.decision) for item in writer.answers()] == [
            ("1", "title", "cloud"),
            ("2", "title", "box"),
        ]
        writer.applied("lead", "1")
        assert [item.cloud for item in writer.answers()] == ["2"]


def test_all_means_what_is_open_and_nothing_that_is_decided(folder: Path) -> None:
    with IdentityMap.for_answers(folder) as identities:
        body = decide_all(identities, read_answers(["all=cloud"]))
        assert len(body["decided"]) == 3 and not body["open"]
        assert {item.cloud for item in identities.answers()} == {"1", "2"}


def test_of_decisions_about_nothing_none_is_noted(folder: Path) -> None:
    with IdentityMap.for_answers(folder) as identities:
        with pytest.raises(ConfigurationError, match=r"lead:3, deal:9:title"):
            decide_all(identities, read_answers(["lead:1=cloud", "lead:3=cloud", "deal:9.title=box"]))
        assert identities.answers() == []


def test_what_is_no_decision_is_reported_at_once() -> None:
    assert read_answers(["product_rows:D:4.rows=box", "deal:8.(record)=cloud"]) == [
        {"entity": "product_rows", "cloud": "D:4", "field": "rows", "side": "box"},
        {"entity": "deal", "cloud": "8", "field": "(record)", "side": "cloud"},
    ]
    with pytest.raises(ConfigurationError, match="lead:1, lead=cloud, lead:1=both"):
        read_answers(["lead:1", "lead=cloud", "lead:1=both", "lead:2=box"])


def test_a_decision_counts_whatever_the_rule_says_and_whenever_it_comes() -> None:
    want, have = {"title": "cloud", "name": "same"}, {"title": "box", "name": "same"}
    for answer, writes in (("cloud", ["title"]), ("box", [])):
        # The base says that nothing has changed in the cloud since: it was carried, and kept open, before.
        found = decide(want, have, fingerprints(want), fingerprints({"title": "old", "name": "same"}), rule=Rule.ASK,
                       cloud_is_newer=False, answers={"title": answer, "name": "cloud"})  # fmt: skip
        assert (found.write, found.conflicts) == (writes, {"title": answer})


BASE = fingerprints({"title": "old", "name": "old", "post": "old", "same": "x"})


def test_each_field_is_decided_by_who_changed_it() -> None:
    want = {"title": "cloud", "name": "old", "post": "cloud", "same": "x"}
    have = {"title": "old", "name": "box", "post": "box", "same": "x"}
    for rule, newer, expected in (
        (Rule.NEWEST, True, "cloud"),
        (Rule.NEWEST, False, "box"),
        (Rule.CLOUD, False, "cloud"),
        (Rule.BOX, True, "box"),
        (Rule.ASK, True, "open"),
    ):
        found = decide(want, have, BASE, BASE, rule=rule, cloud_is_newer=newer)
        assert "title" in found.write
        assert "name" in found.keep and "name" not in found.conflicts
        assert found.conflicts == {"post": expected}
        assert ("post" in found.write) == (expected == "cloud")
        assert found.same == ["same"]


def test_without_a_base_every_difference_is_a_conflict() -> None:
    found = decide({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {}, None, rule=Rule.ASK, cloud_is_newer=True)
    assert (found.conflicts, found.keep, found.same) == ({"b": "open"}, ["b"], ["a"])


def test_a_field_that_was_left_out_before_is_written_now() -> None:
    found = decide({"stage": "NEW"}, {"stage": None}, {}, {"title": "x"}, rule=Rule.BOX, cloud_is_newer=False)
    assert found.write == ["stage"]


def test_what_the_box_holds_otherwise_ever_since_is_left_alone() -> None:
    want, have = {"phone": "0034"}, {"phone": "+34"}
    found = decide(want, have, fingerprints(want), fingerprints(have), rule=Rule.CLOUD, cloud_is_newer=True)
    assert (found.write, found.conflicts) == ([], {})
