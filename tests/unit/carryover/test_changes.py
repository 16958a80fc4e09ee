from __future__ import annotations

import pytest

from encaja.carryover.mapping.canonical import canonical, fingerprint, fingerprints, wall_clock, whole
from encaja.carryover.merge import decide
from encaja.carryover.settings import Rule


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("5", 5, "number"),
        ("1234.50", 1234.5, "number"),
        ("0", None, "number"),
        (None, "", "any"),
        ([], None, "any"),
        ("2026-11-26T10:00:00+01:00", "2026-11-26T09:00:00+00:00", "moment"),
        ("2026-11-26T00:00:00+03:00", "2026-11-26", "day"),
        ("Y", True, "flag"),
        ("N", None, "flag"),
        ([3, 1], ["1", "3"], "names"),
        ("a\r\nb", "a\nb", "any"),
        (
            [{"id": 1, "typeId": "PHONE", "valueType": "WORK", "value": "+34 "}],
            [{"id": 9, "typeId": "PHONE", "valueType": "WORK", "value": "+34"}],
            "multi",
        ),
    ],
)
def test_two_ways_to_write_a_value_are_one(one: object, other: object, kind: str) -> None:
    assert canonical(one, kind) == canonical(other, kind)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("5", "50", "number"),
        ("a", "b", "any"),
        ("Y", "N", "flag"),
        ("2026-11-26T10:00:00+01:00", "2026-11-26T10:00:01+01:00", "moment"),
        ([1], [1, 2], "names"),
        ([{"typeId": "PHONE", "value": "1"}], [{"typeId": "PHONE", "valueType": "HOME", "value": "1"}], "multi"),
    ],
)  # fmt: skip
def test_what_differs_stays_different(one: object, other: object, kind: str) -> None:
    assert canonical(one, kind) != canonical(other, kind)


def test_prints_tell_records_apart_but_not_empty_fields() -> None:
    assert whole(fingerprints({"a": "1", "b": None})) == whole(fingerprints({"a": "1"}))
    assert whole(fingerprints({"a": "1"})) != whole(fingerprints({"b": "1"}))
    assert fingerprint(None) == ""
    assert wall_clock("2026-11-26 10:00:00") == wall_clock("2026-11-26T10:00:00+03:00")


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
