"""What is asked of a database server that goes away and comes back."""

from __future__ import annotations

from collections.abc import Callable

import pymysql
import pytest

from encaja.restore.errors import BackupError
from encaja.restore.load.database import Server, explain, patiently

SERVER = Server("portal_s1", "portal", host="db.acme.example")
AWAY = pymysql.err.OperationalError(2003, "Can't connect to MySQL server (Connection refused)")
REFUSED = pymysql.err.OperationalError(1142, "DROP command denied")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encaja.restore.load.database.time.sleep", lambda _: None)


def failing(*errors: Exception) -> Callable[[], str]:
    """An action that fails so, and then does what it should."""
    left = list(errors)

    def action() -> str:
        if not left:
            return "done"
        error = left.pop(0)
        if isinstance(error, BackupError):
            raise error from AWAY
        raise error

    return action


def nothing() -> None:
    """Nobody breaks it off."""


@pytest.mark.parametrize("error", [AWAY, explain(AWAY, SERVER), pymysql.err.InterfaceError(0, "")])
def test_it_is_waited_for_and_said_so(error: Exception) -> None:
    told: list[str] = []
    assert patiently(failing(error, error), SERVER, 600, told.append, nothing) == "done"
    assert "waiting for the database server db.acme.example:3306/portal_s1" in told[0]
    assert told[-1] == ""


def test_one_that_answers_is_no_wait() -> None:
    told: list[str] = []
    assert patiently(failing(), SERVER, 600, told.append, nothing) == "done"
    assert told == []


def test_a_refusal_is_none_either() -> None:
    with pytest.raises(BackupError, match="lacks rights"):
        patiently(failing(REFUSED), SERVER, 600, lambda _: None, nothing)


def test_another_fault_stays_what_it_is() -> None:
    with pytest.raises(BackupError, match="no such tree"):
        patiently(failing_with_its_own("no such tree"), SERVER, 600, lambda _: None, nothing)


def failing_with_its_own(text: str) -> Callable[[], str]:
    def action() -> str:
        raise BackupError(text, "here")

    return action


def test_patience_ends() -> None:
    with pytest.raises(BackupError, match="no connection"):
        patiently(failing(*[AWAY] * 9), SERVER, -1, lambda _: None, nothing)


def test_it_can_be_broken_off() -> None:
    def stop() -> None:
        raise BackupError("broken off", "here")

    with pytest.raises(BackupError, match="broken off"):
        patiently(failing(AWAY), SERVER, 600, lambda _: None, stop)
