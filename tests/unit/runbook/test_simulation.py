"""The forecast: calibrated on seeded runs, honest about people and working hours."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import runbook_case as case

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.durations import format_span, now
from encaja.runbook.forecast import view
from encaja.runbook.forecast.live import LiveForecast, finish_text
from encaja.runbook.forecast.past_passes import link_of, read_history
from encaja.runbook.forecast.simulation import Calendar, PassProgress, backtest, expected_durations, make_forecast
from encaja.runbook.forecast.step_duration import Assumptions, ExpectedDuration, under_way
from encaja.runbook.record.journal import GateState, Journal, Measure, Result
from encaja.runbook.record.step_states import ANSWERED_BY_YES, State, StepState
from encaja.runbook.record.workspace import Move
from encaja.runbook.report import charts, pass_facts

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


def test_live_forecast_is_refreshed_while_the_run_goes_on() -> None:
    made: list[int] = []

    def make() -> str:
        made.append(1)
        if len(made) == 2:
            raise EncajaError("the journal is in use")
        return f"forecast {len(made)}"

    with LiveForecast(make, first=0.0, every=0.01) as live:
        deadline = time.monotonic() + 20
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert live.text in ("forecast 3", "forecast 4", f"forecast {len(made)}")


def test_live_forecast_says_when_all_is_over_by_the_journal(move: Move) -> None:
    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        journal.begin(pass_, "preflight", "run", by="ana", kind="check", directory="/x")
    text = finish_text(move, "cutover")
    assert text.startswith("all over ")
    assert text.endswith("UTC")


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


@pytest.mark.parametrize(("text", "size"), [("800kB", 8e5), ("30GB", 3e10), ("1.5 MB/s", 1.5e6), ("1000", 1000)])
def test_sizes(text: str, size: float) -> None:
    assert view.parse_size(text, "--link") == size


@pytest.mark.parametrize("text", ["fast", "-3", "0", "12 parsecs"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a size"):
        view.parse_size(text, "--link")


def test_unknown_time_zone_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no time zone 'Mars/Base'"):
        Calendar(MONDAY, Assumptions(zone="Mars/Base"))


def test_forecast_of_a_move_that_has_not_begun_uses_the_runbook(move: Move) -> None:
    made = view.forecast_pass(move, None, Assumptions())
    assert {item.basis for item in made.steps} == {"run-book"}
    assert made.whole.low < made.whole.median < made.whole.high
    assert abs((made.moment - now()).total_seconds()) < 60
    assert view.forecast_json(made)["steps"][0]["step"] == "preflight"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> pass_facts.Facts:
    move = case.make_move(tmp_path_factory.mktemp("report"))
    clock = case.Clock()
    with Journal(move.journal, clock=clock) as journal:
        week = case.Week(move, journal, clock)
        week.go("rehearsal-1", rate=833_000, faults=True)
        pass_ = week.go("cutover", rate=600_000, faults=True)
        return pass_facts.gather(move, journal, pass_, Assumptions(leads=DAY))


@pytest.mark.parametrize("language", ["en", "es"])
def test_report_stands_alone_and_says_everything(facts: pass_facts.Facts, language: str) -> None:
    page = pass_facts.to_html(facts, language)
    spoken = pass_facts.words(language)
    for outside in ("src=", "<link", "@import", 'href="http', "url("):
        assert outside not in page.replace("url(#", ""), outside
    for section in (
        "summary",
        "timeline",
        "rates",
        "faults_and_cures",
        "checks",
        "comparison",
        "reconciliation",
        "certificates",
    ):
        assert section == "summary" or spoken[section] in page, section
    for section in ("forecast", "passes", "signoffs", "notes", "reconciled", "accepted_on_paper", "forecast_said"):
        assert spoken[section] in page, section
    assert page.count('class="sign"') == 2
    assert page.count(spoken["check_cured"]) >= 2
    assert page.count("<svg") >= 4
    assert "volume 23 of 31 is broken" in page
    assert "vendor repaired volume 23" in page
    assert "@media print" in page
    assert f'lang="{language}"' in page


def test_checks_are_shown_before_and_after(facts: pass_facts.Facts) -> None:
    (alone,) = pass_facts.verified(facts.documents["checks"])
    assert alone.counts == {"people": 1, "cured": 2, "ok": 1}
    assert [probe.before for probe in alone.probes] == ["", "found", "found", ""]
    (step, document) = next(item for item in facts.documents["checks"] if item[1].kind == "verification")
    broken = [{**check, "state": "found"} for check in document.body["checks"]]
    first = replace(document, body={**document.body, "checks": broken})
    (both,) = pass_facts.verified([(step, first), (step, document)])
    assert {probe.before for probe in both.probes} == {"found"}
    assert [probe.after for probe in both.probes] == ["people", "cured", "cured", "ok"]


def test_forecast_in_the_report_is_the_backtests(facts: pass_facts.Facts) -> None:
    bands = {band.label: band for band in facts.bands}
    restore, whole = bands["restore"], bands[""]
    assert restore.actual is not None
    assert restore.low < restore.actual < restore.high
    assert whole.actual == pytest.approx(sum(band.actual or 0 for label, band in bands.items() if label))


def test_time_is_told_by_owner_and_all_attempts_count(facts: pass_facts.Facts) -> None:
    client = next(duty for duty in pass_facts.duties(facts) if duty.owner == "client")
    assert client.waited > 20 * 3600 > client.ran > 0
    assert facts.cured == len(facts.faults) == 2
    restore = sum(item.seconds or 0 for item in facts.attempts if item.step == "restore")
    assert format_span(restore) in pass_facts.to_html(facts, "en")


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


def test_gates_answered_by_the_option_say_so_in_the_readers_language(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        journal.add_gate(pass_, "test-box", GateState.APPROVED, by="ana", note=ANSWERED_BY_YES)
        page = pass_facts.to_html(pass_facts.gather(move, journal, pass_, Assumptions()), "es")
    assert "aprobado con --yes" in page
    assert ANSWERED_BY_YES not in page


def test_time_after_the_last_byte_is_not_the_links() -> None:
    samples = [
        Measure(1, MONDAY + timedelta(seconds=s), "h", "fetch", min(s, 10) * 100.0, 1000, "bytes", 0) for s in range(60)
    ]
    link = link_of(samples)
    assert link is not None
    assert link.rate == pytest.approx(100)


def test_transfer_that_ended_well_is_whole_though_the_last_look_came_early(move: Move) -> None:
    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        for step, result in (("restore", Result.DONE), ("test-host", Result.FAILED)):
            attempt = journal.begin(pass_, step, "run", by="ana", kind="playbook", directory="/x")
            journal.add_events([], [Measure(attempt.id, MONDAY, "h", "stream", 7e6, 10e6, "bytes", 1e6)])
            journal.finish(attempt, result)
        facts = pass_facts.gather(move, journal, pass_, Assumptions())
    assert {item.step: item.size for item in facts.transfers} == {"restore": 10e6, "test-host": 7e6}


def test_quick_download_is_the_download_and_a_bigger_load_is_not(move: Move) -> None:
    step = move.step("restore")
    samples = [
        Measure(1, MONDAY, "h", "stream", 2e6, 2e6, "bytes", 4e6),
        Measure(1, MONDAY, "h", "load", 1e6, 9e6, "bytes", 1e7),
        Measure(1, MONDAY + timedelta(seconds=1), "h", "load", 9e6, 9e6, "bytes", 1e7),
    ]
    link = link_of(samples)
    assert link is not None
    assert (link.size, link.seconds) == (2e6, 0.5)
    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        for name, own in (("test-host", samples[1:]), (step.id, samples)):
            attempt = journal.begin(pass_, name, "run", by="ana", kind="playbook", directory="/x")
            journal.add_events([], [replace(item, attempt=attempt.id) for item in own])
            journal.finish(attempt, Result.DONE)
        facts = pass_facts.gather(move, journal, pass_, Assumptions())
    assert [(item.step, item.name, item.download) for item in facts.transfers] == [
        ("restore", "stream", True), ("test-host", "load", False), ("restore", "load", False),
    ]  # fmt: skip
    page = pass_facts.to_html(facts, "en")
    assert page.index("The download") < page.index("<td>stream</td>") < page.index("Copies and loads")
    assert "<b>2.0 MB</b><span>downloaded, 4.0 MB/s on average" in page
    assert [item["download"] for item in pass_facts.to_json(facts)["transfers"]] == [True, False, False]


def test_report_without_a_download_says_so(move: Move) -> None:
    with Journal(move.journal) as journal:
        page = pass_facts.to_html(
            pass_facts.gather(move, journal, journal.start_pass("cutover", "ana", {}), Assumptions()), "es"
        )
    assert "El diario no contiene ninguna descarga" in page


def test_report_says_how_each_step_is_proven_and_undone(facts: pass_facts.Facts) -> None:
    page = pass_facts.to_html(facts, "es")
    assert "lo verifica: verify" in page
    assert "--tags rollback" in page
    steps = {item["id"]: item for item in pass_facts.to_json(facts)["steps"]}
    assert steps["provision"]["verified_by"] == "test-environment"
    assert steps["carry-over"]["undo"].startswith("Restore the backup again")


def test_look_at_a_few_checks_leaves_the_others_as_they_were(facts: pass_facts.Facts) -> None:
    (step, document) = next(item for item in facts.documents["checks"] if item[1].kind == "verification")
    few = replace(document, body={**document.body, "checks": [{**document.body["checks"][0], "state": "ok"}]})
    (both,) = pass_facts.verified([(step, document), (step, few)])
    assert len(both.probes) == 4
    assert sorted((probe.before, probe.after) for probe in both.probes) == [
        ("", "ok"), ("", "people"), ("cured", "ok"), ("found", "cured"),
    ]  # fmt: skip


def test_report_words_exist_in_both_languages() -> None:
    assert pass_facts.words("en").keys() == pass_facts.words("es").keys()
    assert all(pass_facts.words("es").values())


def test_fault_of_a_step_that_was_taken_out_of_the_run_book_is_told(facts: pass_facts.Facts) -> None:
    faults = tuple(replace(row, cures=()) for row in facts.faults)
    step = faults[0].step
    states = {name: state for name, state in facts.states.items() if name != step}
    steps = tuple(one for one in facts.move.runbook.steps if one.id != step)
    move = replace(facts.move, runbook=replace(facts.move.runbook, steps=steps))
    without = replace(facts, faults=faults, states=states, move=move)
    assert without.cured < replace(facts, faults=faults).cured
    assert step in pass_facts.to_html(without, "en")


def test_report_escapes_what_people_wrote(tmp_path: Path) -> None:
    from encaja.runbook.record.journal import EntryKind

    move = case.make_move(tmp_path)
    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        journal.add_entry(pass_, EntryKind.NOTE, "<script>alert(1)</script>", by="<b>eva</b>")
        page = pass_facts.to_html(pass_facts.gather(move, journal, pass_, Assumptions()), "en")
    assert "<script>alert" not in page
    assert "<b>eva" not in page


def test_report_as_json_is_complete(facts: pass_facts.Facts) -> None:
    data = pass_facts.to_json(facts)
    assert data["verdict"] == "complete"
    assert data["gap"]["leads"] > 0
    assert {item["step"] for item in data["faults"]} == {"restore", "settle"}
    assert data["faults"][0]["cures"] == ["vendor repaired volume 23"]
    assert sum(item["bytes"] for item in data["transfers"]) == pytest.approx(case.SIZE)
    assert data["documents"]["comparison"][0]["body"]["differences"] == 0
