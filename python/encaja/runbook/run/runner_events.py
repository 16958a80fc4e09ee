"""Interprets ansible-runner's events: what to journal, what to show, and which failure was the real one.

Field names are those of ansible-runner 2.4 (`awx_display`). A `runner_on_failed` event says only that a task failed,
not that the play did: a rescued or ignored task sends one too. Which hosts failed in the end
only `playbook_on_stats` says.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from encaja.runbook.durations import from_text, now
from encaja.runbook.record.journal import Document, Event, Fault, Measure
from encaja.status import PROGRESS_MARK

RESULT_KEY = "encaja_result"
PROGRESS_KEY = "encaja_progress"
TEXT_LIMIT = 600
LAST_LINES = 15
# Colours, titles of windows, movements of the cursor; and what else a terminal does not show.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NO_TRACEBACK = "(traceback unavailable)"
_NO_MESSAGE = "failed without a message"


def plain(text: str) -> str:
    """Text as a terminal would leave it: without escape sequences, of a line that was overwritten its last state."""
    if text.isprintable():
        return text
    lines = _ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(_CONTROLS.sub("", _last_state(line)) for line in lines)


def _last_state(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


@dataclass
class Signals:
    """What one raw event turned into."""

    log: str = ""
    events: list[Event] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    task: str | None = None
    play: str | None = None
    messages: list[tuple[str, str]] = field(default_factory=list)


class Digest:
    """Follows one playbook run. Cheap by design: ansible-runner waits for it at every event."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.stats: dict[str, dict[str, int]] = {}
        self.documents: list[Document] = []
        self._failures: dict[str, Fault] = {}
        self._unreachable: dict[str, Fault] = {}
        self.tasks = 0

    def take(self, raw: Mapping[str, Any]) -> Signals:
        """Digests one event."""
        kind = str(raw.get("event", ""))
        data = raw.get("event_data") or {}
        signals = Signals(log=str(raw.get("stdout") or ""))
        handler = _HANDLERS.get(kind)
        if kind == "verbose" and signals.log.startswith(PROGRESS_MARK):
            self._on_progress_line(_moment(raw), signals)
        if handler is not None:
            handler(self, data, _moment(raw), signals)
        return signals

    def faults(self) -> list[Fault]:
        """The failures that stopped a host: neither rescued nor ignored."""
        found = [fault for host, fault in self._unreachable.items() if not self.stats or self._count("dark", host)]
        return found + [
            fault for host, fault in self._failures.items() if not self.stats or self._count("failures", host)
        ]

    def summary(self) -> dict[str, int]:
        """Task counts over all hosts."""
        return {
            key: sum(self.stats.get(key, {}).values())
            for key in ("ok", "changed", "failures", "dark", "rescued", "skipped")
        }

    def _count(self, key: str, host: str) -> int:
        return self.stats.get(key, {}).get(host, 0)

    def _on_play(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        signals.play = str(data.get("name") or data.get("play") or "")
        signals.events.append(Event(self.attempt, at, "play", text=signals.play))

    def _on_task(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        del at
        self.tasks += 1
        signals.task = _task_name(data)

    def _on_ok(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        result = _result(data)
        changed = bool(result.get("changed"))
        self._take_documents(result.get(RESULT_KEY), at)
        signals.events.append(self._event(data, at, "changed" if changed else "ok", changed=changed))
        self._look_for_progress(data, result, at, signals)

    def _on_skipped(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        signals.events.append(self._event(data, at, "skipped"))

    def _on_failed(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        result = _result(data)
        what, lines = describe_failure(result)
        self._take_documents(result.get(RESULT_KEY), at)
        ignored = bool(data.get("ignore_errors"))
        signals.events.append(self._event(data, at, "ignored" if ignored else "failed", text=what))
        if not ignored:
            host = str(data.get("host") or "")
            hint = _own_hint(result) or advice(what + "\n" + lines)
            self._failures[host] = Fault(self.attempt, at, host, _task_name(data), what, lines, hint)

    def _on_unreachable(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        what, lines = describe_failure(_result(data))
        host = str(data.get("host") or "")
        signals.events.append(self._event(data, at, "unreachable", text=what))
        self._unreachable[host] = Fault(
            self.attempt, at, host, _task_name(data), what, lines, advice(what + "\n" + lines) or _UNREACHABLE_ADVICE
        )

    def _on_retry(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        self._look_for_progress(data, _result(data), at, signals)

    def _on_stats(self, data: Mapping[str, Any], at: datetime, signals: Signals) -> None:
        del signals
        for key in ("ok", "changed", "failures", "dark", "rescued", "skipped", "ignored"):
            counts = data.get(key)
            self.stats[key] = (
                {str(host): int(count) for host, count in counts.items()} if isinstance(counts, dict) else {}
            )
        custom = data.get("artifact_data") or {}
        self._take_documents(custom.get(RESULT_KEY) if isinstance(custom, dict) else None, at)

    def _take_documents(self, handed: object, at: datetime) -> None:
        """Results in JSON, published by `set_stats` or by a task itself, also by one that failed."""
        for item in handed if isinstance(handed, list) else [handed]:
            if isinstance(item, dict):
                self.documents.append(Document(self.attempt, at, str(item.get("kind") or "result"), item))

    def _event(
        self, data: Mapping[str, Any], at: datetime, kind: str, *, changed: bool = False, text: str = ""
    ) -> Event:
        seconds = data.get("duration")
        return Event(
            self.attempt,
            at,
            kind,
            host=str(data.get("host") or ""),
            task=_task_name(data),
            seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
            changed=changed,
            text=text[:TEXT_LIMIT],
        )

    def _look_for_progress(
        self, data: Mapping[str, Any], result: Mapping[str, Any], at: datetime, signals: Signals
    ) -> None:
        status = find_progress(result)
        if status is not None:
            add_progress(signals, self.attempt, str(data.get("host") or ""), status, at)

    def _on_progress_line(self, at: datetime, signals: Signals) -> None:
        """A host tool's status while its task still runs."""
        try:
            status = json.loads(signals.log.removeprefix(PROGRESS_MARK))
        except ValueError:
            return
        if isinstance(status, dict):
            host = str(status.get("host") or "")
            signals.log = f"{host}: {status.get('line', '')}"
            add_progress(signals, self.attempt, host, status, at)


_HANDLERS = {
    "playbook_on_play_start": Digest._on_play,
    "playbook_on_task_start": Digest._on_task,
    "playbook_on_handler_task_start": Digest._on_task,
    "runner_on_ok": Digest._on_ok,
    "runner_on_skipped": Digest._on_skipped,
    "runner_on_failed": Digest._on_failed,
    "runner_on_unreachable": Digest._on_unreachable,
    "runner_retry": Digest._on_retry,
    "playbook_on_stats": Digest._on_stats,
}


def find_progress(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A host tool's status in a result: under `encaja_progress`, a status file read by `slurp`, or JSON on stdout."""
    direct = result.get(PROGRESS_KEY)
    if direct is None and isinstance(result.get("ansible_facts"), dict):
        direct = result["ansible_facts"].get(PROGRESS_KEY)
    if isinstance(direct, dict):
        return direct
    text: str | bytes = ""
    if result.get("encoding") == "base64" and isinstance(result.get("content"), str):
        try:
            text = base64.b64decode(result["content"], validate=True)
        except (binascii.Error, ValueError):
            return None
    elif isinstance(result.get("stdout"), str) and result["stdout"].startswith("{"):
        text = result["stdout"]
    if not text or len(text) > 65536:
        return None
    try:
        status = json.loads(text)
    except ValueError:
        return None
    return status if isinstance(status, dict) and "done" in status and "total" in status else None


def add_progress(signals: Signals, attempt: int, host: str, status: Mapping[str, Any], at: datetime) -> None:
    """Puts a tool's status into `signals`: its amounts as a measure, and what it says."""
    measure = to_measure(attempt, host, status, at)
    if measure:
        signals.measures.append(measure)
    message = str(status.get("message") or status.get("phase") or "")
    if message:
        signals.messages.append((host, message))


def to_measure(attempt: int, host: str, status: Mapping[str, Any], at: datetime) -> Measure | None:
    """A status with amounts as a measure; None where it has none."""
    try:
        done, total = float(status.get("done") or 0), float(status.get("total") or 0)
        rate = float(status.get("rate") or 0)
    except (TypeError, ValueError):
        return None
    if not total and not done:
        return None
    ended = status.get("ended")
    if isinstance(ended, int | float) and not isinstance(ended, bool):
        # A host's clock may be ahead: no amount is later than its report.
        at = min(at, datetime.fromtimestamp(ended, UTC))
    name = str(status.get("phase") or "progress")
    return Measure(attempt, at, host, name, done, total, str(status.get("unit") or ""), rate)


def describe_failure(result: Mapping[str, Any]) -> tuple[str, str]:
    """What a failed task said: one line, and its last lines."""
    if "censored" in result:
        return "failed; its output is hidden because it holds secrets", ""
    message = plain(_message(result))
    items = _failed_items(result)
    if items and message.lower().startswith(("one or more items failed", "all items completed")):
        message = items[0]
    lines = [*_output(result), *items] or message.splitlines()
    first = next((line.strip() for line in message.splitlines() if line.strip()), _NO_MESSAGE)
    return first[:TEXT_LIMIT], _last_lines(lines)


def _output(result: Mapping[str, Any]) -> list[str]:
    values = [result.get(key) for key in ("module_stdout", "module_stderr", "stdout", "stderr", "exception")]
    texts = [value for value in values if isinstance(value, str) and value.strip() and value != _NO_TRACEBACK]
    return [line for text in texts for line in plain(text).strip().splitlines()]


def _failed_items(result: Mapping[str, Any]) -> list[str]:
    """A line for each item of a loop that failed."""
    found = []
    for item in result.get("results") or []:
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            label = item.get("item") if isinstance(item.get("item"), str) else ""
            found.append(plain(f"{label}: {_message(item)}" if label else _message(item)))
    return found


def _last_lines(lines: Sequence[str]) -> str:
    return "\n".join(line[:TEXT_LIMIT] for line in lines[-LAST_LINES:])


def _message(result: Mapping[str, Any]) -> str:
    message = result.get("msg")
    if isinstance(message, list):
        message = "\n".join(str(line) for line in message)
    text = str(message or result.get("reason") or "").strip()
    generic = text in ("", "non-zero return code", "MODULE FAILURE")
    if generic:
        for key in ("stderr", "stdout", "module_stderr", "module_stdout"):
            value = result.get(key)
            if isinstance(value, str) and value.strip():
                return plain(value).strip().splitlines()[-1]
    return text or _NO_MESSAGE


_UNREACHABLE_ADVICE = "check that the host is up and that SSH reaches it, then run again"
_AGAIN = "then run again"
_ADVICE: Sequence[tuple[tuple[str, ...], str]] = (
    (("no space left", "not enough free space", "disk is full"), f"free space on the host, {_AGAIN}"),
    (("permission denied (publickey", "authentication fail"), f"put the contractor's SSH key on the host, {_AGAIN}"),
    (
        ("host key verification failed", "host key is not known", "mismatching host key"),
        "verify the host's key and add it to known_hosts",
    ),
    (("could not resolve", "name or service not known"), f"fix name resolution, {_AGAIN}"),
    (("connection refused", "no route to host", "timed out"), f"check that the service is up and reachable, {_AGAIN}"),
    (("could not get lock", "unable to acquire the dpkg"), f"wait until the other package manager is done, {_AGAIN}"),
    (
        ("decryption failed", "vault secrets", "vault password"),
        "give the vault's password (ANSIBLE_VAULT_PASSWORD_FILE)",
    ),
    (("is undefined",), "set the variable in the inventory (see 'encaja check')"),
    (("unable to locate package", "failed to fetch"), f"check the host's package sources, {_AGAIN}"),
    (("checksum", "hash mismatch"), "fetch the file again or correct its checksum"),
)


def advice(text: str) -> str:
    """What usually helps against a failure with this text; empty where nothing is known."""
    lowered = text.lower()
    return next((hint for patterns, hint in _ADVICE if any(pattern in lowered for pattern in patterns)), "")


def _own_hint(result: Mapping[str, Any]) -> str:
    """How to fix the faults that a task hands over with their hints; empty where it hands none over."""
    handed = result.get(RESULT_KEY)
    faults = handed.get("faults") if isinstance(handed, dict) else None
    own = [fault["hint"] for fault in faults or [] if isinstance(fault, dict) and fault.get("hint")]
    return str(own[0]) if len(set(own)) == 1 else f"fix each fault as its line says, {_AGAIN}" if own else ""


def last_log_lines(lines: Sequence[str]) -> tuple[str, str]:
    """For a run that broke before its first task: the line that names the fault, and the last lines of the log."""
    wanted = [line for line in map(plain, lines) if line.strip()]
    marked = [line for line in wanted if line.startswith(("ERROR!", "[ERROR]", "Traceback", "error:"))]
    what = (marked or wanted or ["ended without any output"])[0 if marked else -1]
    for prefix in ("ERROR!", "[ERROR]:", "[ERROR]", "error:"):
        what = what.removeprefix(prefix).strip()
    return what[:TEXT_LIMIT], _last_lines(wanted)


def _task_name(data: Mapping[str, Any]) -> str:
    name = str(data.get("task") or data.get("name") or "")
    role = str(data.get("role") or "")
    return f"{role}: {name}" if role and not name.startswith(f"{role} :") else name.replace(" : ", ": ", 1)


def _result(data: Mapping[str, Any]) -> Mapping[str, Any]:
    result = data.get("res")
    return result if isinstance(result, dict) else {}


def _moment(raw: Mapping[str, Any]) -> datetime:
    created = raw.get("created")
    try:
        return from_text(created) if isinstance(created, str) else now()
    except ValueError:
        return now()
