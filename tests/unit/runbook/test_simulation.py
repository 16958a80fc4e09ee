"""The forecast: calibrated on seeded runs, honest about people and working hours."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from encaja.errors import ConfigurationError
from encaja.runbook.forecast.past_passes import read_history
from encaja.runbook.forecast.simulation import Calendar, PassProgress, backtest, expected_durations, make_forecast
from encaja.runbook.forecast.step_duration import Assumptions, ExpectedDuration, under_way
from encaja.runbook.record.journal import Journal, Measure
from encaja.runbook.record.step_states import State, StepState
from encaja.runbook.record.workspace import Move
from support import recorded_week as case

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


DAY = (0.0,) * 8 + (10.0,) * 10 + (0.0,) * 6


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


def test_second_pass_is_forecast_from_the_first_over_links_of_all_speeds(tmp_path: Path) -> None:
    rates = (350_000, 500_000, 600_000, 833_000, 1_000_000, 1_500_000, 2_500_000, 4_000_000, 8_000_000, 12_000_000)
    inside, errors = 0, []
    for seed, rate in enumerate(rates):
        move = case.make_move(tmp_path / str(seed))
        clock = case.Clock()
        with Journal(move.journal, clock=clock) as journal:
            week = case.Week(move, journal, clock, seed=seed)
            week.go("rehearsal-1", rate=833_000, noise=0.05, faults=seed % 2 == 0)
            week.go("cutover", rate=rate, noise=0.05)
            results = backtest(move.runbook, journal, journal.passes(), Assumptions())
        whole = next(item for item in results if not item.step)
        inside += whole.inside
        errors.append(whole.error)
    assert inside >= 9
    assert statistics.median(errors) <= 0.10


def test_bands_are_not_so_wide_that_anything_fits(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    clock = case.Clock()
    with Journal(move.journal, clock=clock) as journal:
        week = case.Week(move, journal, clock)
        week.go("rehearsal-1", rate=833_000)
        week.go("cutover", rate=600_000)
        whole = next(item for item in backtest(move.runbook, journal, journal.passes(), Assumptions()) if not item.step)
    assert whole.forecast.high / whole.forecast.low < 1.5


def test_measured_link_and_size_decide_how_long_the_download_takes(move: Move) -> None:
    clock = case.Clock()
    with Journal(move.journal, clock=clock) as journal:
        case.Week(move, journal, clock).go("rehearsal-1", rate=833_000)
        history = read_history(move.runbook, journal, journal.passes())
    link = history["restore"][0].link
    assert link is not None
    assert link.size == case.SIZE

    def restore(told: Assumptions) -> float:
        made = make_forecast(move.runbook, history, told, PassProgress(MONDAY))
        return next(item.duration.median for item in made.steps if item.step == "restore")

    slow, fast = restore(Assumptions(link=600_000)), restore(Assumptions(link=6_000_000))
    assert slow == pytest.approx(30e9 / 600_000 + 840, rel=0.08)
    assert fast == pytest.approx(30e9 / 6_000_000 + 840, rel=0.2)
    assert restore(Assumptions(link=600_000, size=15e9)) == pytest.approx(slow / 2, rel=0.1)


def test_people_work_in_working_hours_and_leads_follow_their_hours() -> None:
    calendar = Calendar(MONDAY, Assumptions(leads=DAY))
    start = np.array([0.0, 9.5 * 3600, 4.4 * 86400])
    finish = calendar.after_work(start, np.array([7200.0, 7200.0, 7200.0]))
    at = [MONDAY + timedelta(seconds=float(value)) for value in finish]
    assert at[0].hour == 11
    assert (at[1].day, at[1].hour, at[1].minute) == (24, 10, 30)
    assert at[2].weekday() in (4, 0)
    assert float(calendar.arrived(np.array([0.0]), np.array([86400.0]))[0]) == pytest.approx(100, abs=0.5)
    assert float(calendar.arrived(np.array([11 * 3600.0]), np.array([14 * 3600.0]))[0]) == 0


def test_gap_counts_leads_and_best_hour_costs_less_than_the_worst(move: Move) -> None:
    made = make_forecast(move.runbook, {}, Assumptions(leads=DAY), PassProgress(MONDAY))
    assert made.gap is not None
    assert made.gap.leads.low <= made.gap.leads.median <= made.gap.leads.p90 <= made.gap.leads.high
    assert made.worst_hour is not None
    assert made.best_hours[0].leads < made.worst_hour.leads
    assert made.best_hours[0].at >= MONDAY


def test_nothing_is_proposed_without_a_lead_rate_or_once_the_backup_is_made(move: Move) -> None:
    assert make_forecast(move.runbook, {}, Assumptions(), PassProgress(MONDAY)).best_hours == ()
    step = move.step("request-backup")
    done = StepState(step, State.DONE, MONDAY - timedelta(hours=1), 3600.0)
    made = make_forecast(move.runbook, {}, Assumptions(leads=DAY), PassProgress(MONDAY, {step.id: done}))
    assert made.best_hours == ()
    assert made.gap is not None
    assert made.gap.seconds.low >= 2 * 3600


def test_step_under_way_is_forecast_from_its_own_rate() -> None:
    samples = [
        Measure(1, MONDAY + timedelta(minutes=minute), "h", "fetch", minute * 60e6, 30e9, "bytes", 1e6)
        for minute in range(1, 100)
    ]
    left = under_way(ExpectedDuration(36000, 0.1, "rehearsal-1"), 5940, samples)
    assert left.median == pytest.approx((30e9 - 99 * 60e6) / 1e6)
    overdue = under_way(ExpectedDuration(100, 0.1, "rehearsal-1"), 500, [])
    assert overdue.median == 50


def test_download_that_was_broken_off_is_forecast_without_what_is_there(move: Move) -> None:
    step = move.step("restore")
    told = Assumptions(link=1e6, size=10e9)
    samples = [Measure(1, MONDAY, "h", "fetch", 7e9, 10e9, "bytes", 1e6)]
    state = StepState(step, State.FAILED, MONDAY, 7000.0)
    expected = expected_durations(move.runbook, {}, told, PassProgress(MONDAY, {step.id: state}, {step.id: samples}))
    assert expected["restore"].median == pytest.approx(3000)


def test_wait_for_a_person_that_has_begun_is_shorter(move: Move) -> None:
    step = move.step("request-backup")
    state = StepState(step, State.WAITING, MONDAY - timedelta(hours=10))
    progress = PassProgress(MONDAY, {step.id: state})
    fresh = expected_durations(move.runbook, {}, Assumptions(), PassProgress(MONDAY))["request-backup"]
    begun = expected_durations(move.runbook, {}, Assumptions(), progress)["request-backup"]
    assert begun.median == pytest.approx(fresh.median - 10 * 3600)


def test_unknown_time_zone_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no time zone 'Mars/Base'"):
        Calendar(MONDAY, Assumptions(zone="Mars/Base"))
