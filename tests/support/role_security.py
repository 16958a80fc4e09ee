"""What of the roles' templates and files keeps a host closed, and where each line of it is asserted.

``tests/unit/templates/security_lines.yml`` says how these lines look when they are rendered. A line of a template that
looks like one of them and is rendered by none of its variants is a gap, and so is a template that is not in the list.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from ansible.plugins.loader import init_plugin_loader

from support.rendered_role import ROLES, Role

EXPECTED = Path(__file__).parents[1] / "unit" / "templates" / "security_lines.yml"


@cache
def expected() -> dict[str, Any]:
    """The whole list."""
    found: dict[str, Any] = yaml.safe_load(EXPECTED.read_text())
    return found


def _joined(given: dict[str, Any]) -> str:
    return f"{given.get('before', '')}(?:{'|'.join(given['any'])}){given.get('after', '')}"


PATTERNS = {kind: re.compile(_joined(given)) for kind, given in expected()["patterns"].items()}
_ONLY_JINJA = re.compile(r"^\s*(\{%.*%\}\s*)+$")


def is_security(line: str) -> bool:
    """Whether a line of a configuration is one that keeps a host closed."""
    text = line.strip()
    return not text.startswith(("#", ";", "//")) and any(pattern.search(text) for pattern in PATTERNS.values())


def kind_of(line: str) -> str:
    """Which of ``PATTERNS`` a line fits first."""
    return next(name for name, pattern in PATTERNS.items() if pattern.search(line.strip()))


@dataclass(frozen=True)
class Variant:
    """A template under an inventory, with its lines as they are expected."""

    role: str
    template: str
    number: int
    inventory: dict[str, Any]
    lines: list[str]
    """Expected; of a further inventory, what comes (``+``) and goes (``-``) compared with the template's first one."""

    @property
    def name(self) -> str:
        """For the test's name."""
        return f"{self.role}/{self.template}" + (f"#{self.number}" if self.number else "")

    def rendered(self, folder: Path | None = None) -> str:
        """The text, of the role's own template or of one in another folder."""
        return Role(self.role, self.inventory).render(self.template, folder)

    def found(self) -> list[str]:
        """The lines as they are, to be compared with ``lines``."""
        if not self.number:
            return security_lines(self.rendered())
        first = next(one for one in variants() if (one.role, one.template) == (self.role, self.template))
        return [line for line in difflib.ndiff(first.lines, security_lines(self.rendered())) if line[0] in "+-"]


def security_lines(text: str) -> list[str]:
    """The lines of a rendered text that keep a host closed."""
    return [line.strip() for line in text.splitlines() if is_security(line)]


@cache
def variants() -> list[Variant]:
    """All templates of the list with each of their inventories."""
    return [
        Variant(
            path.partition("/")[0],
            path.partition("/")[2],
            number,
            one.get("with", {}),
            one.get("lines", "").splitlines(),
        )
        for path, given in expected()["templates"].items()
        for number, one in enumerate(given)
    ]


def source_lines() -> Iterator[tuple[str, str, int, str]]:
    """Role, template, number and text of every line of every template that keeps a host closed."""
    for path in sorted(ROLES.glob("*/templates/*.j2")):
        for number, line in enumerate(path.read_text().splitlines()):
            if is_security(line) and not _ONLY_JINJA.match(line):
                yield path.parts[-3], path.name, number, line.strip()


def gaps(folder: Path) -> list[tuple[str, str, str, str]]:
    """Every such line (role, template, text) with the test that asserts it, empty where none does.

    Each line gets a mark of its own in a copy of the templates; a test asserts the line if the mark is in what it
    renders.

    Args:
        folder: for the copies.
    """
    lines = list(source_lines())
    for role in {role for role, *_ in lines}:
        (folder / role).mkdir()
        for path in (ROLES / role / "templates").iterdir():
            marked = path.read_text().splitlines()
            for number, (of, template, at, _) in enumerate(lines):
                if (of, template) == (role, path.name):
                    marked[at] += f"@{number}@"
            (folder / role / path.name).write_text("\n".join(marked) + "\n")
    asserted: dict[int, str] = {}
    for variant in variants():
        for number in re.findall(r"@(\d+)@", variant.rendered(folder / variant.role)):
            asserted.setdefault(int(number), f"test_role_security.py[{variant.name}]")
    return [(role, template, text, asserted.get(n, "")) for n, (role, template, _, text) in enumerate(lines)]


@cache
def config_files() -> dict[str, dict[str, str]]:
    """By role and path: owner, group, mode and secrecy of everything that ``config_files`` tasks place."""
    found: dict[str, dict[str, str]] = {}
    for role, item in items():
        path = item.get("dest") or item.get("directory")
        if path:
            owner = f"{item.get('owner', 'root')}:{item.get('group', 'root')}"
            mode = item.get("mode") or ("0755" if "directory" in item else "0644")
            secret = str(item["secret"]) if "secret" in item else ""
            found.setdefault(role, {})[path] = " ".join(filter(None, (owner, mode, secret and f"secret={secret}")))
    return found


@cache
def items() -> list[tuple[str, dict[str, Any]]]:
    """Role and item of everything that ``config_files`` tasks place, as it is written."""
    return list(_items())


def _items() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(ROLES.glob("*/tasks/*.yml")):
        for task in tasks_of(yaml.safe_load(path.read_text()) or []):
            given = task.get("encaja.portal.config_files", {}).get("files", [])
            listed = [*(given if isinstance(given, list) else []), *task.get("vars", {}).get("push_files_of_all", [])]
            for item in listed:
                yield path.parts[-3], item if isinstance(item, dict) else _conditional(item)


def _conditional(text: str) -> dict[str, Any]:
    """An item that is written as an expression: ``{'directory': …} if …``; values that are expressions stay so."""
    found = re.search(r"\{\{\s*\{(.*?)\}\s*\n?\s*if ", text, re.DOTALL)
    assert found, text
    pairs = re.findall(r"'(\w+)': ('[^']*'|\w+)", found[1])
    return {name: value.strip("'") for name, value in pairs}


def tasks_of(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tasks, those inside of blocks too."""
    for task in listed:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part, []))


def table(folder: Path) -> list[tuple[str, str, str, str]]:
    """Role, line, kind and test of everything that keeps a host closed; a line without a test has ``GAP`` for one."""
    rows = [(role, f"{template}: {text}", kind_of(text), test or "GAP") for role, template, text, test in gaps(folder)]
    listed = expected()["files"]
    for role, files in config_files().items():
        for path, attributes in files.items():
            test = f"test_role_security.py[{role}]" if listed.get(role, {}).get(path) else "GAP"
            rows.append((role, f"{path}: {attributes}", "owner, mode and secrecy of a file", test))
    return sorted(rows)


def main() -> int:
    """Print the table; 1 where it shows a gap."""
    init_plugin_loader([])
    with TemporaryDirectory() as folder:
        rows = table(Path(folder))
    print("| role | line | what it is about | test |\n| -- | -- | -- | -- |")
    for row in rows:
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    missing = sum(test == "GAP" for *_, test in rows)
    print(f"\n{len(rows)} lines of {len({role for role, *_ in rows})} roles, {missing} without a test")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
