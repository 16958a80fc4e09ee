"""What is made of ansible-runner's events."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from encaja.runbook.report.live_display import amount
from encaja.runbook.run.runner_events import (
    Digest,
    advice,
    describe_failure,
    find_progress,
    last_log_lines,
    plain,
    to_measure,
)
from encaja.status import PROGRESS_MARK


def event(kind: str, host: str = "a", **data: object) -> dict[str, object]:
    return {"event": kind, "created": "2026-11-05T08:00:00", "event_data": {"host": host, "task": "Task", **data}}


def stats(**counts: dict[str, int]) -> dict[str, object]:
    return {"event": "playbook_on_stats", "event_data": counts}


def test_rescued_failure_is_not_the_plays_failure() -> None:
    digest = Digest(1)
    digest.take(event("runner_on_failed", res={"msg": "will be rescued"}))
    digest.take(event("runner_on_ok", res={"changed": True}))
    digest.take(stats(ok={"a": 2}, rescued={"a": 1}, failures={}))
    assert digest.faults() == []


def test_real_failure_is_told_apart_from_an_earlier_rescued_one() -> None:
    digest = Digest(1)
    digest.take(event("runner_on_failed", res={"msg": "rescued"}))
    digest.take(event("runner_on_failed", host="b", res={"msg": "rescued too"}))
    digest.take(event("runner_on_failed", res={"msg": "the real one"}))
    digest.take(stats(failures={"a": 1}, rescued={"a": 1, "b": 1}))
    assert [(fault.host, fault.what) for fault in digest.faults()] == [("a", "the real one")]


def test_ignored_failure_is_journalled_as_ignored() -> None:
    digest = Digest(1)
    signals = digest.take(event("runner_on_failed", ignore_errors=True, res={"msg": "never mind"}))
    assert [item.kind for item in signals.events] == ["ignored"]
    assert digest.faults() == []


def test_unreachable_host_that_came_back_is_no_fault() -> None:
    digest = Digest(1)
    digest.take(event("runner_on_unreachable", res={"msg": "Connection timed out"}))
    assert digest.faults()[0].hint
    digest.take(stats(ok={"a": 1}, dark={}))
    assert digest.faults() == []


def test_hidden_output_stays_hidden() -> None:
    digest = Digest(1)
    digest.take(event("runner_on_failed", res={"censored": "the output has been hidden"}))
    assert "hidden" in digest.faults()[0].what
    assert digest.faults()[0].lines == ""


@pytest.mark.parametrize(
    "result",
    [
        {"encaja_progress": {"phase": "fetch", "done": 5, "total": 10, "unit": "bytes", "rate": 2}},
        {"ansible_facts": {"encaja_progress": {"phase": "fetch", "done": 5, "total": 10, "unit": "bytes", "rate": 2}}},
        {
            "encoding": "base64",
            "content": base64.b64encode(
                json.dumps({"phase": "fetch", "done": 5, "total": 10, "unit": "bytes", "rate": 2}).encode()
            ).decode(),
        },
        {"stdout": '{"phase": "fetch", "done": 5, "total": 10, "unit": "bytes", "rate": 2}'},
    ],
)
@pytest.mark.parametrize("kind", ["runner_retry", "runner_on_ok"])
def test_progress_of_host_tools_is_found(result: dict[str, object], kind: str) -> None:
    (measure,) = Digest(7).take(event(kind, res=result)).measures
    assert (measure.attempt, measure.host, measure.name, measure.done, measure.total) == (7, "a", "fetch", 5, 10)


@pytest.mark.parametrize(
    "result",
    [{}, {"stdout": "{not json"}, {"stdout": '{"a": 1}'}, {"encoding": "base64", "content": "?"}, {"stdout": "plain"}],
)
def test_other_results_are_no_progress(result: dict[str, object]) -> None:
    assert find_progress(result) is None


def test_documents_are_handed_over_by_set_stats() -> None:
    digest = Digest(1)
    digest.take(stats(ok={"a": 1}, artifact_data={"encaja_result": {"kind": "verify", "differences": 0}}))
    assert [(item.kind, item.body["differences"]) for item in digest.documents] == [("verify", 0)]


def test_document_of_a_task_counts_though_it_failed_over_it() -> None:
    digest = Digest(1)
    digest.take(
        event("runner_on_failed", res={"msg": "1 thing", "encaja_result": {"kind": "preflight", "faults": [1]}})
    )
    assert [(item.kind, item.body["faults"]) for item in digest.documents] == [("preflight", [1])]


SSH = {"what": "no answer by SSH: Connection refused", "where": "a", "hint": "check its SSH port"}


DISK = {"what": "no space left", "where": "b", "hint": "give it a disk"}


@pytest.mark.parametrize(
    ("faults", "hint"),
    [
        ([SSH], "check its SSH port"),
        ([SSH, {**SSH, "where": "b"}], "check its SSH port"),
        ([SSH, DISK], "fix each fault as its line says, then run again"),
    ],
)
def test_faults_with_cures_of_their_own_need_no_guess(faults: list[dict[str, str]], hint: str) -> None:
    digest = Digest(1)
    said = "\n".join(fault["what"] for fault in faults)
    digest.take(event("runner_on_failed", res={"msg": said, "encaja_result": {"kind": "preflight", "faults": faults}}))
    assert digest.faults()[0].hint == hint


def test_progress_of_a_task_under_way_is_taken_from_its_line() -> None:
    status = {
        "host": "db",
        "line": "stream, 50 %",
        "phase": "stream",
        "done": 5,
        "total": 10,
        "unit": "bytes",
        "rate": 2,
    }
    raw = {"event": "verbose", "created": "2026-11-05T08:00:00", "stdout": PROGRESS_MARK + json.dumps(status)}
    signals = Digest(3).take(raw)
    (measure,) = signals.measures
    assert (measure.attempt, measure.host, measure.name, measure.done, measure.total) == (3, "db", "stream", 5, 10)
    assert signals.log == "db: stream, 50 %"
    assert Digest(3).take({**raw, "stdout": PROGRESS_MARK + "{cut"}).measures == []


def test_failure_is_described_by_its_first_line_and_its_last() -> None:
    what, lines = describe_failure({"msg": "non-zero return code", "stdout": "one\ntwo", "stderr": "three\nfour"})
    assert what == "four"
    assert lines.splitlines()[-1] == "four"
    assert lines.startswith("one")


def test_failed_items_are_named() -> None:
    what, lines = describe_failure(
        {
            "msg": "One or more items failed",
            "results": [{"item": "x", "failed": True, "msg": "no x"}, {"item": "y", "msg": "fine"}],
        }
    )
    assert what == "x: no x"
    assert "fine" not in lines


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("OSError: No space left on device", "free space"),
        ("Permission denied (publickey).", "SSH key"),
        ("SSH reported an unrecognized or mismatching host key.", "known_hosts"),
        ("Attempting to decrypt but no vault secrets found", "vault"),
        ("something never seen", ""),
    ],
)
def test_advice(text: str, part: str) -> None:
    assert part in advice(text)
    assert bool(advice(text)) == bool(part)


def test_run_that_broke_early_is_explained_by_its_log() -> None:
    what, lines = last_log_lines(["", "[WARNING]: x", "ERROR! the playbook: y.yml could not be found", ""])
    assert what == "the playbook: y.yml could not be found"
    assert "[WARNING]: x" in lines
    assert last_log_lines([])[0]


def test_amount_that_was_told_late_has_the_moment_at_which_it_was_reached() -> None:
    told = datetime(2026, 11, 5, 8, 0, 10, tzinfo=UTC)
    reached = datetime(2026, 11, 5, 8, 0, 3, tzinfo=UTC)
    status = {"phase": "stream", "done": 5, "total": 5, "unit": "bytes", "rate": 1, "ended": reached.timestamp()}
    measure = to_measure(1, "h", status, told)
    assert measure is not None
    assert measure.at == reached
    ahead = to_measure(1, "h", {**status, "ended": told.timestamp() + 60}, told)
    assert ahead is not None
    assert ahead.at == told


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"done": 5, "total": 20, "unit": "records", "rate": 2}, "5 of 20 records · 2 records/s · 7.5 s left"),
        ({"done": 5, "total": 0, "unit": "records", "rate": 2}, "5 records"),
    ],
)
def test_an_amount_whose_whole_is_not_known_is_told_alone(status: dict[str, object], text: str) -> None:
    measure = to_measure(1, "h", status, datetime(2026, 11, 5, tzinfo=UTC))
    assert measure is not None
    assert amount(measure) == text


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
