"""Action ``host_tool``: runs a host tool under systemd until the tool itself reports that it is done.

An inactive unit means nothing: it may have ended, been killed, or never have run since the host was booted. So every
start gets an id (``encaja.status.START_VARIABLE``), which the unit reads from a file and the tool writes into its
status. Only the status of this start reports success or failure; a start that ended without it is repeated, because a
tool continues where it stopped.

The action repeats the start, not the host when it boots: the job was requested by a person, who may change it
before the tool continues. If the controller is gone too, the next ``encaja run`` continues.
"""

from __future__ import annotations

import json
import os
import shlex
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.status import PROGRESS_MARK, PROGRESS_VARIABLE, START_VARIABLE, STARTS, waiting_for

_RUNNING = frozenset({"active", "activating", "deactivating", "reloading"})
_LEAVING = frozenset({"stopping", "offline", "unknown", ""})
"""States of systemd in which a host is shutting down: the state of its units then means nothing."""
_STOPPED_BY_SIGNAL = 143
_PROPERTIES = ("ActiveState", "Result", "Job", "ExecMainStatus", "InvocationID")
_display = Display()


class ToolFailed(Exception):  # noqa: N818  (reads like its message)
    """The tool failed: its own reason, or empty."""


def progress_line(status: dict[str, Any]) -> str:
    """One line for a person: phase, share, rate, time left."""
    parts = [str(status.get("phase", ""))]
    done, total = float(status.get("done") or 0), float(status.get("total") or 0)
    if total:
        parts.append(f"{100 * done / total:.0f} %")
    if status.get("unit") == "bytes" and status.get("rate") and total:
        parts.append(f"{float(status['rate']) / 1e6:.1f} MB/s")
    if status.get("eta_seconds") is not None:
        minutes, seconds = divmod(int(status["eta_seconds"]), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    if status.get("message"):
        parts.append(str(status["message"]))
    return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Look:
    """The result of one query of the host.

    Attributes:
        unit: the unit's properties as systemd has them.
        system: the state of the host's systemd.
        boot: names the host's start.
        status: the tool's status file; empty where it cannot be read.
    """

    unit: dict[str, str] = field(default_factory=dict)
    system: str = ""
    boot: str = ""
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def seen(self) -> bool:
        """Whether systemd answered, and the host is not shutting down."""
        return bool(self.unit.get("ActiveState")) and self.system not in _LEAVING

    @property
    def running(self) -> bool:
        """Whether the unit runs or is starting."""
        return self.unit.get("ActiveState") in _RUNNING or self.unit.get("Job", "0") not in ("", "0")

    def is_of(self, start: str) -> bool:
        """Whether the status is that of this start."""
        return bool(start) and self.status.get("start") == start


def parse_look(text: str) -> Look:
    """Parse the output of one query: properties, a line ``---``, the status file."""
    head, _, tail = text.replace("\r", "").partition("\n---\n")
    properties = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    try:
        status = json.loads(tail) if tail.strip() else {}
    except ValueError:
        status = {}
    boot = properties.pop("Boot", "") + properties.get("UserspaceTimestampMonotonic", "")
    return Look(properties, properties.pop("System", ""), boot, status if isinstance(status, dict) else {})


def verdict(look: Look, start: str, boot: str) -> tuple[bool, str]:
    """Judge a unit that has ended.

    Args:
        look: what was seen.
        start: the start that was ordered.
        boot: names the host's start when it was ordered.

    Returns:
        Whether the tool is done, and else why it has to be started again.

    Raises:
        ToolFailed: it failed; with the tool's own reason, or empty.
    """
    result, code = look.unit.get("Result", ""), int(look.unit.get("ExecMainStatus") or 0)
    if look.is_of(start):
        if error := look.status.get("error"):
            raise ToolFailed(str(error))
        if look.status.get("phase") == "done":
            if result != "success":
                raise ToolFailed("")
            return True, ""
    if look.boot != boot:
        return False, "the host was restarted meanwhile"
    if result == "exit-code" and code != _STOPPED_BY_SIGNAL:
        raise ToolFailed("")
    if result in ("success", "exit-code"):
        return False, "it was stopped, or ended without reporting that it is done"
    if result in ("resources", "protocol", "exec-condition", "start-limit-hit"):
        raise ToolFailed(f"systemd could not run it ({result})")
    return False, f"it was terminated by the system ({result})"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Starts the unit, then queries unit and status file until the tool has reported its end."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the tool and return its last status."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        _, self._given = self.validate_argument_spec(
            {
                "unit": {"type": "str", "required": True},
                "status": {"type": "path", "required": True},
                "start": {"type": "bool", "default": True},
                "interval": {"type": "float", "default": 5},
                "patience": {"type": "int", "default": 3600},
                "starts": {"type": "int", "default": 6},
            }
        )
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True, "msg": "a host tool does not run in check mode"}
        self._unit = shlex.quote(self._given["unit"])
        self._shown, self._transfer, self._last = "", None, Look()
        try:
            status, changed = self._carry_out() if self._given["start"] else self._follow()
        except ToolFailed as fault:
            failed = {"failed": True, "changed": True, "msg": f"{self._given['unit']}: {fault}"}
            return {**result, **failed, "status": self._last.status}
        progress: dict[str, Any] = {"encaja_progress": self._transfer} if self._transfer else {}
        return {**result, **progress, "changed": changed, "status": status, "msg": progress_line(status)}

    def _carry_out(self) -> tuple[dict[str, Any], bool]:
        """Start the tool as often as necessary; returns its status, and whether anything was changed.

        Raises:
            ToolFailed: it failed, or never finished.
        """
        look = self._look()
        ran = look.running
        if ran:
            self._tell(look.status, "it runs already: waiting for its end, then it is started with the job of now")
            look = self._wait_until_ended("")
        reason = ""
        for number in range(1, int(self._given["starts"]) + 1):
            if reason:
                self._tell({}, f"{reason}: started again, continuing ({number} of {self._given['starts']} starts)")
            start, boot = uuid.uuid4().hex, look.boot
            self._order(start, boot)
            look = self._wait_until_ended(start)
            try:
                done, reason = verdict(look, start, boot)
            except ToolFailed as fault:
                raise ToolFailed(str(fault) or self._last_words(look)) from fault
            if done:
                return look.status, bool(look.status.get("changed", True)) or ran or number > 1
        raise ToolFailed(
            f"started {self._given['starts']} times and never finished, the last time because {reason}; see "
            f"'journalctl -u {self._given['unit']}' on {self._host}, then run it again to continue"
        )

    def _follow(self) -> tuple[dict[str, Any], bool]:
        """Show a unit that was started otherwise, until it stops.

        Raises:
            ToolFailed: it failed.
        """
        look = self._wait_until_ended("")
        if look.unit.get("Result") != "success" or look.status.get("phase") != "done" or look.status.get("error"):
            raise ToolFailed(str(look.status.get("error") or "") or self._last_words(look))
        return look.status, False

    def _order(self, start: str, boot: str) -> None:
        """Write the id of the start to disk, then start the unit.

        Raises:
            ToolFailed: systemd refuses.
        """
        file = shlex.quote(f"{STARTS}/{self._given['unit']}")
        code, out, err = self._ask(
            f"mkdir -p {STARTS} && printf '%s\\n' {START_VARIABLE}={start} > {file}.new && sync {file}.new"
            f" && mv {file}.new {file} && sync {STARTS} && systemctl daemon-reload"
            f" && {{ systemctl reset-failed {self._unit} 2>/dev/null; systemctl start --no-block {self._unit}; }}"
        )
        if code and self._look().boot == boot:  # else it was just shutting down, and the start is repeated
            raise ToolFailed(f"cannot be started: {(err or out).strip() or f'exit code {code}'}")

    def _look(self) -> Look:
        shown = " ".join(f"-p {name}" for name in _PROPERTIES)
        # The unit before the system: one that a shutdown has ended is then seen in a system that is stopping.
        command = (
            f"systemctl show {shown} {self._unit}; systemctl show -p UserspaceTimestampMonotonic; "
            "echo Boot=$(cat /proc/sys/kernel/random/boot_id); "
            "echo System=$(systemctl is-system-running 2>/dev/null); "
            f"echo ---; cat {shlex.quote(self._given['status'])} 2>/dev/null || true"
        )
        _, out, _ = self._ask(command, lambda _, out: parse_look(out).seen)
        self._last = parse_look(out)
        return self._last

    def _wait_until_ended(self, start: str) -> Look:
        """Query until the unit has ended; shows only the status of this start (empty: of any)."""
        pause = 0.5
        while True:
            look = self._look()
            if not start or look.is_of(start):
                if isinstance(look.status.get("transfer"), dict):
                    self._transfer = look.status["transfer"]
                if look.running:
                    self._tell(look.status)
            if not look.running:
                return look
            time.sleep(pause)
            pause = min(float(self._given["interval"]), pause * 1.5)

    def _last_words(self, look: Look) -> str:
        """The last output of a tool that ended without a reason of its own; never empty."""
        unit, code = self._given["unit"], look.unit.get("ExecMainStatus", "?")
        invocation = look.unit.get("InvocationID", "")
        _, out, _ = self._ask(f"journalctl -q -o cat -n 5 _SYSTEMD_INVOCATION_ID={shlex.quote(invocation)}")
        words = " / ".join(line.strip() for line in out.splitlines() if line.strip())
        ended = f"ended with {look.unit.get('Result') or 'no result'}, exit code {code}"
        return words or f"{ended}, without output; see 'journalctl -u {unit}' on {self._host}"

    def _tell(self, status: dict[str, Any], words: str = "") -> None:
        """Show the status, or a message, once: to a person, or as a marked line to the conductor."""
        line = words or progress_line(status)
        if not line or line == self._shown:
            return
        self._shown = line
        if PROGRESS_VARIABLE not in os.environ:
            _display.display(f"{self._task.get_name()}: {line}")
            return
        known = {key: status.get(key) for key in ("phase", "message", "done", "total", "unit", "rate")}
        if words:
            known["message"] = words
        _display.display(PROGRESS_MARK + json.dumps({"host": self._host, "line": line, **known}))

    @property
    def _host(self) -> str:
        return str(self._task_vars.get("inventory_hostname", ""))

    def _ask(self, command: str, good: Callable[[int, str], bool] | None = None) -> tuple[int, str, str]:
        """Run a command on the host and return its exit code, output and errors.

        While the host is out of reach, or its answer not ``good`` because it is on its way down or up, it is asked
        again for as long as the patience lasts.

        Raises:
            AnsibleConnectionFailure: the host stayed out of reach.
            ToolFailed: its answer is not ``good``.
        """
        began, since = time.monotonic(), time.time()
        shown: set[str] = set()
        while True:
            try:
                done = self._low_level_execute_command(command)
                code, out, err = int(done.get("rc", 0)), str(done.get("stdout", "")), str(done.get("stderr", ""))
                if code != 255 and (good is None or good(code, out)):
                    return code, out, err
                reason, fault = (err.strip() or out.strip()).splitlines()[-1:], None
            except AnsibleConnectionFailure as error:
                reason, fault = str(error).strip().split(". ")[0].splitlines()[-1:], error
            if time.monotonic() - began > self._given["patience"]:
                raise fault or ToolFailed(f"{self._host} gives no answer: {''.join(reason) or 'systemd is not there'}")
            words = waiting_for(self._host, "".join(reason)[:200], since, since + self._given["patience"])
            if words not in shown:
                self._tell({}, words)
            shown.add(words)
            if fault:
                self._connection.reset()
            time.sleep(float(self._given["interval"]))
