"""The forecast that is refreshed while a pass runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from encaja.errors import EncajaError
from encaja.runbook.forecast.live import LiveForecast, finish_text
from encaja.runbook.record.journal import Journal
from encaja.runbook.record.workspace import Move
from support import recorded_week as case


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


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
