"""What earlier passes say of a link."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from encaja.runbook.forecast.past_passes import link_of
from encaja.runbook.record.journal import Measure

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_a_tools_mean_rate_is_not_taken_for_the_rate_of_the_moment() -> None:
    samples = [
        Measure(1, MONDAY + timedelta(seconds=second), "h", "fetch", second * 100.0, 1000, "bytes", 1.0)
        for second in range(10)
    ]
    link = link_of(samples)
    assert link is not None
    assert link.rate == pytest.approx(100)
    assert set(link.rates[1:]) == {100.0}


def test_pause_between_two_attempts_is_not_the_links_fault() -> None:
    first = [Measure(1, MONDAY + timedelta(seconds=s), "h", "fetch", s * 100.0, 2000, "bytes", 0) for s in range(10)]
    later = MONDAY + timedelta(hours=5)
    second = [
        Measure(2, later + timedelta(seconds=s), "h", "fetch", 1000 + s * 100.0, 2000, "bytes", 0) for s in range(11)
    ]
    link = link_of(first + second)
    assert link is not None
    assert link.rate == pytest.approx(100)


def test_time_after_the_last_byte_is_not_the_links() -> None:
    samples = [
        Measure(1, MONDAY + timedelta(seconds=s), "h", "fetch", min(s, 10) * 100.0, 1000, "bytes", 0) for s in range(60)
    ]
    link = link_of(samples)
    assert link is not None
    assert link.rate == pytest.approx(100)
