"""The report of a pass: everything that happened, in words that a client can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encaja.runbook.durations import format_span, now
from encaja.runbook.forecast.past_passes import link_of
from encaja.runbook.forecast.step_duration import Assumptions
from encaja.runbook.record.journal import Document, Fault, GateState, Journal, Measure, Pass, Result
from encaja.runbook.record.step_states import ANSWERED_BY_YES, State
from encaja.runbook.record.workspace import Move
from encaja.runbook.report import pass_facts
from support import recorded_week as case

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


DAY = (0.0,) * 8 + (10.0,) * 10 + (0.0,) * 6


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


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


def test_gates_answered_by_the_option_say_so_in_the_readers_language(tmp_path: Path) -> None:
    move = case.make_move(tmp_path)
    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        journal.add_gate(pass_, "test-box", GateState.APPROVED, by="ana", note=ANSWERED_BY_YES)
        page = pass_facts.to_html(pass_facts.gather(move, journal, pass_, Assumptions()), "es")
    assert "aprobado con --yes" in page
    assert ANSWERED_BY_YES not in page


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
        ("restore", "stream", True),
        ("test-host", "load", False),
        ("restore", "load", False),
    ]
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
        ("", "ok"),
        ("", "people"),
        ("cured", "ok"),
        ("found", "cured"),
    ]


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


class FailedPass:
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
def failed(tmp_path: Path) -> Iterator[FailedPass]:
    found = FailedPass(tmp_path)
    yield found
    found.journal.close()


def faults_of(page: str) -> list[list[str]]:
    """The cells of the table of faults, in words."""
    table = re.search(r"<th>(?:Cure|Cura|Remedio)</th></tr>(.*?)</table>", page, re.S)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.S)
    return [[" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in row.split("</td>")] for row in rows]


def test_cure_of_a_fault_says_which_attempt_ended_it_or_that_it_is_open(failed: FailedPass) -> None:
    failed.attempt("preflight", Result.FAILED, fault="no name")
    failed.attempt("preflight", Result.DONE)
    failed.attempt("provision", Result.FAILED, fault="no disk")
    first, second = faults_of(failed.page())
    assert re.fullmatch(r"resolved \d{4}-\d\d-\d\d \d\d:\d\d, attempt 2", first[5])
    assert second[5] == "open"
    assert failed.facts().cured == 1
    assert faults_of(failed.page("es"))[1][5] == "abierto"


def test_report_says_nothing_of_where_the_project_lies(failed: FailedPass) -> None:
    where = failed.move.project
    failed.attempt(
        "preflight", Result.FAILED, fault=f"{where}/playbooks/x.yml broke", hint=f"read {failed.move.state}/runs/log"
    )
    page = failed.page()
    assert str(where) not in page
    assert "playbooks/x.yml broke" in page
    assert str(where) not in str(pass_facts.to_json(failed.facts()))


def test_each_certificate_is_listed_once_as_it_was_seen_last(failed: FailedPass) -> None:
    def seen(days: int) -> dict[str, Any]:
        rows = [{"host": host, "name": "portal.example.com", "days_left": days, "faults": []} for host in ("a", "b")]
        return {"kind": "certificates", "differences": 0, "certificates": rows}

    for days in (90, 89, 88):
        failed.attempt("install-certificate", Result.DONE, document=seen(days))
    facts = failed.facts()
    rows = [row for _, document in facts.documents["certificates"] for row in document.body["certificates"]]
    assert [(row["host"], row["days_left"]) for row in rows] == [("a", 88), ("b", 88)]
    assert failed.page().count(">portal.example.com<") == 2


def test_no_heading_stands_over_nothing(failed: FailedPass) -> None:
    for kind in ("certificates", "compare", "reconcile", "verify", "result"):
        failed.attempt("preflight", Result.DONE, document={"kind": kind, "found": [], "note": ""})
    page = failed.page()
    parts = re.split(r"<h[23]>.*?</h[23]>", page, flags=re.S)[1:]
    assert all(re.sub(r"<[^>]*>|\s", "", part) for part in parts)
    for word in ("Certificates", "Comparison", "Reconciliation", "Other results"):
        assert f"<h2>{word}" not in page


@pytest.mark.parametrize(("language", "said"), [("en", "to consider"), ("es", "por considerar")])
def test_report_has_what_the_preflight_only_warned_of(failed: FailedPass, language: str, said: str) -> None:
    document = {"kind": "preflight", "hosts": ["a"], "faults": []}
    failed.attempt("preflight", Result.DONE, document=document)
    assert said not in failed.page(language)
    warning = {"what": "two portals share a disk", "where": "a", "hint": "give each its own"}
    failed.attempt("preflight", Result.DONE, document={**document, "warnings": [warning]})
    page = failed.page(language)
    assert f"! 1 {said}" in page
    for words in warning.values():
        assert f">{words}<" in page


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("What the kit assumes of the product", "1 differ", "1 hold", "A batch takes 50.")),
        ("es", ("Lo que el kit supone del producto", "1 difieren", "1 se cumplen", "Un batch admite 50.")),
    ],
)
def test_report_says_what_of_the_contract_does_not_hold(
    failed: FailedPass, language: str, words: tuple[str, ...]
) -> None:
    says = {"en": "A batch takes 50.", "es": "Un batch admite 50."}
    rows = [
        {"id": name, "says": says, "state": state, "evidence": f"<{state}>", "source": "x", "used": ["rest.client"]}
        for name, state in (("rest-batch", "differs"), ("rest-pages", "holds"), ("rest-import", "unproven"))
    ]
    failed.attempt("prove-box", Result.DIFFERENCES, document={
        "kind": "contract", "environment": "test", "domain": "crm.acme.es", "release": "27.1", "assumptions": rows,
        "counts": {"differs": 1, "holds": 1, "unproven": 1}, "warnings": ["not observed in release 27.1"],
        "differences": 1,
    })  # fmt: skip
    page = failed.page(language)
    for word in (*words, "! not observed in release 27.1", "&lt;differs&gt;", "&lt;unproven&gt;"):
        assert word in page, word
    assert page.index("&lt;differs&gt;") < page.index("&lt;unproven&gt;") < page.index("&lt;holds&gt;")


def test_what_did_not_happen_is_not_drawn_as_a_success(failed: FailedPass) -> None:
    failed.attempt("preflight", Result.DONE)
    failed.attempt("provision", Result.DONE)
    failed.journal.ask_again(failed.pass_, ["provision"], by="ana", bounded=True)
    failed.journal.add_gate(failed.pass_, "tell-users", GateState.WAITING, by="ana")
    failed.clock.go(timedelta(hours=1))
    failed.journal.add_gate(failed.pass_, "tell-users", GateState.REJECTED, by="eva", note="no")
    kinds = {bar.step: bar.kind for bar in pass_facts.timeline_bars(failed.facts())}
    assert kinds == {"preflight": "done", "provision": "undone", "tell-users": "rejected"}
    page = failed.page()
    assert "does not count" in page
    row = {name: page.split(f'<td class="id">{name}</td>', 1)[1].split("</tr>")[0] for name in ("restore", "provision")}
    assert "✓" not in row["restore"] + row["provision"]
    assert failed.facts().verdict == "failed"


@pytest.mark.parametrize("language", ["en", "es"])
def test_verdict_and_states_can_be_read(failed: FailedPass, language: str) -> None:
    failed.attempt("preflight", Result.FAILED, fault="no name")
    page = failed.page(language)
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


def test_pass_whose_steps_have_to_be_done_again_is_not_complete(failed: FailedPass) -> None:
    facts = failed.facts()
    done = {name: replace(state, state="done") for name, state in facts.states.items()}
    assert replace(facts, states=done).verdict == "complete"
    assert replace(facts, states={**done, "settle": replace(done["settle"], state="stale")}).verdict == "open"
