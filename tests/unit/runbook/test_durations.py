"""Durations and sizes as people write and read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from encaja.runbook.durations import format_bytes, format_span, parse_span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172800),
        (45, 45),
        ("1.5h", 5400),
        ("0", None),
        ("x", None),
        ("5", None),
    ],
)
def test_spans_are_read(text: str | int, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="duration"):
            parse_span(text)
    else:
        assert parse_span(text) == timedelta(seconds=seconds)


def test_spans_and_sizes_are_shown_in_two_units() -> None:
    assert format_span(0.44) == "0.4 s"
    assert format_span(725) == "12 min 05 s"
    assert format_span(timedelta(hours=14, minutes=20)) == "14 h 20 min"
    assert format_span(timedelta(days=7, hours=1)) == "7 d 01 h"
    assert format_span(None) == "-"
    assert format_bytes(812_345) == "812 kB"
    assert format_bytes(30.2e9) == "30.2 GB"
    assert format_bytes(2e12) == "2.0 TB"
