from __future__ import annotations

import pytest

from encaja.carryover.mapping.canonical import canonical, fingerprint, fingerprints, wall_clock, whole


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
