"""The report of a pass: one HTML file without any outside reference, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache, partial
from importlib import resources
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from encaja.ansible.collection import collection
from encaja.runbook.book.model import Kind, Owner, Runbook, Scale, Step
from encaja.runbook.durations import format_bytes, format_span, now, to_text
from encaja.runbook.forecast.past_passes import DOWNLOADS, PastStep, link_of, read_history, with_rates
from encaja.runbook.forecast.simulation import Calendar, Spread, backtest
from encaja.runbook.forecast.step_duration import Assumptions, expected_duration
from encaja.runbook.record.journal import (
    Attempt,
    Document,
    Entry,
    EntryKind,
    Fault,
    Gate,
    GateState,
    Journal,
    Measure,
    Pass,
    Result,
)
from encaja.runbook.record.step_states import ANSWERED_BY_YES, CHECK, CONFIRM_SUFFIX, State, StepState, read_states
from encaja.runbook.record.workspace import Move
from encaja.runbook.report import charts
from encaja.runbook.report.pass_diff import StepDifference, compare_passes
from encaja.runbook.report.tables import proof_text, undo_text

JSON_VERSION = 1
# A line through fewer samples than these says nothing that the table does not.
PICTURED_SAMPLES = 5
_SECTIONS = {
    "verify": "checks",
    "verification": "checks",
    "check": "checks",
    "preflight": "checks",
    "contract": "contract",
    "compare": "comparison",
    "comparison": "comparison",
    "reconcile": "reconciliation",
    "reconciliation": "reconciliation",
    "carry-over": "reconciliation",
    "certificate": "certificates",
    "certificates": "certificates",
}
_URGENT = ("found", "unknown", "people", "cured", "ok")
DOCUMENT_SECTIONS = ("checks", "contract", "comparison", "reconciliation", "certificates", "results")


@dataclass(frozen=True)
class FaultRow:
    """A fault with what was done about it: the cures that people noted, and the attempt that ended well after it."""

    fault: Fault
    step: str
    cures: tuple[Entry, ...]
    after: Attempt | None = None


@dataclass(frozen=True)
class Transfer:
    """A stretch of a step that moved bytes."""

    step: str
    host: str
    name: str
    measures: tuple[Measure, ...]
    size: float
    seconds: float
    rate: float
    slowest: float
    fastest: float
    download: bool = False


@dataclass(frozen=True)
class Probe:
    """One check of a verification: what it said first and last."""

    title: Mapping[str, str]
    severity: str
    before: str
    after: str
    evidence: str
    cure: str


@dataclass(frozen=True)
class Verified:
    """An environment's verifications in a pass, the checks that need attention first."""

    environment: str
    domain: str
    at: datetime
    probes: tuple[Probe, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many checks ended in which state, the urgent ones first."""
        states = [probe.after for probe in self.probes]
        return {state: states.count(state) for state in _URGENT if state in states}


@dataclass(frozen=True)
class Duty:
    """What an owner's steps took: how many, how long they ran and how long they were waited for, in seconds."""

    owner: Owner
    steps: int
    ran: float
    waited: float


@dataclass(frozen=True)
class Facts:
    """All that a report says, gathered from the journal."""

    move: Move
    pass_: Pass
    made: datetime
    states: Mapping[str, StepState]
    attempts: Sequence[Attempt]
    gates: Sequence[Gate]
    entries: Sequence[Entry]
    faults: Sequence[FaultRow]
    transfers: Sequence[Transfer]
    documents: Mapping[str, Sequence[tuple[str, Document]]]
    bands: Sequence[charts.Band]
    differences: Sequence[StepDifference]
    previous: Pass | None
    pass_seconds: Mapping[str, Mapping[str, float]]
    gap: tuple[datetime, datetime] | None
    gap_leads: float | None

    @property
    def cured(self) -> int:
        """How many of the faults are cured."""
        return sum(self.is_cured(row) for row in self.faults)

    def is_cured(self, row: FaultRow) -> bool:
        """Whether a fault was followed by a cure or by a good end of its step.

        A step that was taken out of the run-book since has no end.
        """
        return bool(row.cures) or (row.step in self.states and self.states[row.step].done)

    @property
    def begun(self) -> datetime:
        """When the first thing happened."""
        return min([item.at for item in self.attempts] + [item.at for item in self.gates] + [self.pass_.at])

    @property
    def ended(self) -> datetime:
        """When the last thing happened."""
        moments = [item.ended or item.at for item in self.attempts] + [item.at for item in self.gates]
        return max([*moments, self.pass_.at])

    @property
    def machine_seconds(self) -> float:
        """How long playbooks and commands ran, all attempts together."""
        return sum(item.seconds or 0.0 for item in self.attempts)

    @property
    def verdict(self) -> str:
        """complete, failed, waiting or open."""
        shown = {state.state for state in self.states.values()}
        if shown == {State.DONE}:
            return "complete"
        if shown & {State.FAILED, State.DIFFERENCES, State.REJECTED}:
            return "failed"
        return "waiting" if shown & {State.WAITING, State.EXPIRED} else "open"


def gather(move: Move, journal: Journal, pass_: Pass, assumptions: Assumptions) -> Facts:
    """Reads everything about a pass."""
    runbook = move.runbook
    attempts = [attempt for attempt in journal.attempts(pass_) if attempt.part != CHECK]
    gates = journal.gates(pass_)
    states = read_states(move, journal, pass_)
    known = journal.passes()
    earlier = known[: [item.id for item in known].index(pass_.id)]
    history = read_history(runbook, journal, earlier)
    previous = earlier[-1] if earlier else None
    gap = _gap(move, states, journal, pass_)
    return Facts(
        move,
        pass_,
        now(),
        states,
        attempts,
        gates,
        journal.entries(pass_),
        _fault_rows(move, journal, pass_, attempts),
        _transfers(move.runbook, journal, attempts),
        _documents(journal, pass_, attempts),
        _bands(move, journal, [*earlier, pass_], history, assumptions),
        compare_passes(runbook, journal, previous, pass_) if previous else [],
        previous,
        _pass_seconds(move, journal, [*earlier[-3:], pass_]) if previous else {},
        gap,
        _leads(gap, assumptions) if gap else None,
    )


def _fault_rows(move: Move, journal: Journal, pass_: Pass, attempts: Sequence[Attempt]) -> list[FaultRow]:
    by_id = {attempt.id: attempt for attempt in attempts}
    cures = [entry for entry in journal.entries(pass_) if entry.kind is EntryKind.CURE]
    faults = [fault for fault in journal.faults(pass_) if fault.attempt in by_id]
    rows = []
    for fault in faults:
        step = by_id[fault.attempt].step
        following = [other.at for other in faults if other.at > fault.at and by_id[other.attempt].step == step]
        until = min(following) if following else None
        own = tuple(
            cure
            for cure in cures
            if cure.step in (step, "") and cure.at >= fault.at and (until is None or cure.at < until)
        )
        known = replace(
            fault,
            what=_without_paths(fault.what, move),
            lines=_without_paths(fault.lines, move),
            hint=_without_paths(fault.hint, move),
        )
        rows.append(FaultRow(known, step, own, _good_end(by_id[fault.attempt], attempts)))
    return rows


def _good_end(failed: Attempt, attempts: Sequence[Attempt]) -> Attempt | None:
    """The first later attempt that ended well at what a failed one tried: the step's run, or its verification."""
    return next(
        (
            item
            for item in attempts
            if (item.step, item.part) == (failed.step, failed.part)
            and item.id > failed.id
            and item.result is Result.DONE
        ),
        None,
    )


def _without_paths(text: str, move: Move) -> str:
    """A text without where things lie on the controller, which is of no use to whoever reads the report."""
    for folder, short in ((move.state, ".encaja/"), (move.project, ""), (collection(), "")):
        text = text.replace(f"{folder}/", short)
    return text


def _transfers(runbook: Runbook, journal: Journal, attempts: Sequence[Attempt]) -> list[Transfer]:
    """What moved bytes, the downloads first."""
    links = {step.id for step in runbook if step.scale is Scale.LINK}
    found = []
    arrived: dict[tuple[str, str, str], float] = {}
    for attempt in attempts:
        groups: dict[tuple[str, str], list[Measure]] = {}
        for measure in journal.measures(attempt.id):
            if measure.unit == "bytes":
                groups.setdefault((measure.host, measure.name), []).append(measure)
        for (host, name), items in groups.items():
            link = link_of(items)
            if link is None:
                continue
            key = (attempt.step, host, name)
            # A tool that ended well has all of it, though the last sample came before the last byte.
            there = items[-1].total if attempt.result is Result.DONE and items[-1].total else items[-1].done
            size = there - min(arrived.get(key, 0.0), items[0].done)
            arrived[key] = there
            rates = link.rates or (link.rate,)
            measures = tuple(with_rates(items))
            seconds = size / link.rate if link.rate else 0.0
            download = attempt.step in links and name in DOWNLOADS
            found.append(
                Transfer(attempt.step, host, name, measures, size, seconds, link.rate, min(rates), max(rates), download)
            )
    return sorted(found, key=lambda item: not item.download)


def _documents(journal: Journal, pass_: Pass, attempts: Sequence[Attempt]) -> dict[str, list[tuple[str, Document]]]:
    steps = {attempt.id: attempt.step for attempt in attempts}
    found: dict[str, list[tuple[str, Document]]] = {section: [] for section in DOCUMENT_SECTIONS}
    for document in journal.documents(pass_):
        if document.attempt in steps and _says_something(document.body):
            section = _SECTIONS.get(document.kind, "results")
            found[section].append((steps[document.attempt], document))
    found["certificates"] = _latest_certificates(found["certificates"])
    return found


def _says_something(body: object) -> bool:
    """Whether there is more in a document than its kind."""
    if isinstance(body, dict):
        return any(key != "kind" and item not in ("", None, [], {}) for key, item in body.items())
    return bool(body)


def _latest_certificates(documents: Sequence[tuple[str, Document]]) -> list[tuple[str, Document]]:
    """Lists of certificates with each of them once, as it was seen last."""
    seen: set[tuple[str, str]] = set()
    found: list[tuple[str, Document]] = []
    for step, document in reversed(documents):
        rows = document.body.get("certificates") if isinstance(document.body, dict) else None
        if not isinstance(rows, list):
            found.insert(0, (step, document))
            continue
        left = []
        for row in rows:
            key = (str(row.get("host", "")), str(row.get("name", "")))
            if key not in seen:
                seen.add(key)
                left.append(row)
        if left:
            found.insert(0, (step, replace(document, body={**document.body, "certificates": left})))
    return found


def _bands(
    move: Move,
    journal: Journal,
    passes: Sequence[Pass],
    history: Mapping[str, Sequence[PastStep]],
    assumptions: Assumptions,
) -> list[charts.Band]:
    """What was to be expected of each step from the earlier passes, as `encaja forecast --backtest` has it."""
    random = np.random.default_rng(0)
    known = {
        item.step: item
        for item in backtest(move.runbook, journal, passes, assumptions)
        if item.pass_name == passes[-1].name
    }
    found = []
    for step in move.runbook:
        if step.id in known:
            item = known[step.id]
            found.append(charts.Band(step.id, item.forecast.low, item.forecast.median, item.forecast.high, item.actual))
        elif step.kind is not Kind.HUMAN and step.id in history:
            spread = Spread.of(expected_duration(step, history[step.id], assumptions).draw(random, 2000))
            found.append(charts.Band(step.id, spread.low, spread.median, spread.high, None))
    if "" in known:
        whole = known[""]
        found.append(charts.Band("", whole.forecast.low, whole.forecast.median, whole.forecast.high, whole.actual))
    return [band for band in found if band.median > 0]


def verified(items: Sequence[tuple[str, Document]]) -> list[Verified]:
    """Verifications by environment: each check as the first one found it and as the last one did.

    A check that is "cured" in the only one had been found by an earlier look.
    """
    by_environment: dict[str, list[Document]] = {}
    for _, document in items:
        if document.kind == "verification" and isinstance(document.body, dict):
            by_environment.setdefault(str(document.body.get("environment", "")), []).append(document)
    return [_verified(name, documents) for name, documents in by_environment.items()]


def _verified(environment: str, documents: Sequence[Document]) -> Verified:
    """A verification may cover a few checks only: each one's first and last state come from those that cover it."""
    last = documents[-1]
    first: dict[str, str] = {}
    latest: dict[str, dict[str, Any]] = {}
    for document in documents:
        for item in document.body["checks"]:
            if item["id"] in latest:
                first.setdefault(item["id"], str(latest[item["id"]]["state"]))
            latest[item["id"]] = item
    probes = [
        Probe(
            title=item["title"],
            severity=str(item["severity"]),
            before=first.get(item["id"], "found" if item["state"] == "cured" else ""),
            after=str(item["state"]),
            evidence=str(item["evidence"]),
            cure=str(item["cure"]) if item["state"] in ("found", "unknown", "people") else "",
        )
        for item in latest.values()
    ]
    rank = {state: place for place, state in enumerate(_URGENT)}
    probes.sort(key=lambda probe: rank.get(probe.after, 0))
    return Verified(environment, str(last.body.get("domain", "")), last.at, tuple(probes))


def duties(facts: Facts) -> list[Duty]:
    """What each owner's steps took."""
    bars = timeline_bars(facts)
    return [
        Duty(
            owner,
            sum(step.owner is owner for step in facts.move.runbook),
            sum(
                (bar.ended - bar.begun).total_seconds()
                for bar in bars
                if bar.owner is owner and bar.kind not in charts.WAITS
            ),
            sum(
                (bar.ended - bar.begun).total_seconds()
                for bar in bars
                if bar.owner is owner and bar.kind in charts.WAITS
            ),
        )
        for owner in Owner
    ]


def _pass_seconds(move: Move, journal: Journal, shown: Sequence[Pass]) -> dict[str, dict[str, float]]:
    return {
        item.name: {
            step: past[-1].seconds
            for step, past in read_history(move.runbook, journal, [item]).items()
            if (known := move.runbook.get(step)) and known.kind is not Kind.HUMAN
        }
        for item in shown
    }


def _gap(
    move: Move, states: Mapping[str, StepState], journal: Journal, pass_: Pass
) -> tuple[datetime, datetime] | None:
    opens = next((step for step in move.runbook if step.gap_opens), None)
    closes = next((step for step in move.runbook if step.gap_closes), None)
    if not opens or not closes or not states[opens.id].done:
        return None
    lines = journal.gates(pass_, opens.id)
    start = lines[0].at if lines else states[opens.id].since
    end = states[closes.id].since if states[closes.id].done else now()
    return (start, end) if start and end else None


def _leads(gap: tuple[datetime, datetime], assumptions: Assumptions) -> float | None:
    if not assumptions.leads:
        return None
    seconds = (gap[1] - gap[0]).total_seconds()
    return float(Calendar(gap[0], assumptions).arrived(np.array([0.0]), np.array([seconds]))[0])


def words(language: str) -> dict[str, str]:
    """The report's words in a language ("en" or "es")."""
    return {key: str(value) for key, value in _texts()[language].items()}


@cache
def _texts() -> dict[str, Any]:
    text = resources.files("encaja.runbook.report").joinpath("report.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _label(language: str, key: object) -> str:
    """A key of a result as people read it."""
    known = _texts()["labels"][language].get(key)
    return str(known or key).replace("_", " ")


def to_html(facts: Facts, language: str) -> str:
    """The report as one HTML page in a language."""
    spoken = words(language)
    environment = Environment(
        loader=PackageLoader("encaja.runbook.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"span": format_span, "bytes": format_bytes, "moment": _moment}
    environment.filters["label"] = partial(_label, language)
    environment.tests["mapping_list"] = _is_mapping_list
    template = environment.get_template("report.html.j2")
    return template.render(
        w=spoken,
        language=language,
        facts=facts,
        steps=[(step, facts.states[step.id]) for step in facts.move.runbook],
        phases=facts.move.runbook.phases,
        signoffs=[gate for gate in facts.gates if gate.state is not GateState.WAITING],
        confirm_suffix=CONFIRM_SUFFIX,
        answered_by_yes=ANSWERED_BY_YES,
        attempts_of=_attempt_counts(facts.attempts),
        took_of=_took(facts),
        pictures=_pictures(facts, spoken),
        verified=verified(facts.documents["checks"]),
        duties=duties(facts),
        signers=_signers(facts),
        unhandled=[item for item in facts.documents["checks"] if item[1].kind not in ("verification", "preflight")],
        preflights=[item for item in facts.documents["checks"] if item[1].kind == "preflight"],
        columns=_columns,
        seconds=_total_seconds,
        proof=lambda step: proof_text(step, facts.move, language),
        undo=lambda step: undo_text(step, facts.move, language),
    )


def _signers(facts: Facts) -> list[tuple[Owner, str]]:
    """Who signs for which side; the name of whoever decided for that side last, to be corrected by hand."""
    names: dict[Owner, str] = {}
    for gate in facts.gates:
        step = facts.move.runbook.get(gate.step.removesuffix(CONFIRM_SUFFIX))
        if step and gate.state is GateState.APPROVED and gate.note != ANSWERED_BY_YES:
            names[step.owner] = gate.by
    return [(owner, names.get(owner, "")) for owner in Owner]


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _total_seconds(begun: datetime, ended: datetime) -> float:
    return (ended - begun).total_seconds()


def _is_mapping_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of a list of mappings, in order of appearance, ten at most."""
    return list(dict.fromkeys(key for row in rows for key in row))[:10]


def _took(facts: Facts) -> dict[str, float]:
    """How long each step took: all attempts at it together, or the wait for a person's decision."""
    took = {step: state.seconds for step, state in facts.states.items() if state.seconds is not None}
    for step in {attempt.step for attempt in facts.attempts}:
        took[step] = sum(attempt.seconds or 0.0 for attempt in facts.attempts if attempt.step == step)
    return took


def _attempt_counts(attempts: Sequence[Attempt]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for attempt in attempts:
        if attempt.part == "run":
            counts[attempt.step] = counts.get(attempt.step, 0) + 1
    return counts


def _pictures(facts: Facts, spoken: Mapping[str, str]) -> dict[str, Markup]:
    # Markup is right here: the SVG is matplotlib's own, which escapes what it is given.
    pictures: dict[str, Markup] = {}
    bars = timeline_bars(facts)
    if bars:
        figure = charts.timeline(bars, spoken, facts.gap)
        pictures["timeline"] = Markup(charts.to_svg(figure, "timeline"))  # noqa: S704
    for number, (kind, measures) in enumerate(_by_transfer(facts.transfers)):
        if len(measures) >= PICTURED_SAMPLES:
            name = f"rates-{kind}-{number}"
            pictures[name] = Markup(charts.to_svg(charts.rates(measures, spoken), name))  # noqa: S704
    if facts.bands:
        figure = charts.bands(facts.bands, spoken)
        pictures["forecast"] = Markup(charts.to_svg(figure, "forecast"))  # noqa: S704
    if facts.pass_seconds:
        steps = [
            step.id for step in facts.move.runbook if any(step.id in values for values in facts.pass_seconds.values())
        ]
        if steps:
            figure = charts.passes(steps, facts.pass_seconds)
            pictures["passes"] = Markup(charts.to_svg(figure, "passes"))  # noqa: S704
    return pictures


def _by_transfer(transfers: Sequence[Transfer]) -> list[tuple[str, list[Measure]]]:
    """Whether it is a download or a copy, and the samples of each transfer, all attempts at it together."""
    found: dict[tuple[str, str, str, str], list[Measure]] = {}
    for item in transfers:
        kind = "download" if item.download else "copy"
        found.setdefault((kind, item.step, item.host, item.name), []).extend(item.measures)
    return [(key[0], measures) for key, measures in found.items()]


def timeline_bars(facts: Facts) -> list[charts.Bar]:
    """The stretches of the timeline, in the run-book's order."""
    bars = []
    for step in facts.move.runbook:
        for attempt in facts.attempts:
            if attempt.step == step.id:
                kind = {Result.DONE: "done", Result.INTERRUPTED: "interrupted"}.get(
                    attempt.result or Result.FAILED, "failed"
                )
                if attempt.result is None:
                    kind = "interrupted"
                if kind == "done" and not facts.states[step.id].done:
                    kind = "undone"
                bars.append(charts.Bar(step.id, step.owner, attempt.at, attempt.ended or facts.made, kind))
        bars += _waits(
            step, [gate for gate in facts.gates if gate.step in (step.id, step.id + CONFIRM_SUFFIX)], facts.made
        )
    return bars


def _waits(step: Step, lines: Sequence[Gate], made: datetime) -> list[charts.Bar]:
    bars = []
    since: datetime | None = None
    owner = step.owner if step.kind is Kind.HUMAN else Owner.CONTRACTOR
    for line in lines:
        if line.state is GateState.WAITING:
            since = since or line.at
        elif since:
            kind = {GateState.REJECTED: "rejected", GateState.EXPIRED: "expired"}.get(line.state, "waited")
            bars.append(charts.Bar(step.id, owner, since, line.at, kind))
            since = None
    if since:
        bars.append(charts.Bar(step.id, owner, since, made, "waited"))
    return bars


def to_json(facts: Facts) -> dict[str, Any]:
    """The report's facts for programs; times in seconds, moments in ISO 8601 UTC."""
    return {
        "version": JSON_VERSION,
        "move": facts.move.title,
        "pass": facts.pass_.name,
        "made": to_text(facts.made),
        "verdict": facts.verdict,
        "begun": to_text(facts.begun),
        "ended": to_text(facts.ended),
        "machine_seconds": facts.machine_seconds,
        "gap": {"from": to_text(facts.gap[0]), "to": to_text(facts.gap[1]), "leads": facts.gap_leads}
        if facts.gap
        else None,
        "steps": [
            {
                "id": step.id,
                "phase": step.phase,
                "owner": step.owner,
                "state": facts.states[step.id].state,
                "verified_by": proof_text(step, facts.move, "en"),
                "undo": undo_text(step, facts.move, "en"),
                "seconds": facts.states[step.id].seconds,
                "attempts": facts.states[step.id].attempts,
                "by": facts.states[step.id].by,
            }
            for step in facts.move.runbook
        ],
        "transfers": [
            {
                "step": item.step,
                "host": item.host,
                "name": item.name,
                "bytes": item.size,
                "seconds": item.seconds,
                "rate": item.rate,
                "slowest": item.slowest,
                "fastest": item.fastest,
                "download": item.download,
            }
            for item in facts.transfers
        ],
        "faults": [
            {
                "at": to_text(row.fault.at),
                "step": row.step,
                "host": row.fault.host,
                "task": row.fault.task,
                "what": row.fault.what,
                "hint": row.fault.hint,
                "cures": [cure.text for cure in row.cures],
                "done_at": to_text(row.after.ended) if row.after and row.after.ended else None,
            }
            for row in facts.faults
        ],
        "documents": {
            section: [
                {"step": step, "kind": item.kind, "at": to_text(item.at), "body": item.body} for step, item in items
            ]
            for section, items in facts.documents.items()
        },
        "owners": [asdict(duty) for duty in duties(facts)],
        "verified": [{**asdict(item), "at": to_text(item.at)} for item in verified(facts.documents["checks"])],
        "forecast": [asdict(band) for band in facts.bands],
        "differences": [asdict(item) for item in facts.differences],
        "signoffs": [
            {"step": gate.step, "state": gate.state, "by": gate.by, "note": gate.note, "at": to_text(gate.at)}
            for gate in facts.gates
        ],
        "entries": [
            {"at": to_text(entry.at), "by": entry.by, "kind": entry.kind, "step": entry.step, "text": entry.text}
            for entry in facts.entries
        ],
    }
