"""Action ``host_tool``: runs a host tool under systemd and waits for it, through broken connections."""

from __future__ import annotations

import json
import os
import shlex
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from encaja.status import PROGRESS_MARK, PROGRESS_VARIABLE

_RUNNING = frozenset({"active", "activating", "deactivating", "reloading"})
_display = Display()


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


def parse_look(text: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Split what one look brought: the unit's properties, an empty line, the status file."""
    head, _, tail = text.replace("\r", "").partition("\n---\n")
    properties = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    try:
        status = json.loads(tail) if tail.strip() else {}
    except ValueError:
        status = {}
    return properties, status


class ActionModule(ActionBase):  # type: ignore[misc]
    """Starts the unit, then looks at unit and status file until the unit has ended."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the tool and give its last status."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        _, given = self.validate_argument_spec(
            {
                "unit": {"type": "str", "required": True},
                "status": {"type": "path", "required": True},
                "interval": {"type": "float", "default": 5},
                "patience": {"type": "int", "default": 3600},
            }
        )
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True, "msg": "a host tool does not run in check mode"}
        unit = shlex.quote(given["unit"])
        self._remote(
            f"systemctl daemon-reload && systemctl reset-failed {unit}; systemctl start --no-block {unit}", given
        )
        properties, status = self._wait(unit, given)
        if properties.get("Result") != "success" or status.get("error"):
            reason = status.get("error") or self._remote(f"journalctl -q -o cat -n 5 -u {unit}", given).strip()
            return {**result, "failed": True, "changed": True, "msg": f"{given['unit']}: {reason}", "status": status}
        told = {"encaja_progress": status["transfer"]} if isinstance(status.get("transfer"), dict) else {}
        changed = bool(status.get("changed", True))
        return {**result, **told, "changed": changed, "status": status, "msg": progress_line(status)}

    def _wait(self, unit: str, given: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        look = (
            f"systemctl show -p ActiveState -p SubState -p Result {unit}; echo ---; "
            f"cat {shlex.quote(given['status'])} 2>/dev/null || true"
        )
        shown, pause = "", 0.5
        while True:
            properties, status = parse_look(self._remote(look, given))
            line = progress_line(status)
            if properties.get("ActiveState") not in _RUNNING:
                return properties, status
            if line and line != shown:
                _display.display(self._told(line, status))
                shown = line
            time.sleep(pause)
            pause = min(float(given["interval"]), pause * 1.5)

    def _told(self, line: str, status: dict[str, Any]) -> str:
        """The line for whoever looks: a person, or the conductor, who makes more of it."""
        if PROGRESS_VARIABLE not in os.environ:
            return f"{self._task.get_name()}: {line}"
        known = {key: status.get(key) for key in ("phase", "message", "done", "total", "unit", "rate")}
        return PROGRESS_MARK + json.dumps({"host": self._host, "line": line, **known})

    @property
    def _host(self) -> str:
        return str(self._task_vars.get("inventory_hostname", ""))

    def _remote(self, command: str, given: dict[str, Any]) -> str:
        """Run a command; while the host is out of reach, try again."""
        began = time.monotonic()
        while True:
            try:
                done = self._low_level_execute_command(command)
            except AnsibleConnectionFailure:
                if time.monotonic() - began > given["patience"]:
                    raise
                self._connection.reset()
                time.sleep(float(given["interval"]))
                continue
            if done.get("rc") == 255 and time.monotonic() - began <= given["patience"]:
                time.sleep(float(given["interval"]))
                continue
            return str(done.get("stdout", ""))
