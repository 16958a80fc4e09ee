"""Run-book files as they are on the disk, each mapping with the line that it begins in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from encaja.runbook.book.faults import LINE, Faults

RUNBOOK_VERSION = 1
_KEYS = {"version", "base", "move", "phases", "steps"}


class _LineLoader(yaml.SafeLoader):
    """Puts each mapping's line into it, so that a fault can say where it is; refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, with its line under a private key."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        mapping[LINE] = node.start_mark.line + 1
        return mapping


@dataclass
class SourceFile:
    """A run-book file, with the name that faults use for it."""

    name: str
    data: dict[str, Any]

    def at(self, mapping: Mapping[str, Any]) -> str:
        """File and line of one of its mappings."""
        return f"{self.name}:{mapping.get(LINE, 1)}"


def read_files(overrides: Iterable[Path], faults: Faults) -> list[SourceFile]:
    """The shipped run-book and the files laid over it; what is under a file with `base: none` is left out."""
    shipped = resources.files("encaja.runbook.book").joinpath("default.yml")
    files = [_parse("default run-book", shipped.read_text(encoding="utf-8"), faults)]
    for path in overrides:
        try:
            files.append(_parse(str(path), path.read_text(encoding="utf-8"), faults))
        except (OSError, UnicodeDecodeError) as error:
            faults.add(str(path), f"cannot be read: {error}", "give a readable YAML file")
    first = 0
    for number, file in enumerate(files):
        base = file.data.get("base", "default")
        if base == "none":
            first = number
        elif base != "default":
            faults.add(f"{file.name}:1", f"base is '{base}'", "known are default, none")
    return files[first:]


def _parse(name: str, text: str, faults: Faults) -> SourceFile:
    try:
        data = yaml.load(text, Loader=_LineLoader)  # noqa: S506 - a SafeLoader underneath
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        faults.add(f"{name}:{mark.line + 1}" if mark else name, f"is not valid YAML: {problem}", "fix the syntax")
        return SourceFile(name, {})
    if data is None:
        return SourceFile(name, {})
    if not isinstance(data, dict):
        faults.add(name, "is not a mapping", "start with 'version: 1' and 'steps:'")
        return SourceFile(name, {})
    faults.add_unknown(f"{name}:1", "", data, _KEYS)
    version = data.get("version", RUNBOOK_VERSION)
    if not isinstance(version, int) or version > RUNBOOK_VERSION:
        faults.add(f"{name}:1", f"run-book version {version} is newer than this encaja understands", "update encaja")
    return SourceFile(name, data)
