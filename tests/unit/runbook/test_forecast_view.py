"""From options and journal to a forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.durations import now
from encaja.runbook.forecast import view
from encaja.runbook.forecast.step_duration import Assumptions
from encaja.runbook.record.journal import Journal
from encaja.runbook.record.workspace import Move
from support import recorded_week as case


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


def test_lead_rates_come_from_the_crm_that_a_rehearsal_restored(move: Move) -> None:
    assert view.read_assumptions(move).leads == ()
    clock = case.Clock()
    with Journal(move.journal, clock=clock) as journal:
        case.Week(move, journal, clock).go("rehearsal-1", rate=833_000)
    told = view.read_assumptions(move)
    assert len(told.leads) == 168
    assert (told.leads[9], told.leads[8], told.leads[6 * 24 + 12]) == (10.0, 0.0, 0.0)
    assert told.leads_from == "the CRM, 2 weeks to 2026-11-05 20:00:00"
    made = view.forecast_pass(move, "cutover", told)
    assert made.gap is not None
    assert made.gap.leads.median > 50
    assert made.best_hours[0].leads < made.worst_hour.leads if made.worst_hour else False
    assert view.read_assumptions(move, leads_per_day=24).leads_from == "--leads-per-day"


@pytest.mark.parametrize(("text", "size"), [("800kB", 8e5), ("30GB", 3e10), ("1.5 MB/s", 1.5e6), ("1000", 1000)])
def test_sizes(text: str, size: float) -> None:
    assert view.parse_size(text, "--link") == size


@pytest.mark.parametrize("text", ["fast", "-3", "0", "12 parsecs"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a size"):
        view.parse_size(text, "--link")


def test_forecast_of_a_move_that_has_not_begun_uses_the_runbook(move: Move) -> None:
    made = view.forecast_pass(move, None, Assumptions())
    assert {item.basis for item in made.steps} == {"run-book"}
    assert made.whole.low < made.whole.median < made.whole.high
    assert abs((made.moment - now()).total_seconds()) < 60
    assert view.forecast_json(made)["steps"][0]["step"] == "preflight"
