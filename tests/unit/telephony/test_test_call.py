from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fake_portal import settings_for
from recorded_calls import stream

from encaja.telephony import calls, test_call
from encaja.telephony.spool import Spool


def test_the_steps_of_a_call_say_what_is_there_and_what_is_missing(tmp_path: Path):
    settings = settings_for("https://portal.example", tmp_path)
    spool = Spool(tmp_path / "calls.db")
    spool.fold(stream("answered"))
    [entry] = spool.recent()
    call = calls.describe(entry, settings)
    waiting = test_call.evaluate(call, recorded=True)
    assert [step.passed for step in waiting] == [True, None, False, True, None, None, None]
    assert not test_call.is_settled(waiting)
    entry.report.call_id, entry.report.shown, entry.report.recorded = "externalCall.1", [5], "99"
    entry.report.entity, entry.report.created, entry.report.finished, entry.report.activity = "LEAD 7", True, 1.0, "55"
    spool.save_report(entry)
    call = calls.describe(spool.recent()[0], settings)
    call["portal"] = {"CALL_DURATION": "3", "CALL_FAILED_CODE": "200"}
    done = test_call.evaluate(call, recorded=True)
    assert [step.passed for step in done] == [True] * 7
    assert test_call.is_settled(done)
    assert "externalCall.1, LEAD 7 (new)" in {step.detail for step in done}
    call["portal"] = {"CALL_DURATION": "30"}
    assert [asdict(step)["name"] for step in test_call.evaluate(call, recorded=False) if not step.passed] == [
        "the portal's statistics agree"
    ]
    spool.close()
