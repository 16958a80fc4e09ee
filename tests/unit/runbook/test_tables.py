"""What people are shown: names of environments, progress, failures in plain text, a report that a client can read."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import runbook_case as case
import yaml
from rich.console import Console

from encaja import certificates
from encaja.runbook.book.loader import load_runbook
from encaja.runbook.durations import now
from encaja.runbook.forecast.step_duration import Assumptions
from encaja.runbook.record.journal import Document, Fault, GateState, Journal, Measure, Pass, Result
from encaja.runbook.record.step_states import State, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.report import pass_facts, tables
from encaja.runbook.report.drawing import draw_runbook
from encaja.runbook.report.notifications import compose_for
from encaja.runbook.run.ansible_command import GROUPS
from encaja.runbook.run.runner_events import Digest, last_log_lines, plain

ROOT = Path(__file__).parents[3]


def rehearsal(path: Path) -> Move:
    project = case.make_project(path)
    return Move(project, project / ".encaja", load_runbook(project, [ROOT / "inventories/test/runbook.yml"]), ())


def printed(shown: Any) -> str:
    """What a terminal shows, borders and line breaks left out."""
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(shown)
    return " ".join(re.sub(r"[│┃]", " ", console.file.getvalue()).split())  # type: ignore[attr-defined]


# Titles


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


# Progress


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


# Warnings


def test_every_group_that_a_playbook_names_is_known_to_ansible() -> None:
    known = set(yaml.safe_load(GROUPS.read_text())["all"]["children"])
    plays = [play for path in ROOT.glob("playbooks/*.yml") for play in yaml.safe_load(path.read_text())]
    patterns = [re.sub(r"\{\{.*?\}\}", "", str(play.get("hosts", ""))) for play in plays]
    named = {part.lstrip("!&") for pattern in patterns for part in re.split(r"[:,]", pattern)} - {""}
    assert {"production", "cloud", "telephony"} <= named <= {*known, "localhost", "all"}


def test_roots_of_this_machine_are_read_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(certificates.system_roots(), list)


def test_root_that_cannot_be_read_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = next(iter(Path("/etc/ssl/certs").glob("*.pem"))).read_bytes()
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    store = tmp_path / "roots.crt"
    store.write_bytes(good + broken + good)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    assert len(certificates.system_roots()) == 2


# Failures


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[1;31mbroken\x1b[0m", "broken"),
        ("10 %\r50 %\r100 %", "100 %"),
        ("first\r\nsecond\r\n", "first\nsecond\n"),
        ("done\r", "done"),
        ("\x1b]0;title\x07what\x1b[2K\x1b[1A", "what"),
        ("tab\tstays, ñ too, \x07bell goes", "tab\tstays, ñ too, bell goes"),
    ],
)
def test_text_is_as_a_terminal_would_leave_it(text: str, left: str) -> None:
    assert plain(text) == left


def test_failure_of_a_task_and_of_a_run_is_plain() -> None:
    digest = Digest(1)
    result = {"msg": "\x1b[31mno luck\x1b[0m", "stderr": "1 %\r99 %\r\n\x1b[1mfatal\x1b[0m: gone\r\n", "rc": 1}
    signals = digest.take({"event": "runner_on_failed", "event_data": {"host": "a", "task": "T", "res": result}})
    (fault,) = digest.faults()
    assert (fault.what, fault.lines, signals.events[0].text) == ("no luck", "99 %\nfatal: gone", "no luck")
    assert last_log_lines(["\x1b[31merror: \x1b[0mit broke\r"]) == ("it broke", "error: it broke")


# The report


class Told:
    """A pass in which a step failed, then was done; others did not come to be."""

    def __init__(self, path: Path) -> None:
        self.move = case.make_move(path)
        self.clock = case.Clock(now() - timedelta(hours=2))
        self.journal = Journal(self.move.journal, clock=self.clock)
        self.pass_: Pass = self.journal.start_pass("cutover", "ana", {})

    def attempt(
        self, step: str, result: Result, *, fault: str = "", hint: str = "", document: Mapping[str, Any] | None = None
    ) -> None:
        attempt = self.journal.begin(self.pass_, step, "run", by="ana", kind="playbook", directory="/x")
        self.clock.go(timedelta(seconds=30))
        faults = [Fault(attempt.id, self.clock(), "a", "T", fault, fault, hint)] if fault else []
        found = [Document(attempt.id, self.clock(), str(document["kind"]), dict(document))] if document else []
        self.journal.finish(attempt, result, faults=faults, documents=found)
        self.clock.go(timedelta(seconds=30))

    def facts(self) -> pass_facts.Facts:
        return pass_facts.gather(self.move, self.journal, self.pass_, Assumptions())

    def page(self, language: str = "en") -> str:
        return pass_facts.to_html(self.facts(), language)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    found = Told(tmp_path)
    yield found
    found.journal.close()


def page_of(move: Move, language: str) -> str:
    with Journal(move.journal) as journal:
        facts = pass_facts.gather(move, journal, journal.start_pass("one", "ana", {}), Assumptions())
    return pass_facts.to_html(facts, language)


def faults_of(page: str) -> list[list[str]]:
    """The cells of the table of faults, in words."""
    table = re.search(r"<th>(?:Cure|Cura|Remedio)</th></tr>(.*?)</table>", page, re.S)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.S)
    return [[" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in row.split("</td>")] for row in rows]


def test_cure_of_a_fault_says_which_attempt_ended_it_or_that_it_is_open(told: Told) -> None:
    told.attempt("preflight", Result.FAILED, fault="no name")
    told.attempt("preflight", Result.DONE)
    told.attempt("provision", Result.FAILED, fault="no disk")
    first, second = faults_of(told.page())
    assert re.fullmatch(r"resolved \d{4}-\d\d-\d\d \d\d:\d\d, attempt 2", first[5])
    assert second[5] == "open"
    assert told.facts().cured == 1
    assert faults_of(told.page("es"))[1][5] == "abierto"


def test_report_says_nothing_of_where_the_project_lies(told: Told) -> None:
    where = told.move.project
    told.attempt(
        "preflight", Result.FAILED, fault=f"{where}/playbooks/x.yml broke", hint=f"read {told.move.state}/runs/log"
    )
    page = told.page()
    assert str(where) not in page
    assert "playbooks/x.yml broke" in page
    assert str(where) not in str(pass_facts.to_json(told.facts()))


def test_each_certificate_is_listed_once_as_it_was_seen_last(told: Told) -> None:
    def seen(days: int) -> dict[str, Any]:
        rows = [{"host": host, "name": "portal.example.com", "days_left": days, "faults": []} for host in ("a", "b")]
        return {"kind": "certificates", "differences": 0, "certificates": rows}

    for days in (90, 89, 88):
        told.attempt("install-certificate", Result.DONE, document=seen(days))
    facts = told.facts()
    rows = [row for _, document in facts.documents["certificates"] for row in document.body["certificates"]]
    assert [(row["host"], row["days_left"]) for row in rows] == [("a", 88), ("b", 88)]
    assert told.page().count(">portal.example.com<") == 2


def test_no_heading_stands_over_nothing(told: Told) -> None:
    for kind in ("certificates", "compare", "reconcile", "verify", "result"):
        told.attempt("preflight", Result.DONE, document={"kind": kind, "found": [], "note": ""})
    page = told.page()
    parts = re.split(r"<h[23]>.*?</h[23]>", page, flags=re.S)[1:]
    assert all(re.sub(r"<[^>]*>|\s", "", part) for part in parts)
    for word in ("Certificates", "Comparison", "Reconciliation", "Other results"):
        assert f"<h2>{word}" not in page


@pytest.mark.parametrize(("language", "said"), [("en", "to consider"), ("es", "por considerar")])
def test_report_has_what_the_preflight_only_warned_of(told: Told, language: str, said: str) -> None:
    document = {"kind": "preflight", "hosts": ["a"], "faults": []}
    told.attempt("preflight", Result.DONE, document=document)
    assert said not in told.page(language)
    warning = {"what": "two portals share a disk", "where": "a", "hint": "give each its own"}
    told.attempt("preflight", Result.DONE, document={**document, "warnings": [warning]})
    page = told.page(language)
    assert f"! 1 {said}" in page
    for words in warning.values():
        assert f">{words}<" in page


def test_what_did_not_happen_is_not_drawn_as_a_success(told: Told) -> None:
    told.attempt("preflight", Result.DONE)
    told.attempt("provision", Result.DONE)
    told.journal.ask_again(told.pass_, ["provision"], by="ana", bounded=True)
    told.journal.add_gate(told.pass_, "tell-users", GateState.WAITING, by="ana")
    told.clock.go(timedelta(hours=1))
    told.journal.add_gate(told.pass_, "tell-users", GateState.REJECTED, by="eva", note="no")
    kinds = {bar.step: bar.kind for bar in pass_facts.timeline_bars(told.facts())}
    assert kinds == {"preflight": "done", "provision": "undone", "tell-users": "rejected"}
    page = told.page()
    assert "does not count" in page
    row = {name: page.split(f'<td class="id">{name}</td>', 1)[1].split("</tr>")[0] for name in ("restore", "provision")}
    assert "✓" not in row["restore"] + row["provision"]
    assert told.facts().verdict == "failed"


@pytest.mark.parametrize("language", ["en", "es"])
def test_verdict_and_states_can_be_read(told: Told, language: str) -> None:
    told.attempt("preflight", Result.FAILED, fault="no name")
    page = told.page(language)
    verdict = re.search(r'<span class="([^"]*)">([^<]*)</span> <button', page)
    assert verdict
    assert verdict[2] == pass_facts.words(language)["failed"]
    # A class that colours words like their background would leave a pill without words.
    colours = {
        name
        for rule in re.findall(r"(?:^|\} )([^{}@\n]+) \{ color:", page, re.M)
        for name in re.findall(r"\.([\w-]+)", rule)
    }
    assert not colours & set(verdict[1].split())
    assert {str(state) for state in State} <= pass_facts.words(language).keys()


def test_pass_whose_steps_have_to_be_done_again_is_not_complete(told: Told) -> None:
    facts = told.facts()
    done = {name: replace(state, state="done") for name, state in facts.states.items()}
    assert replace(facts, states=done).verdict == "complete"
    assert replace(facts, states={**done, "settle": replace(done["settle"], state="stale")}).verdict == "open"
