"""How much of the code ran in the tests that were measured: lines and branches by package. Fails under the bar."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import coverage.exceptions

ROOT = Path(__file__).parents[2]
DATA = ROOT / ".cache/coverage/data"
BAR = 90.0
"""Per cent of all lines; packages under it are marked."""
CODE = ("python/encaja", "plugins", "roles/backup/files")


@dataclass
class Count:
    """What ran, of what there is."""

    lines: int = 0
    of_lines: int = 0
    branches: int = 0
    of_branches: int = 0

    def add(self, summary: dict[str, Any]) -> None:
        self.lines += summary["covered_lines"]
        self.of_lines += summary["num_statements"]
        self.branches += summary["covered_branches"]
        self.of_branches += summary["num_branches"]

    @property
    def percent(self) -> float:
        return 100 * self.lines / self.of_lines if self.of_lines else 100.0

    def cells(self) -> str:
        branches = f"{100 * self.branches / self.of_branches:6.1f} %" if self.of_branches else f"{'-':>8}"
        return f"{self.of_lines:6} {self.percent:7.1f} % {self.of_branches:8} {branches}"


def measured(data: Path) -> dict[str, dict[str, Any]]:
    """What every process has measured: a summary for each file of the code, also of those that never ran."""
    found = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"), data_file=str(data))
    with warnings.catch_warnings(action="ignore", category=coverage.exceptions.CoverageWarning):
        found.combine([str(data.parent)], keep=True)  # a process that was killed may have left half a file
    found.get_data().touch_files([str(path) for path in files()])
    report = data.with_name("report.json")
    found.json_report(outfile=str(report))
    return {name: told["summary"] for name, told in json.loads(report.read_text())["files"].items()}


def files() -> Iterator[Path]:
    """The code; what is linked counts where it lies."""
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            if path.resolve() == path and "__pycache__" not in path.parts:
                yield path


def by_package(summaries: dict[str, dict[str, Any]]) -> dict[str, Count]:
    """The counts of each folder."""
    packages: dict[str, Count] = {}
    for name, summary in summaries.items():
        folder = (ROOT / name).resolve().relative_to(ROOT).parent
        packages.setdefault(str(folder).removeprefix("python/encaja/"), Count()).add(summary)
    return dict(sorted(packages.items()))


def main() -> int:
    """Print the table; 1 where the whole is under the bar, 2 where nothing was measured."""
    if not any(DATA.parent.glob("data.*")):
        print("nothing was measured: make unit integration COVERAGE=1", file=sys.stderr)
        return 2
    packages = by_package(measured(DATA))
    whole = Count()
    for count in packages.values():
        for name in vars(whole):
            setattr(whole, name, getattr(whole, name) + getattr(count, name))
    width = max(map(len, packages))
    print(f"{'package':{width}}  lines   covered branches  covered")
    for name, count in [*packages.items(), ("all", whole)]:
        print(f"{name:{width}} {count.cells()}{'' if count.percent >= BAR else f'  under {BAR:.0f} %'}")
    return int(whole.percent < BAR)


if __name__ == "__main__":
    sys.exit(main())
