"""The table of faults: what may happen in which step without a trace in its result. Each row comes from tests that ran.

A plugin of pytest (``-p support.fault_table``). A test has the mark ``fault`` with a fault, a step, and when the fault
happens, if it asserts that the step, done again if need be, ends as an undisturbed one: nothing lost, nothing doubled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

FAULTS = (
    *(f"kill -9: {what}" for what in ("host tool", "controller", "supervisor", "connector", "database", "exchange")),
    *(f"power loss: {what}" for what in ("host", "controller", "connector", "database")),
    *(f"interrupt: {what}" for what in ("host tool", "controller", "connector")),
    "SSH cut", "network cut", "answer lost", "DNS gone", "slow link", "portal 500", "link expired",
    "certificate expired", "disk full", "clock jump",
    *(f"volume {how}" for how in ("corrupt", "truncated", "missing", "doubled")),
)  # fmt: skip
STEPS = (
    "provision", "restore", "settle", "clone", "carry-over", "recover", "telephony", "release", "update", "run-book",
)  # fmt: skip
Row = tuple[str, str, str]


@dataclass
class Table:
    """Outcomes of the tests behind each row."""

    rows: dict[Row, list[str]] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """Takes the outcome of a test; that of a fixture counts unless all went well."""
        if report.when != "call" and report.passed:
            return
        for name, row in report.user_properties:
            if name == "fault":
                self.rows.setdefault(tuple(row), []).append(report.outcome)  # type: ignore[arg-type]

    def outcome(self, row: Row) -> str:
        """``passed`` if all of its tests did, else how they ended."""
        found = Counter(self.rows[row])
        return "passed" if set(found) == {"passed"} else ", ".join(f"{number} {end}" for end, number in found.items())

    def lines(self) -> list[str]:
        """The rows, and how many each fault has in each step."""
        order = sorted(self.rows, key=lambda row: (STEPS.index(row[0]), FAULTS.index(row[1]), row[2]))
        listed = [(*row, str(len(self.rows[row])), self.outcome(row)) for row in order]
        passed = Counter((step, fault) for step, fault, *_, end in listed if end == "passed")
        steps = [step for step in STEPS if any(row[0] == step for row in order)]
        counts = [
            (fault, *(str(passed[step, fault] or "·") for step in steps))
            for fault in FAULTS if any(row[1] == fault for row in order)
        ]  # fmt: skip
        return [
            *_aligned([("step", "fault", "when", "tests", "ends as undisturbed"), *listed]), "",
            *_aligned([("", *steps), *counts]), "",
            f"{sum(passed.values())} of {len(self.rows)} rows passed",
        ]  # fmt: skip


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


TABLE = Table()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("fault"):
            fault, step, when = mark.args
            if fault not in FAULTS or step not in STEPS:
                raise pytest.UsageError(f"{item.nodeid}: no such fault or step: {fault!r}, {step!r}")
            item.user_properties.append(("fault", (step, fault, when)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    TABLE.add(report)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in TABLE.lines():
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if any(TABLE.outcome(row) != "passed" for row in TABLE.rows):  # also where one was skipped
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
