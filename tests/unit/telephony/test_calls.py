"""The host tool ``telephony-calls``: the latest calls with their reports, and the portal's own record of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_portal import FakePortal, serve
from recorded_calls import relabel, stream
from test_telephony_settings import write_job

from encaja.telephony import calls
from encaja.telephony.spool import Spool


def asked(url: str, folder: Path, capsys: pytest.CaptureFixture[str], **portal: Any) -> dict[str, Any]:
    settings = {"url": url, "token": "secret-token", "default_user_id": 1, "rate": 1000.0, "burst": 1000, **portal}
    assert calls.run(write_job(folder / "job.json", {"state": str(folder), "portal": settings})) == 0
    return dict(json.loads(capsys.readouterr().out))


def reported(folder: Path) -> Spool:
    """Two calls: one that the portal has as finished, and a later one that it has not heard of."""
    spool = Spool(folder / "calls.db")
    first = stream("answered")
    spool.fold(first)
    spool.fold(relabel(first, "b", 60))
    entry = spool.get(first[0].linked)
    assert entry is not None
    entry.report.call_id, entry.report.finished, entry.report.entity = "externalCall.1", 9.0, "LEAD 7"
    spool.save_report(entry)
    return spool


def test_the_latest_calls_come_with_what_the_portal_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    portal = FakePortal()
    portal.statistics = [{"CALL_ID": "externalCall.1", "CALL_DURATION": "3"}, {"CALL_ID": "another"}]
    reported(tmp_path).close()
    with serve(portal) as url:
        answer = asked(url, tmp_path, capsys)
    later, first = answer["calls"]
    assert (answer["trouble"], answer["recordings"]) == ("", False)
    assert (first["portal"], first["entity"], first["call_id"]) == (portal.statistics[0], "LEAD 7", "externalCall.1")
    assert (later["portal"], later["call_id"], later["finished"]) == (None, "", None)
    assert later["direction"] == first["direction"] == "in"
    assert portal.steps() == ["voximplant.statistic.get"], "only finished calls are asked for"


def test_a_portal_that_does_not_answer_is_said_and_the_calls_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = FakePortal()
    portal.down = True
    reported(tmp_path).close()
    with serve(portal) as url:
        answer = asked(url, tmp_path, capsys)
    assert "HTTP 502" in answer["trouble"]
    assert len(answer["calls"]) == 2


def test_the_connectors_own_token_is_used_and_never_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    portal = FakePortal()
    oauth = {"client_id": "i", "client_secret": "s", "refresh_token": "r"}
    reported(tmp_path).close()
    with serve(portal) as url:
        assert asked(url, tmp_path, capsys, token="", oauth=oauth)["trouble"] != "", "it has none yet"
        (tmp_path / "tokens.json").write_text(json.dumps({"access_token": "secret-token"}))
        assert asked(url, tmp_path, capsys, token="", oauth=oauth)["trouble"] == ""
        portal.tokens = set()
        assert "token was refused" in asked(url, tmp_path, capsys, token="", oauth=oauth)["trouble"]
    assert json.loads((tmp_path / "tokens.json").read_text()) == {"access_token": "secret-token"}


def test_an_exchange_without_calls_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked("http://127.0.0.1:1", tmp_path, capsys) == {"calls": [], "trouble": "", "recordings": False}
