"""What tables, drawing and notices show: names of environments, progress."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from encaja.runbook.book.loader import load_runbook
from encaja.runbook.durations import now
from encaja.runbook.forecast.step_duration import Assumptions
from encaja.runbook.record.journal import Journal, Measure
from encaja.runbook.record.step_states import read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.report import pass_facts, tables
from encaja.runbook.report.drawing import draw_runbook
from encaja.runbook.report.notifications import compose_for
from support import recorded_week as case

ROOT = Path(__file__).parents[3]


def rehearsal(path: Path) -> Move:
    project = case.make_project(path)
    return Move(project, project / ".encaja", load_runbook(project, [ROOT / "inventories/test/runbook.yml"]), ())


def printed(shown: Any) -> str:
    """What a terminal shows, borders and line breaks left out."""
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(shown)
    return " ".join(re.sub(r"[│┃]", " ", console.file.getvalue()).split())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        ("en", ("Deploy the test environment", "Restore the backup on test")),
        ("es", ("Desplegar el entorno de pruebas", "Restaurar la copia en pruebas")),
    ],
)
def test_titles_of_a_rehearsal_name_the_place_of_the_rehearsal(
    tmp_path: Path, language: str, wanted: tuple[str, ...]
) -> None:
    move = rehearsal(tmp_path)
    titles = [step.title.get(language) for step in move.runbook]
    assert set(wanted) <= set(titles)
    assert not [title for title in titles if "produc" in title or "$" in title]
    plan = printed(tables.plan_table(move, language))
    drawn = "".join(
        text.get_text() for text in draw_runbook(move, language, tables.WORDS[language]).findobj(match=_is_text)
    )
    page = page_of(move, language)
    for title in wanted:
        assert title in page
        assert re.sub(r"\s", "", title) in re.sub(r"\s", "", drawn)
    assert wanted[1] in plan


def _is_text(artist: Any) -> bool:
    return hasattr(artist, "get_text")


def test_titles_of_the_cut_over_name_production_and_its_copy(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    assert move.step("restore").title.es == "Restaurar la copia en producción"
    assert move.step("deploy-preproduction").title.en == "Deploy pre-production: a full copy of production"
    assert move.step("compare-preproduction").title.es == "Comparar preproducción con producción"
    assert not [step.id for step in move.runbook if "$" in step.title.en + step.title.es]


def test_notice_names_the_place_too(tmp_path: Path) -> None:
    move = rehearsal(tmp_path)
    with Journal(move.journal) as journal:
        notice = compose_for(move, journal.start_pass("r", "ana", {}), move.step("restore"), None)
    assert "Restore the backup on test" in notice.subject + notice.body


def test_status_tells_share_rate_and_time_left_of_what_runs(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    with Journal(move.journal, clock=case.Clock(now() - timedelta(minutes=5))) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        attempt = journal.begin(pass_, "restore", "run", by="ana", kind="playbook", directory="/x")
        for done in (1e9, 3e9):
            measure = Measure(attempt.id, now(), "portal.example.com", "stream", done, 12e9, "bytes", 5e6)
            journal.add_events([], [measure])
        states = read_states(move, journal, pass_, running=True)
        progress = tables.read_progress(journal, states)
        shown = printed(tables.status_table(move.runbook, states, "en", progress))
        assert "portal.example.com stream 25 % · 3.0 GB of 12.0 GB · 5.0 MB/s · 30 min left" in shown
        assert re.search(r"5 min( \d\d s)? running", shown)
        assert tables.progress_json(progress["restore"][0])["left"] == pytest.approx(1800)
        assert tables.read_progress(journal, read_states(move, journal, pass_)) == {}


def page_of(move: Move, language: str) -> str:
    with Journal(move.journal) as journal:
        facts = pass_facts.gather(move, journal, journal.start_pass("one", "ana", {}), Assumptions())
    return pass_facts.to_html(facts, language)
