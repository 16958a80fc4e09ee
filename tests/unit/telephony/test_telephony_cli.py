"""``encaja telephony test``: a call is followed through Ansible, to an exchange that answers as the test says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from encaja.cli import telephony as command
from encaja.errors import ConfigurationError, EncajaError

CALL = {
    "id": "1.1", "direction": "in", "number": "+34600111222", "line": "+34910000001", "answered": None, "ended": None,
    "duration": 0, "status": "", "user": None, "call_id": "", "entity": "", "created": False, "shown": [],
    "finished": None, "activity": "", "recorded": "", "error": "", "portal": None,
}  # fmt: skip
OVER = {
    **CALL, "answered": 2.0, "ended": 9.0, "duration": 7, "status": "200", "user": 5, "call_id": "externalCall.1",
    "entity": "LEAD 7", "created": True, "shown": [5], "finished": 9.5, "activity": "55", "recorded": "99",
    "portal": {"CALL_DURATION": "7", "CALL_FAILED_CODE": "200"},
}  # fmt: skip
OTHER = {**OVER, "id": "0.9", "number": "+34699"}


class Exchange:
    """Answers one look after the other; the last one again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.looks: list[list[dict[str, Any]]] = []
        self.trouble = ""
        self.ran: list[tuple[str, list[str]]] = []
        self.tagged: list[Any] = []
        self.result: dict[str, Any] = {}
        self.code = 0
        self.now = 0.0
        self.cloud: list[str] = []

    def run(self, words: list[str], **options: Any) -> Any:
        name, rest = Path(words[0]).name, words[1:]
        assert options["cwd"] == self.folder
        self.ran.append((name, rest))
        if name == "ansible-inventory":
            out: Any = {"cloud": {"hosts": self.cloud}} if self.cloud else {}
            return SimpleNamespace(returncode=0, stdout=json.dumps(out), stderr="")
        if name == "ansible-playbook":
            return SimpleNamespace(returncode=self.code, stdout="", stderr="ERROR! the trunk is down\nmore\n")
        calls = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        answer = {"calls": calls, "trouble": self.trouble, "recordings": True}
        result = self.result or {"stdout": json.dumps(answer)}
        play = {"plays": [{"tasks": [{"hosts": {"exchange": result}}]}]}
        return SimpleNamespace(returncode=self.code, stdout=json.dumps(play), stderr="")


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    made = Exchange(tmp_path)
    monkeypatch.setattr(command.subprocess, "run", made.run)
    monkeypatch.setattr(command, "find_project", lambda: tmp_path)
    monkeypatch.setattr(command, "play", lambda *given, **_: made.tagged.append((given[2], given[3])))
    monkeypatch.setattr(command.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(command.time, "sleep", lambda seconds: setattr(made, "now", made.now + seconds))
    monkeypatch.setenv("ENCAJA_INVENTORY", str(tmp_path))
    return made


def follow(*words: str) -> Any:
    group = typer.Typer()
    group.callback()(lambda: None)
    group.add_typer(command.app, name="telephony")
    return CliRunner().invoke(group, ["telephony", "test", *words])


def test_a_call_is_followed_to_its_end_and_its_record_is_marked_as_test_data(exchange: Exchange) -> None:
    exchange.looks = [[OTHER], [OTHER], [OTHER, CALL], [OTHER, OVER]]
    done = follow("--json")
    assert done.exit_code == 0, done.output
    assert "call one of the portal's numbers now, answer, hang up" in done.stderr
    steps = json.loads(done.stdout)
    assert len(steps) == 7 and all(step["passed"] for step in steps)
    assert done.stderr.count("yes the exchange received it") == 1
    assert exchange.tagged == [
        ("carry_over.yml", {"carry_over_mode": "tag-tests", "carry_over_tests": [{"entity": "lead", "id": 7}]})
    ]


def test_a_call_from_another_number_is_not_the_one(exchange: Exchange) -> None:
    outgoing = {**OVER, "id": "3", "direction": "out"}
    exchange.looks = [[], [{**OVER, "id": "2", "number": "+34699"}, outgoing, {**OVER, "number": "0034 600 111 222"}]]
    assert follow("--number", "+34 600-111-222").exit_code == 0
    exchange.looks = [[], [{**OVER, "id": "2", "number": "+34699"}, outgoing]]
    done = follow("--number", "+34600111222", "--wait", "10")
    assert isinstance(done.exception, EncajaError)
    assert "the exchange received it: no (no call came in)" in str(done.exception)


def test_the_first_step_that_fails_is_the_error_and_nothing_is_marked(exchange: Exchange) -> None:
    exchange.looks = [[], [{**OVER, "answered": None, "recorded": "none: the file is missing"}]]
    done = follow()
    assert "an agent answered: no (no agent answered)" in str(done.exception)
    assert "no  the recording is attached" in done.stderr
    assert exchange.tagged == []


def test_what_has_not_come_when_the_time_is_over_is_shown_as_it_is(exchange: Exchange) -> None:
    exchange.looks = [[], [{**OVER, "finished": None, "recorded": "", "error": "User is not found"}]]
    done = follow("--wait", "10")
    assert "the portal finished it: no (User is not found)" in str(done.exception)
    assert "no  the portal finished it: User is not found" in done.stderr
    assert exchange.now >= 10


@pytest.mark.parametrize("change", [{"created": False}, {"entity": ""}])
def test_a_record_that_was_there_before_is_not_marked(exchange: Exchange, change: dict[str, Any]) -> None:
    exchange.looks = [[], [{**OVER, **change}]]
    assert follow().exit_code == 0
    assert exchange.tagged == []


def test_a_record_that_cannot_be_marked_is_named_and_the_call_has_passed(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(*_: Any, **__: Any) -> None:
        raise EncajaError("no webhook", "production")

    monkeypatch.setattr(command, "play", play)
    exchange.looks = [[], [OVER]]
    done = follow()
    assert done.exit_code == 0
    assert "lead 7 is not marked as test data: production: no webhook" in done.stderr


def test_the_lab_places_the_call_itself(exchange: Exchange) -> None:
    exchange.cloud = ["cloud"]
    exchange.looks = [[], [{**OVER, "number": "+34611222333"}]]
    (exchange.folder / command.PLACE).parent.mkdir(parents=True)
    (exchange.folder / command.PLACE).touch()
    assert follow("--number", "+34611222333").exit_code == 0
    [words] = [words for name, words in exchange.ran if name == "ansible-playbook"]
    assert words[-3:] == [str(command.PLACE), "-e", '{"call_caller": "+34611222333"}']
    exchange.code = 1
    done = follow()
    assert str(done.exception).startswith("ansible-playbook: ERROR! the trunk is down")


def test_an_exchange_that_does_not_answer_and_a_portal_that_refuses_are_named(exchange: Exchange) -> None:
    exchange.looks = [[]]
    exchange.result, exchange.code = {"msg": "Failed to connect"}, 4
    assert str(follow().exception) == "exchange: Failed to connect (run playbooks/telephony.yml)"
    exchange.result, exchange.code = {}, 0
    exchange.trouble = "the token was refused"
    assert str(follow().exception) == "exchange: the token was refused"


def test_it_needs_an_inventory_that_is_there(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    done = follow("-i", str(exchange.folder / "none"))
    assert isinstance(done.exception, ConfigurationError) and "no such inventory" in str(done.exception)
    monkeypatch.delenv("ENCAJA_INVENTORY")
    assert "no inventory" in str(follow().exception)
    assert exchange.ran == []
