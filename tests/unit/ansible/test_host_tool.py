"""What the action ``host_tool`` believes of a host: a stand-in for one, with its systemd, journal and status file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.encaja.portal.plugins.action import host_tool
from ansible_collections.encaja.portal.plugins.action.host_tool import ActionModule, parse_look

UNIT = "encaja-restore.service"
Start = Callable[["Host"], None]


class Host:
    """A host that does with each start what the test says, in turn; the last one again and again."""

    def __init__(self, *starts: Start) -> None:
        self.starts = list(starts)
        self.started: list[str] = []
        self.ordered = ""
        self.boot = 1
        self.system = "running"
        self.unit = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "InvocationID": ""}
        self.status: dict[str, Any] = {}
        self.journal = ""
        self.refusal = ""
        self.later: list[Callable[[], None]] = []
        self.away: list[str] = []

    def run(self, command: str) -> dict[str, Any]:
        """What Ansible would bring back."""
        if self.away:
            raise AnsibleConnectionFailure(self.away.pop(0))
        if "systemctl start" in command:
            if self.refusal:
                return {"rc": 1, "stdout": "", "stderr": self.refusal}
            self.ordered = re.findall(r"ENCAJA_START=(\w+)", command)[0]
            self.started.append(self.ordered)
            self.begin()
            return {"rc": 0, "stdout": "", "stderr": ""}
        if "journalctl" in command:
            return {"rc": 0, "stdout": self.journal, "stderr": ""}
        if self.later:
            self.later.pop(0)()
        head = "".join(f"{name}={value}\n" for name, value in self.unit.items() if self.system != "offline")
        head += f"UserspaceTimestampMonotonic={self.boot}\nBoot=0\nSystem={self.system}\n---\n"
        return {"rc": 0, "stdout": head + (json.dumps(self.status) if self.status else ""), "stderr": ""}

    def begin(self) -> None:
        """The unit begins, unless it runs already."""
        if self.unit["ActiveState"] == "inactive" or self.unit["ActiveState"] == "failed":
            self.unit = {"ActiveState": "active", "Result": "success", "ExecMainStatus": "0", "InvocationID": "i"}
            self.status = {"phase": "check", "start": self.ordered, "error": None}
            (self.starts.pop(0) if len(self.starts) > 1 else self.starts[0])(self)

    def end(self, result: str = "success", code: int = 0, **status: Any) -> None:
        """The unit ends with a result, and the tool with a word, or without."""
        self.status.update(status)
        self.unit.update(ActiveState="inactive" if result == "success" else "failed", Result=result)
        self.unit["ExecMainStatus"] = str(code)

    def reboot(self) -> None:
        """Power is lost and comes back: systemd knows nothing of the unit."""
        self.boot += 1
        self.unit = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "InvocationID": ""}


def done(host: Host) -> None:
    host.end(phase="done")


def lost_power(host: Host) -> None:
    host.later.append(host.reboot)


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    lines: list[str] = []
    monkeypatch.setattr(host_tool.time, "sleep", lambda _: None)
    monkeypatch.setattr(host_tool, "_display", SimpleNamespace(display=lines.append))
    monkeypatch.delenv("ENCAJA_PROGRESS", raising=False)
    yield lines


def run(host: Host, **arguments: Any) -> dict[str, Any]:
    given = {"unit": UNIT, "status": "/s.json", **arguments}
    task = SimpleNamespace(
        args=given, check_mode=False, diff=False, async_val=0, action="host_tool", get_name=lambda: "Restore",
        collections=[], delegate_to=None, environment=None,
    )  # fmt: skip
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), reset=lambda: None, become=None)
    action = ActionModule(task, connection, SimpleNamespace(), None, None, None)
    action._low_level_execute_command = host.run
    result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "production"})
    return result


def test_done_is_what_the_status_of_this_start_says() -> None:
    host = Host(done)
    result = run(host)
    assert not result.get("failed") and result["changed"]
    assert result["status"]["start"] == host.started[0]


@pytest.mark.parametrize("status", [{}, {"phase": "done", "error": None}, {"phase": "done", "start": "of-yesterday"}])
@pytest.mark.fault("power loss: host", "restore", "the controller sees an idle unit after the start")
def test_a_unit_that_never_ran_since_the_host_was_started_is_not_done(status: dict[str, Any], shown: list[str]) -> None:
    """The host lost power in the midst: its systemd says inactive and success."""

    def forgets(host: Host) -> None:
        host.later += [host.reboot]
        host.status = status

    host = Host(forgets, done)
    result = run(host)
    assert len(host.started) == 2
    assert result["status"]["start"] == host.started[1] != host.started[0]
    assert not result.get("failed") and result["changed"]
    assert any("the host was restarted meanwhile: started again" in line for line in shown)


@pytest.mark.fault("power loss: host", "restore", "right after the last word of the tool")
def test_a_tool_that_was_done_before_the_host_lost_power_is_done() -> None:
    def done_then_lost(host: Host) -> None:
        host.status["phase"] = "done"
        host.later.append(host.reboot)

    host = Host(done_then_lost)
    assert not run(host).get("failed")
    assert len(host.started) == 1


@pytest.mark.parametrize(
    ("result", "code"), [("success", 0), ("signal", 9), ("exit-code", 143), ("oom-kill", 9), ("timeout", 15)]
)
@pytest.mark.fault("kill -9: host tool", "restore", "the controller looks on")
def test_an_end_without_a_report_is_followed_by_another_start(result: str, code: int) -> None:
    host = Host(lambda host: host.end(result, code), done)
    assert not run(host).get("failed")
    assert len(host.started) == 2


def test_starts_are_limited_and_the_reason_is_shown() -> None:
    host = Host(lost_power)
    result = run(host, starts=3)
    assert result["failed"] and len(host.started) == 3
    assert "started 3 times and never finished" in result["msg"]
    assert "the host was restarted meanwhile" in result["msg"]


def test_an_error_of_the_tool_fails_immediately() -> None:
    host = Host(lambda host: host.end("exit-code", 1, error="the link has expired: get a new one"))
    result = run(host)
    assert result["failed"] and len(host.started) == 1
    assert result["msg"] == f"{UNIT}: the link has expired: get a new one"


def test_an_error_of_an_earlier_start_is_ignored() -> None:
    host = Host(done)
    host.status = {"phase": "stream", "error": "the disk is full", "start": "of-yesterday"}
    assert not run(host).get("failed")


@pytest.mark.parametrize(
    ("journal", "said"),
    [("No module named 'httpx'\n", "No module named 'httpx'"), ("", "ended with exit-code, exit code 1")],
)
def test_a_failure_has_a_reason_whatever_the_tool_wrote(journal: str, said: str) -> None:
    host = Host(lambda host: host.end("exit-code", 1))
    host.journal = journal
    result = run(host)
    assert result["failed"] and len(host.started) == 1
    assert said in result["msg"]


def test_done_but_for_what_has_to_follow_is_a_failure() -> None:
    """The restore is done, what puts the server's settings back afterwards is not."""
    host = Host(lambda host: host.end("exit-code", 1, phase="done"))
    host.journal = "the database refuses a statement"
    assert "refuses a statement" in run(host)["msg"]


def test_a_unit_that_cannot_be_started_is_a_failure() -> None:
    host = Host(done)
    host.refusal = f"Failed to start {UNIT}: Unit {UNIT} not found."
    result = run(host)
    assert result["failed"]
    assert "not found" in result["msg"]


def test_a_running_tool_is_waited_for_and_started_with_the_current_job(shown: list[str]) -> None:
    host = Host(done)
    host.unit["ActiveState"] = "active"
    host.status = {"phase": "stream", "start": "of-yesterday"}
    host.later = [lambda: None, lambda: None, lambda: host.end(phase="done")]
    result = run(host)
    assert len(host.started) == 1
    assert result["status"]["start"] == host.started[0]
    assert result["changed"]
    assert any("it runs already" in line for line in shown)


def test_a_unit_whose_start_is_queued_has_not_ended() -> None:
    """After boot the job waits for the network: inactive, and nobody has said anything."""

    def queued(host: Host) -> None:
        host.unit.update(ActiveState="inactive", Job="17")
        host.later += [lambda: None, lambda: host.unit.pop("Job") and host.end(phase="done")]

    host = Host(queued)
    assert not run(host).get("failed")
    assert len(host.started) == 1


def test_the_state_of_a_host_that_shuts_down_is_ignored(shown: list[str]) -> None:
    """An orderly restart stops the unit first, and systemd soon gives no answer."""

    def restarted(host: Host) -> None:
        def stops() -> None:
            host.end("exit-code", 143)
            host.system = "stopping"

        def gone() -> None:
            host.system = "offline"

        def back() -> None:
            host.system = "starting"
            host.reboot()

        host.later += [stops, gone, back]

    host = Host(restarted, done)
    assert not run(host).get("failed")
    assert len(host.started) == 2
    assert any("the host was restarted meanwhile" in line for line in shown)


@pytest.mark.fault("SSH cut", "restore", "while the tool works")
def test_an_unreachable_host_is_waited_for_and_the_limit_is_shown(shown: list[str]) -> None:
    host = Host(done)
    host.away = ["No route to host"] * 3
    assert not run(host).get("failed")
    waits = [line for line in shown if "waiting for production (No route to host) since" in line]
    assert len(waits) == 1 and re.search(r"since \d\d:\d\d:\d\dZ, until \d\d:\d\d:\d\dZ", waits[0])


def test_a_host_that_stays_away_is_unreachable() -> None:
    host = Host(done)
    host.away = ["No route to host"] * 9
    with pytest.raises(AnsibleConnectionFailure):
        run(host, patience=-1)


def test_a_tool_that_had_nothing_to_do_changes_nothing() -> None:
    assert run(Host(lambda host: host.end(phase="done", changed=False)))["changed"] is False


def test_the_transfer_of_an_interrupted_start_is_reported() -> None:
    def fetched(host: Host) -> None:
        host.status["transfer"] = {"done": 10, "total": 10}
        host.later += [lambda: None, host.reboot]

    assert run(Host(fetched, done))["encaja_progress"] == {"done": 10, "total": 10}


def test_a_unit_started_otherwise_is_only_shown() -> None:
    host = Host(done)
    host.unit["ActiveState"] = "active"
    host.status = {"phase": "following", "message": "3 records"}
    host.later = [lambda: None, lambda: host.end(phase="done")]
    result = run(host, start=False)
    assert host.started == [] and result["changed"] is False
    host.unit["ActiveState"] = "active"
    host.later = [lambda: None, lambda: host.end("exit-code", 2, phase="following", error="no webhook")]
    assert "no webhook" in run(host, start=False)["msg"]


def test_a_query_is_parsed_with_any_status_file() -> None:
    look = parse_look('ActiveState=active\r\nResult=success\nSystem=running\n---\n{"phase": "x"}')
    assert look.running and look.seen and look.status == {"phase": "x"}
    for torn in ("", '{"phase": "do', "\x00\x00", "[]"):
        assert parse_look(f"ActiveState=active\nSystem=running\n---\n{torn}").status == {}
    assert not parse_look("Failed to connect to bus\n---\n").seen
