"""Notices: complete in both languages, sent to the team."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from encaja.errors import ConfigurationError
from encaja.notices import Notice, compose, send, texts
from encaja.runbook.durations import now
from encaja.runbook.record.journal import Fault, GateState, Journal
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.notifications import TeamNotifier
from support import recorded_week as case


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return case.make_move(tmp_path)


def test_both_languages_have_the_same_notices_and_every_step_its_own(move: Move) -> None:
    assert texts("en").keys() == texts("es").keys()
    for step in move.runbook:
        if step.notice:
            assert step.notice in texts("en")
    with pytest.raises(ConfigurationError, match="there is no notice 'ghost'"):
        compose("ghost", "en", {})


@pytest.mark.parametrize("language", ["en", "es"])
def test_notices_leave_no_blanks_but_the_date(language: str) -> None:
    values = {
        "move": "M",
        "step": "s",
        "title": "T",
        "owner": "client",
        "pass_name": "p",
        "what": "w",
        "hint": "m",
        "report": "r",
        "environment": "production",
        "requests": "crm.csr",
    }
    for name in texts(language):
        notice = compose(name, language, values, until=datetime(2026, 11, 26, 20, 0))
        assert "$" not in notice.subject + notice.body, name
    users = compose("backup-date", language, {"date": "2026-11-26 20:00", "portal": "https://portal.example.com/"})
    assert "2026-11-26 20:00" in users.subject
    assert "https://portal.example.com/" in users.body
    assert "Bitrix24.Network" in users.body


def test_team_is_told_and_a_failed_delivery_does_not_stop_the_move(tmp_path: Path) -> None:
    extra = tmp_path / "announce.yml"
    extra.write_text("move: {announce: {team: ['json://good', 'json://user:secret@bad']}, language: es}\n")
    move = case.make_move(tmp_path, [extra])
    sent: list[tuple[Notice, tuple[str, ...]]] = []

    def sender(notice: Notice, addresses: object) -> list[str]:
        sent.append((notice, tuple(addresses)))
        return ["'json://…' did not take it"]

    with Journal(move.journal) as journal:
        pass_ = journal.start_pass("cutover", "ana", {})
        lines = TeamNotifier(sender).notify_gate(move, pass_, move.step("request-backup"), GateState.WAITING, None)
        fault = Fault(1, now(), "host", "task", "no space left", "", "free some space")
        TeamNotifier(sender).notify_failure(move, pass_, move.step("restore"), fault)
    assert sent[0][0].subject.endswith("pida la copia de seguridad al proveedor")
    assert "no space left" in sent[1][0].body
    assert "free some space" in sent[1][0].body
    assert lines[0].startswith("sent to 1 of 2")
    assert lines[1].startswith("not delivered")


def test_unusable_address_is_named_by_its_scheme_alone() -> None:
    (line,) = send(Notice("s", "b"), ["nonsense://user:secret@host"])
    assert line.startswith("'nonsense://…'")
    assert "secret" not in line
