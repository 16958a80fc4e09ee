"""Conflicts by field, and decisions about them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import fingerprints
from encaja.carryover.mapping.identity_map import Conflict, IdentityMap, Link
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.merge import Pair, Write, converge, decide, decide_all
from encaja.carryover.settings import Rule, make_settings
from encaja.carryover.source.reader import Record
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


HOOKS = {"cloud_webhook": "https://c.test/rest/1/cloud/", "box_webhook": "https://b.test/rest/1/box/"}
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
OLD = {"title": "old", "name": "old"}


class Scene:
    """A lead that was carried as ``OLD``, and a box that takes whatever is written."""

    def __init__(self, folder: Path, identities: IdentityMap, **settings: Any) -> None:
        made = make_settings({**HOOKS, "state": str(folder), **settings}, "job")
        nothing: Any = None
        zero = timedelta()
        self.map = identities
        self.context = Context(made, nothing, nothing, identities, nothing, zero, zero, since=NOON, restored="")
        self.map.done("lead", "1", "101", want=fingerprints(OLD), have=fingerprints(OLD))
        self.writes: list[list[str]] = []
        self.refuses = False

    def converge(self, want: dict[str, Any], have: dict[str, Any]) -> Link:
        """Converge the lead; returns what is known of it afterwards."""

        async def write(writes: list[Write]) -> list[dict[str, Any] | None]:
            self.writes += [one.fields for one in writes]
            return [None if self.refuses else have | {name: want[name] for name in one.fields} for one in writes]

        record = Record("lead", "1", {}, NOON, NOON)
        link = self.map.find("lead", ["1"])["1"]
        pair = Pair(record, "101", Wanted(want, want), have, link, link.have)
        asyncio.run(converge(self.context, [pair], write))
        return self.map.find("lead", ["1"])["1"]


@pytest.fixture
def identities(tmp_path: Path) -> Iterator[IdentityMap]:
    with IdentityMap(tmp_path) as opened:
        yield opened


def test_what_the_cloud_changed_is_written_and_what_the_box_changed_stays_its_change(
    tmp_path: Path, identities: IdentityMap
) -> None:
    scene = Scene(tmp_path, identities)
    want, have = {"title": "cloud", "name": "old"}, {"title": "old", "name": "box"}
    link = scene.converge(want, have)
    assert scene.writes == [["title"]]
    assert link.want == fingerprints(want)
    assert link.have == fingerprints({"title": "cloud", "name": "old"}), "the box's change is still one the next time"
    assert (identities.conflicts(), scene.context.tally.changed) == ([], {"lead": 1})


def test_a_refused_write_leaves_the_record_as_it_was(tmp_path: Path, identities: IdentityMap) -> None:
    scene = Scene(tmp_path, identities)
    scene.refuses = True
    link = scene.converge({"title": "cloud", "name": "old"}, OLD)
    assert (link.want, link.have) == (fingerprints(OLD), fingerprints(OLD))
    assert scene.context.tally.total == 0


def test_an_open_conflict_is_forgotten_when_both_sides_agree_again(tmp_path: Path, identities: IdentityMap) -> None:
    scene = Scene(tmp_path, identities, conflicts="ask")
    scene.converge({"title": "cloud", "name": "old"}, {"title": "box", "name": "old"})
    [conflict] = identities.conflicts()
    assert (conflict.field, conflict.cloud_value, conflict.box_value, conflict.decision) == (
        "title", "cloud", "box", "open",
    )  # fmt: skip
    assert scene.writes == []
    scene.converge({"title": "both", "name": "old"}, {"title": "both", "name": "old"})
    assert identities.conflicts() == []


def test_a_dry_run_lists_fields_and_remembers_nothing(tmp_path: Path, identities: IdentityMap) -> None:
    scene = Scene(tmp_path, identities)
    scene.context.dry_run = True
    link = scene.converge({"title": "cloud", "name": "old"}, OLD)
    assert scene.context.preview == [{"entity": "lead", "cloud": "1", "what": "changed", "fields": ["title"]}]
    assert (scene.writes, link.want) == ([], fingerprints(OLD))
