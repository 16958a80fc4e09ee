"""Pictures of a transfer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from encaja.runbook.record.journal import Measure
from encaja.runbook.report import charts, pass_facts

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_long_downloads_are_thinned_for_their_picture_and_attempts_stay_apart() -> None:
    samples = [
        Measure(1 if second < 5000 else 2, MONDAY + timedelta(seconds=second), "h", "fetch", second, 9999, "bytes", 2.0)
        for second in range(10_000)
    ]
    shown = charts.thinned(samples)
    assert len(shown) <= 245
    assert shown[-1].done == samples[-1].done
    assert {item.rate for item in shown} == {2.0}
    assert [item.attempt for item in shown] == sorted(item.attempt for item in shown)


@pytest.mark.parametrize(("seconds", "unit"), [(40, "seconds"), (1800, "minutes"), (40_000, "hours")])
def test_picture_of_a_transfer_counts_in_what_people_would(seconds: int, unit: str) -> None:
    samples = [
        Measure(1, MONDAY + timedelta(seconds=seconds * part / 9), "h", "fetch", part, 9, "bytes", 2.0)
        for part in range(10)
    ]
    assert charts.rates(samples, pass_facts.words("en")).axes[0].get_xlabel() == unit
