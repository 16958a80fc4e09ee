"""What a step is guessed to take: bands that hold what they promise, and steps that have less to do the next time."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from encaja.runbook.book.model import Action, Kind, Owner, Scale, Step, Text, Urgency
from encaja.runbook.forecast.past_passes import Converged, Link, PastStep, converged, place, read_history
from encaja.runbook.forecast.simulation import Spread
from encaja.runbook.forecast.step_duration import Assumptions, expected_duration, next_day, unsteadiness
from encaja.runbook.record.journal import Event, Journal
from support import recorded_week as case

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
MOVES = 80
LENGTHS = (40.0, 90.0, 300.0, 20.0, 240.0)
DOWNLOAD = 200.0


def a_step(name: str, scale: Scale = Scale.FIXED, kind: Kind = Kind.PLAYBOOK) -> Step:
    action = Action(playbook="p.yml")
    return Step(
        name, 1, Text(name, name), Owner.CONTRACTOR, kind, action, (), timedelta(hours=1), Urgency.LOW, scale=scale
    )


STEPS = [*(a_step(f"step-{number}") for number in range(len(LENGTHS))), a_step("fetch", Scale.LINK)]


def past(name: str, pass_name: str, seconds: float, **more) -> PastStep:
    return PastStep(name, pass_name, seconds, 0, AT, AT, **more)


def made_up_move(
    random: np.random.Generator, passes: int, *, run: float, day: float, waver: float
) -> tuple[Spread, float]:
    """A move's forecast after so many passes, the link known from a look of a tenth, and what the next one took."""
    history: dict[str, list[PastStep]] = {step.id: [] for step in STEPS}
    actual, told = 0.0, Assumptions()
    for number in range(passes + 1):
        today = random.normal(0, day)
        taken = {
            step.id: length * math.exp(today + random.normal(0, run)) + abs(random.normal(0, 0.2))
            for step, length in zip(STEPS, LENGTHS, strict=False)
        }
        mean = math.exp(random.uniform(-1, 1))
        rates = tuple(mean * random.lognormal(0, waver) for _ in range(int(DOWNLOAD / mean)))
        link = Link(DOWNLOAD, DOWNLOAD / float(np.mean(rates)), rates)
        taken["fetch"] = link.seconds + 5 * math.exp(today)
        actual = sum(taken.values())
        look = tuple(mean * random.lognormal(0, waver) for _ in range(max(1, len(rates) // 10)))
        told = Assumptions(link=float(np.mean(look)))
        if number < passes:
            for step in STEPS:
                own = link if step.id == "fetch" else None
                history[step.id].append(past(step.id, str(number), taken[step.id], link=own))
    drawn = np.random.default_rng(1)
    shared = next_day(history).draw(drawn, 2000)
    return Spread.of(
        sum(expected_duration(step, history[step.id], told).draw(drawn, 2000, shared) for step in STEPS)
    ), actual


@pytest.mark.parametrize("passes", [1, 3])
def test_nine_in_ten_fall_into_the_band_and_it_is_no_wider_than_that_needs(passes: int) -> None:
    random = np.random.default_rng(passes)
    found = [made_up_move(random, passes, run=0.1, day=0.09, waver=0.2) for _ in range(MOVES)]
    inside = sum(band.holds(actual) for band, actual in found) / MOVES
    assert 0.87 <= inside <= 0.99
    assert np.median([band.high / band.low for band, _ in found]) < 1.7
    assert np.median([abs(band.median - actual) / actual for band, actual in found]) <= 0.1


def test_band_narrows_with_steady_passes_and_widens_with_unsteady_ones() -> None:
    def width(passes: int, run: float) -> float:
        random = np.random.default_rng(7)
        bands = [made_up_move(random, passes, run=run, day=run, waver=0.05)[0] for _ in range(10)]
        return float(np.median([band.high / band.low for band in bands]))

    assert width(4, 0.01) < width(2, 0.01) < width(1, 0.01)
    assert width(4, 0.3) > width(1, 0.3)


def test_one_observation_counts_as_uncertain_itself() -> None:
    step = a_step("settle")
    one = expected_duration(step, [past("settle", "a", 1000.0)], Assumptions())
    two = expected_duration(step, [past("settle", "a", 1000.0), past("settle", "b", 1000.0)], Assumptions())
    assert one.median == pytest.approx(1000)
    assert one.spread > 1.1 * two.spread
    assert (one.freedom, two.freedom) == (5, 6)


def test_start_of_processes_weighs_in_short_steps_only() -> None:
    short = expected_duration(a_step("a"), [past("a", "1", 2.0)], Assumptions())
    long = expected_duration(a_step("a"), [past("a", "1", 2000.0)], Assumptions())
    assert short.spread > 1.5 * long.spread


def test_unsteady_link_gives_a_wider_band() -> None:
    random = np.random.default_rng(3)
    steady = [100.0 * random.lognormal(0, 0.02) for _ in range(80)]
    slow_waves = [100.0 * (1 + 0.4 * math.sin(number / 12)) for number in range(80)]
    assert unsteadiness(steady) < 0.03
    assert unsteadiness(slow_waves) > 0.15

    def spread(rates: list[float]) -> float:
        earlier = past("fetch", "a", 90.0, link=Link(8000, 80.0, tuple(rates)))
        return expected_duration(a_step("fetch", Scale.LINK), [earlier], Assumptions(link=100.0)).spread

    assert spread(slow_waves) > 2 * spread(steady)


def test_what_a_download_does_besides_is_learned_from_all_passes() -> None:
    passes = [
        past("fetch", name, besides + 100.0, link=Link(1e9, 100.0, (1e7,) * 20))
        for name, besides in (("a", 10.0), ("b", 20.0), ("c", 20.0))
    ]
    known = expected_duration(a_step("fetch", Scale.LINK), passes, Assumptions(link=1e6))
    assert known.fixed == pytest.approx(20)
    assert known.median == pytest.approx(1000)


def events(*tasks: tuple[str, float, bool]) -> list[Event]:
    return [
        Event(1, AT, "changed" if changed and host == "b" else "ok", host, task, seconds, changed and host == "b")
        for task, seconds, changed in tasks
        for host in ("a", "b")
    ]


def test_what_was_changed_once_need_not_be_changed_again() -> None:
    first = converged(131.0, events(("packages", 113.0, True), ("look", 1.0, False), ("service", 3.0, True)))
    assert first is not None
    assert first.seconds == pytest.approx(131 - 112 - 2)
    assert first.spread > 0.2
    assert converged(9.0, events(("packages", 1.0, False), ("look", 1.0, False))) is None
    hardly = converged(9.0, events(("packages", 1.0, False), ("handler", 1.1, True)))
    assert hardly is not None
    assert hardly.spread < 0.01


def test_only_a_pass_over_the_same_hosts_finds_its_changes_there() -> None:
    step = replace(a_step("provision"), action=Action(playbook="p.yml", limit="$target"))
    where = place(step, ["inventories/lab"], {"target": "test", "backup": "one"})
    there = past("provision", "a", 131.0, converged=Converged(12.0, 0.3), place=where)

    def median(target: str, backup: str, *inventories: str) -> float:
        told = Assumptions(inventories=inventories, chosen={"target": target, "backup": backup})
        return expected_duration(step, [there], told).median

    assert median("test", "one", "inventories/lab") == pytest.approx(12)
    assert median("test", "another", "inventories/lab") == pytest.approx(12)
    assert median("production", "one", "inventories/lab") == pytest.approx(131)
    assert median("test", "one", "inventories/production") == pytest.approx(131)
    assert median("test", "one") == pytest.approx(131)


def test_steps_after_a_restore_have_all_to_do_again(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    lasting = {step.id for step in move.runbook if move.runbook.converges(step)}
    assert {"provision", "install-certificate", "deploy-box"} <= lasting
    assert not lasting & {"preflight", "restore", "settle", "verify", "test-host", "carry-over", "release", "test-box"}


def test_history_works_out_what_is_left_from_the_journalled_tasks(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    clock = case.Clock()
    with Journal(move.journal, clock=clock) as journal:
        pass_ = case.Week(move, journal, clock).go("rehearsal-1", rate=833_000)
        attempts = {attempt.step: attempt for attempt in journal.attempts(pass_)}
        for step in ("provision", "settle"):
            own = [replace(event, attempt=attempts[step].id) for event in events(("x", 300.0, True), ("y", 1.0, False))]
            journal.add_events(own, [])
        history = read_history(move.runbook, journal, [pass_])
    provision = history["provision"][0]
    assert provision.converged is not None
    assert provision.converged.seconds == pytest.approx(provision.seconds - 299)
    assert provision.place == ("inventories/production",)
    assert history["settle"][0].converged is None
