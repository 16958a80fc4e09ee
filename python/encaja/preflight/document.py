"""Writes ``docs/variables.md`` from what the kit itself checks: the shared variables and the roles' specifications.

``python -m encaja.preflight.document`` prints the page; ``make docs`` puts it in its place.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from encaja.preflight.inventory import shared_variables

HEAD = """# Variables

Made from the kit's own specifications by `make docs`; `encaja check` refuses names that are not
here.

## The estate's values

An inventory gives these; the roles take their own variables from them.

| variable | type | needed by | what it is |
| -- | -- | -- | -- |
"""
WIDTH = 100  # as in .mdformat.toml
TABLE = "| variable | type | what it is |\n| -- | -- | -- |\n"


def _plain(text: Any) -> str:
    joined = " ".join(str(part) for part in text) if isinstance(text, list) else str(text or "")
    marked = re.sub(r"\b[COMV]\(([^)]*)\)", r"`\1`", joined)
    return re.sub(r"\s+", " ", marked).replace("|", r"\|").strip()


def page(roles: Path) -> str:
    """The whole page as Markdown."""
    lines = [HEAD]
    for name, spec in shared_variables().items():
        if name.startswith("encaja_lab_"):
            continue
        needed = ", ".join(spec.get("required", ())) or "-"
        secret = " Secret." if spec.get("secret") else ""
        lines.append(f"| `{name}` | {spec['type']} | {needed} | {_plain(spec['description'])}{secret} |\n")
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        role = path.parent.parent.name
        spec = yaml.safe_load(path.read_text())["argument_specs"].get("main")
        if spec is None:  # nothing that an inventory gives
            continue
        purpose = textwrap.fill(f"{_plain(spec.get('short_description'))}.", WIDTH, break_on_hyphens=False)
        lines.append(f"\n## {role}\n\n{purpose}\n\n{TABLE}")
        lines += [
            f"| `{name}` | {option.get('type', 'str')} | {_plain(option.get('description'))} |\n"
            for name, option in sorted((spec.get("options") or {}).items())
        ]
    return "".join(lines)


def main() -> None:
    """Print the page for the roles of the project in the current directory."""
    print(page(Path("roles")), end="")


if __name__ == "__main__":
    main()
