"""The case's week as a journal: a rehearsal and a cut-over with its real figures (10 and 14 hours for 30 GB)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from encaja.runbook.book.loader import load_runbook
from encaja.runbook.book.model import Kind
from encaja.runbook.record.journal import Document, EntryKind, Event, Fault, GateState, Journal, Measure, Pass, Result
from encaja.runbook.record.workspace import Move

PLAYBOOKS = (
    "preflight",
    "provision",
    "certificates",
    "portal",
    "restore",
    "settle",
    "push_pull",
    "domain",
    "telephony",
    "clone",
    "compare",
    "carry_over",
    "prove",
    "verify",
    "backup",
    "release",
)
SIZE = 30_000_000_000.0
MINUTES = {
    "preflight": 1.2,
    "provision": 9.5,
    "test-environment": 1.1,
    "install-certificate": 0.7,
    "deploy-box": 4.2,
    "prove-box": 0.4,
    "deploy-preproduction": 6.5,
    "settle": 95.0,
    "prove-portal": 0.6,
    "check-licence": 0.3,
    "verify": 2.4,
    "configure-telephony-server": 22.0,
    "test-call": 1.5,
    "test-host": 31.0,
    "refresh-preproduction": 29.0,
    "compare-preproduction": 0.5,
    "prepare-carry-over": 1.0,
    "follow-cloud": 1.0,
    "remove-test-data": 1.0,
    "carry-over": 3.0,
    "reconcile": 2.0,
    "release": 1.0,
    "register-portal": 0.5,
}
HOURS = {
    "buy-certificate": 20.0,
    "test-box": 2.0,
    "request-backup": 17.0,
    "tell-users": 1.0,
    "configure-telephony-module": 0.5,
    "test-in-depth": 5.0,
    "declare-healthy": 0.5,
    "stop-cloud-sales": 0.2,
    "sales-start": 0.3,
    "renew-applications": 2.0,
    "test-in-use": 52.0,
    "approve-performance": 1.0,
}


@dataclass
class Clock:
    """A clock that goes on only when told."""

    moment: datetime = datetime(2026, 11, 5, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def go(self, span: timedelta) -> None:
        self.moment += span


def make_project(path: Path, runbook: str = "") -> Path:
    """A project directory with an empty playbook of each name."""
    (path / "playbooks").mkdir(parents=True, exist_ok=True)
    for name in PLAYBOOKS:
        (path / "playbooks" / f"{name}.yml").write_text(
            "- {name: Nothing, hosts: all, gather_facts: false, tasks: []}\n"
        )
    if runbook:
        (path / "runbook.yml").write_text(runbook)
    return path


def make_move(path: Path, files: Sequence[Path] = ()) -> Move:
    """A move over the shipped run-book."""
    project = make_project(path)
    return Move(project, project / ".encaja", load_runbook(project, files), ())


@dataclass
class Week:
    """Writes passes into a journal as if they had happened."""

    move: Move
    journal: Journal
    clock: Clock
    seed: int = 1
    random: random.Random = field(init=False)

    def go(self, name: str, *, rate: float, noise: float = 0.03, wobble: float = 0.08, faults: bool = False) -> Pass:
        """One pass; `rate` is the link's mean in bytes a second, `noise` the steps' spread, `wobble` the link's."""
        pass_ = self.journal.start_pass(name, "marta", {"inventories": ["inventories/production"]})
        for step in self.move.runbook:
            # A step more in the run-book must not change how long the others took.
            self.random = random.Random(f"{self.seed} {name} {step.id}")
            if step.kind is Kind.HUMAN:
                self._gate(pass_, step.id)
            elif step.id == "restore":
                self._restore(pass_, rate, wobble, faults=faults)
            else:
                if faults and step.id == "settle":
                    self._attachment_icon(pass_)
                self._attempt(pass_, step.id, MINUTES[step.id] * 60 * self._about(noise))
                if step.verify:
                    self._attempt(pass_, step.id, 40, "verify")
            self.clock.go(timedelta(seconds=4))
        return pass_

    def _about(self, noise: float) -> float:
        return self.random.lognormvariate(0.0, noise)

    def _gate(self, pass_: Pass, step: str) -> None:
        self.journal.add_gate(pass_, step, GateState.WAITING, by="marta", note="")
        self.clock.go(timedelta(hours=HOURS[step] * self._about(0.2)))
        self.journal.add_gate(pass_, step, GateState.APPROVED, by="ana", note="as agreed")

    def _attempt(self, pass_: Pass, step: str, seconds: float, part: str = "run") -> None:
        attempt = self._begin(pass_, step, part)
        self.clock.go(timedelta(seconds=seconds))
        stats = {"ok": 40, "changed": 12, "failures": 0, "dark": 0}
        body = _DOCUMENTS.get(step) if part == "run" else None
        found = [Document(attempt.id, self.clock(), body["kind"], body)] if body else []
        self.journal.finish(attempt, Result.DONE, stats=stats, documents=found)

    def _begin(self, pass_: Pass, step: str, part: str = "run"):
        return self.journal.begin(
            pass_, step, part, by="marta", kind="playbook", directory="/nonexistent", hosts=["portal.example.com"]
        )

    def _fail(self, attempt, *, after: float, task: str, what: str, lines: str, hint: str) -> None:
        self.clock.go(timedelta(seconds=after))
        fault = Fault(attempt.id, self.clock(), "portal.example.com", task, what, lines, hint)
        self.journal.add_events([Event(attempt.id, self.clock(), "failed", fault.host, task, 1.0, text=what)])
        self.journal.finish(attempt, Result.FAILED, code=2, summary=what, faults=[fault])

    def _attachment_icon(self, pass_: Pass) -> None:
        self._fail(
            self._begin(pass_, "settle"),
            after=420,
            task="push_pull: Ask the messenger for its attachment button",
            what="the messenger has no attachment button",
            lines="pull.nginx = N\nim.disk_storage_api_version = 2",
            hint="connect the push server in the push & pull settings",
        )
        self.clock.go(timedelta(minutes=40))
        self.journal.add_entry(
            pass_, EntryKind.CURE, "push server connected; the icon is back", by="marta", step="settle", at=self.clock()
        )

    def _restore(self, pass_: Pass, rate: float, wobble: float, *, faults: bool) -> None:
        attempt = self._begin(pass_, "restore")
        done, every = 0.0, 600.0
        level = 1.0
        measures: list[Measure] = []
        while done < SIZE:
            level = 1 + 0.9 * (level - 1) + self.random.gauss(0, wobble)
            now_rate = rate * max(level, 0.2)
            seconds = min(every, (SIZE - done) / now_rate)
            self.clock.go(timedelta(seconds=seconds))
            done = min(SIZE, done + now_rate * seconds)
            measures.append(
                Measure(attempt.id, self.clock(), "portal.example.com", "fetch", done, SIZE, "bytes", now_rate)
            )
            if faults and done > 0.7 * SIZE:
                faults = False
                self.journal.add_events([], measures)
                measures = []
                self._fail(
                    attempt,
                    after=5,
                    task="restore: Wait for the restore",
                    what="volume 23 of 31 is broken: gzip CRC mismatch at byte 88,120,331",
                    lines="20251106_backup.tar.gz.23: fetched again, same hash\nthe server gives a broken file",
                    hint="ask the vendor for this volume again, then run again",
                )
                self.clock.go(timedelta(minutes=12))
                self.journal.add_entry(pass_, EntryKind.CURE, "vendor repaired volume 23", by="marta", step="restore")
                attempt = self._begin(pass_, "restore")
        self.journal.add_events([], measures)
        self.clock.go(timedelta(minutes=14))
        self.journal.finish(attempt, Result.DONE, stats={"ok": 22, "changed": 9})


def _check(name: str, english: str, spanish: str, state: str, evidence: str, cure: str = "") -> dict[str, object]:
    title = {"en": english, "es": spanish}
    return {"id": name, "title": title, "severity": "error", "state": state, "evidence": evidence, "cure": cure}


_DOCUMENTS = {
    "preflight": {"kind": "preflight", "hosts": ["portal.example.com", "copy.example.com"], "faults": []},
    "verify": {
        "kind": "verification",
        "environment": "production",
        "domain": "portal.example.com",
        "differences": 0,
        "leads": {"weeks": 2, "until": "2026-11-05 20:00:00", "hours": ([0] * 9 + [20] * 9 + [0] * 6) * 5 + [0] * 48},
        "checks": [
            _check("case-links", "Links in notifications", "Enlaces en las notificaciones", "cured", "all have a host"),
            _check("case-icon", "Attachment button", "Botón de adjuntar", "cured", "shown, a file was sent"),
            _check("case-search", "Search index", "Índice de búsqueda", "ok", "2,184 of 2,184 records"),
            _check(
                "case-users",
                "Users who cannot log in",
                "Usuarios que no entran",
                "people",
                "17 of 212",
                cure="send them recovery links",
            ),
        ],
    },
    "compare-preproduction": {
        "kind": "compare",
        "a": "production",
        "b": "preproduction",
        "neutralised": "preproduction",
        "differences": 0,
        "sections": [
            {
                "section": {"en": "options", "es": "opciones"},
                "compared": 3311,
                "equal": 3270,
                "expected": 41,
                "different": 0,
            },
            {"section": {"en": "rows", "es": "filas"}, "compared": 1204, "equal": 1180, "expected": 24, "different": 0},
        ],
        "found": [],
        "expected": [],
    },
    "test-call": {
        "kind": "reconcile",
        "since": "2026-11-05T20:00Z",
        "entities": [
            {"entity": "leads", "cloud": 214, "carried": 214, "missing": 0, "doubled": 0},
            {"entity": "deals", "cloud": 37, "carried": 37, "missing": 0, "doubled": 0},
            {"entity": "contacts", "cloud": 201, "carried": 201, "missing": 0, "doubled": 0},
        ],
    },
    "install-certificate": {
        "kind": "certificates",
        "certificates": [
            {"name": "portal.example.com", "issuer": "R11", "until": "2027-02-01", "ok": True},
            {"name": "telephony.example.com", "issuer": "R11", "until": "2027-02-01", "ok": True},
        ],
    },
}
