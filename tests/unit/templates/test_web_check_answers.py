"""The role's look at what nginx answers, while a reload is under way and when something stays wrong."""

from __future__ import annotations

import http.client
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[3] / "roles" / "web" / "files" / "check_answers.py"


def right(path: str, host: str) -> int:
    if host != "crm.example.org":
        raise http.client.RemoteDisconnected
    return 404 if path in {"/bx_tmp_download/x", "/upload/x.jpg"} else 403


def run(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, str, float], int]) -> tuple[int, float]:
    """Exit code, and seconds that were waited, of a run against a server that answers by path, host and time."""
    clock = [0.0]

    class Connection:
        def __init__(self, *_: object, **__: object) -> None:
            self.asked = ("", "")

        def request(self, _method: str, path: str, headers: dict[str, str]) -> None:
            self.asked = (path, headers["Host"])

        def getresponse(self) -> SimpleNamespace:
            return SimpleNamespace(status=answer(*self.asked, clock[0]))

        def close(self) -> None:
            pass

    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(sys, "argv", ["check_answers.py", "crm.example.org", "plain"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT))
    return int(ended.value.code or 0), clock[0]


def test_right_answers_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda path, host, _: right(path, host)) == (0, 0.0)


def test_old_workers_of_a_reload_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    code, waited = run(monkeypatch, lambda path, host, now: 404 if now < 3 else right(path, host))
    assert code == 0
    assert 3 <= waited < 4


def test_persistent_wrong_answers_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, waited = run(monkeypatch, lambda path, host, _: 200 if path == "/x.sql" else right(path, host))
    assert code == 1
    assert waited >= 15
    assert capsys.readouterr().err == "/x.sql must be refused (403), nginx answers 200\n"
