"""Small faults put into the critical modules, one at a time: which of them do the tests of the module not notice?

mutmut changes a copy below ``.cache/mutate``, so the code stays as it is. A group of ``tests/mutation.toml`` is done
again only when its code or its tests have changed. Survivors have to be in that file, with a reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".cache/mutate"
LISTED = tomllib.loads((ROOT / "tests/mutation.toml").read_text())
LINKED = ("collections", "inventories", "playbooks", "plugins", "roles", "tests/fixtures")
"""What tests read of the project besides the package; it is not changed."""
CONFIGURATION = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = {code}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-m", "not integration", "-k", {expression}]

[tool.pytest.ini_options]
pythonpath = ["src", "tests"]
markers = ["fault", "integration", "lab"]
"""
_NAME = re.compile(r"encaja\.(?P<module>.+)\.x(?:_|ǁ(?P<class>\w+)ǁ)(?P<function>\w+?)__mutmut_\d+")


@dataclass
class Outcome:
    """What came of a group: how many changes, in which time, and what each survivor changes."""

    fingerprint: str
    mutants: int = 0
    seconds: float = 0.0
    survivors: list[str] = field(default_factory=list)


def run(name: str) -> Outcome:
    """The outcome of a group: that of the last run, if nothing has changed since."""
    group = LISTED["groups"][name]
    code = [path for pattern in group["code"] for path in sorted((ROOT / "python/encaja").glob(pattern))]
    tests = [ROOT / "tests/unit" / test for test in group["tests"]]
    known = WORK / f"{name}.json"
    fingerprint = _digest([*code, *tests, *_helpers(tests)], group)
    if known.exists():
        outcome = Outcome(**json.loads(known.read_text()))
        if outcome.fingerprint == fingerprint:
            return outcome
    began = time.monotonic()
    folder = _copy(name, code, tests, group)
    with (WORK / f"{name}.log").open("w") as log:
        _mutmut(folder, "run", "--max-children", str(os.cpu_count()), stdout=log)
    ends = dict(line.strip().rsplit(": ", 1) for line in _mutmut(folder, "results", "--all", "true").splitlines())
    alive = [mutant for mutant, end in ends.items() if end not in ("killed", "timeout")]
    outcome = Outcome(
        fingerprint, len(ends), round(time.monotonic() - began, 1), sorted(_change(folder, mutant) for mutant in alive)
    )
    known.write_text(json.dumps(asdict(outcome), indent=1, ensure_ascii=False))
    return outcome


def _helpers(tests: list[Path]) -> list[Path]:
    """What the tests share with others: what lies next to them, and what they import of ``support``."""
    near = {path for test in tests for path in test.parent.glob("*.py") if not path.name.startswith("test_")}
    names = {name for path in [*near, *tests] for name in re.findall(r"\bsupport\.(\w+)", path.read_text())}
    return sorted([*near, *(ROOT / f"tests/support/{name}.py" for name in names)])


def _digest(files: list[Path], group: dict[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(group).encode())
    for path in files:
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def _copy(name: str, code: list[Path], tests: list[Path], group: dict[str, Any]) -> Path:
    """Everything that a group's tests need, in a folder of its own."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    without = shutil.ignore_patterns("__pycache__", "fixtures", "e2e", "estate", "bench", "collection", "integration")
    shutil.copytree(ROOT / "python/encaja", folder / "src/encaja", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=without)
    for link in LINKED:
        (folder / "mutants" / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mutants" / link).symlink_to(ROOT / link)
    expression = " and ".join(f"not {word}" for word in group.get("without", ["nothing_at_all"]))
    (folder / "pyproject.toml").write_text(CONFIGURATION.format(
        code=json.dumps([str("src" / path.relative_to(ROOT / "python")) for path in code]),
        tests=json.dumps([str(path.relative_to(ROOT)) for path in tests]), expression=json.dumps(expression),
    ))  # fmt: skip
    return folder


def _mutmut(folder: Path, *words: str, **options: Any) -> str:
    command = [sys.executable, "-m", "mutmut", *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **streams)
    if done.returncode:
        raise SystemExit(
            f"mutmut {words[0]} failed in {folder}: see {folder.parent}/{folder.name}.log {done.stdout or ''}"
        )
    return done.stdout or ""


def _change(folder: Path, mutant: str) -> str:
    """A mutant as the list has it: module, function and the lines as they are changed, whatever its number."""
    found = _NAME.fullmatch(mutant)
    shown = _mutmut(folder, "show", mutant).splitlines()
    lines = " ".join(line[1:].strip() for line in shown if line.startswith("+") and not line.startswith("+++"))
    if not found:
        return f"{mutant}: {lines}"
    place = ".".join(part for part in found.group("module", "class", "function") if part)
    return f"{place}: {lines}"


def _is_allowed(change: str) -> bool:
    return change in LISTED["survivors"] or any(re.search(pattern, change) for pattern in LISTED["everywhere"])


def main(names: list[str]) -> int:
    """Print the table; 1 with every survivor that is not on the list, 2 for a group that does not exist."""
    if unknown := set(names) - set(LISTED["groups"]):
        print(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(LISTED['groups'])}", file=sys.stderr)
        return 2
    WORK.mkdir(parents=True, exist_ok=True)
    left: list[str] = []
    print(f"{'group':14} mutants  killed  allowed  survived        %  minutes")  # of those that are not allowed
    for name in names or LISTED["groups"]:
        outcome = run(name)
        killed = outcome.mutants - len(outcome.survivors)
        here = [change for change in outcome.survivors if not _is_allowed(change)]
        percent = 100 * killed / max(killed + len(here), 1)
        print(f"{name:14} {outcome.mutants:7} {killed:7} {len(outcome.survivors) - len(here):8} {len(here):9}"
              f" {percent:8.1f} {outcome.seconds / 60:8.1f}", flush=True)  # fmt: skip
        left += here
    for change in left:
        print(f"survived: {change}", file=sys.stderr)
    return bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
