"""Values of a run-book file, read one by one; what is wrong with them is collected and reported together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Text
from encaja.runbook.durations import parse_span
from encaja.vocabulary import LANGUAGES

# The key under which a mapping keeps the line that it begins in.
LINE = "__line__"

E = TypeVar("E", bound=StrEnum)


class RunbookError(ConfigurationError):
    """A run-book that cannot be used; `faults` holds one line for each problem."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


@dataclass
class Faults:
    """Everything that is wrong with a run-book's files."""

    lines: list[str] = field(default_factory=list)

    def add(self, where: str, what: str, hint: str = "") -> None:
        """Note a fault, once."""
        line = f"{where}: {what}" + (f" ({hint})" if hint else "")
        if line not in self.lines:
            self.lines.append(line)

    def add_unknown(self, where: str, subject: str, mapping: Mapping[Any, Any], known: set[str]) -> None:
        """Note each key of a mapping that does not exist."""
        for key in unknown_keys(mapping, known):
            self.add(where, f"{subject}unknown key '{key}'", f"known are {', '.join(sorted(known))}")

    def raise_if_any(self) -> None:
        """Refuse the files where anything is wrong.

        Raises:
            RunbookError: with one line for each fault.
        """
        if self.lines:
            raise RunbookError(self.lines)


@dataclass(frozen=True)
class Place:
    """Where a value is (`where`: file and line) and what it is called: `key` of `subject`, such as a step."""

    where: str
    subject: str
    faults: Faults
    key: str = ""

    @property
    def name(self) -> str:
        """The value's name for people."""
        return f"{self.subject}: {self.key}" if self.key else self.subject

    def at(self, key: str) -> Place:
        """Another value of the same subject in the same place."""
        return replace(self, key=key)

    def fault(self, what: str, hint: str = "") -> None:
        """Note what is wrong."""
        self.faults.add(self.where, what, hint)

    def text(self, value: Any, *, optional: bool = False) -> Text:
        """A text, or one in each language."""
        if value is None and optional:
            return Text("", "")
        if isinstance(value, str) and value.strip():
            return Text(value.strip(), value.strip())
        if isinstance(value, dict) and not unknown_keys(value, set(LANGUAGES)) and str(value.get("en") or "").strip():
            return Text(str(value["en"]).strip(), str(value.get("es") or value["en"]).strip())
        self.fault(f"{self.name} is missing or not a text", "give a text, or one each under 'en' and 'es'")
        return Text("", "")

    def choice(self, value: Any, default: E) -> E:
        """A member of the default's enumeration."""
        try:
            return type(default)(value)
        except ValueError:
            problem = "is missing" if value is None else f"is '{value}'"
            self.fault(f"{self.name} {problem}", f"known are {', '.join(item.value for item in type(default))}")
            return default

    def flag(self, value: Any) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            self.fault(f"{self.name} is '{value}'", "say true or false")
            return False
        return value

    def span(self, value: Any) -> timedelta:
        """A duration."""
        if value is None:
            self.fault(f"{self.name} is missing", "give a duration such as 15m or 2h")
            return timedelta(0)
        try:
            return parse_span(value)
        except ValueError as error:
            self.fault(f"{self.name}: {error}")
            return timedelta(0)

    def strings(self, value: Any) -> tuple[str, ...]:
        """A list of names, or a single one."""
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.fault(f"{self.name} is not a list of names")
        return ()

    def mapping(self, value: Any) -> dict[str, Any]:
        """A mapping without the marks of lines; empty where there is none."""
        if value and not isinstance(value, dict):
            self.fault(f"{self.name} is not a mapping")
            return {}
        return {key: without_lines(item) for key, item in (value or {}).items() if key != LINE}


def unknown_keys(mapping: Mapping[Any, Any], known: set[str]) -> list[str]:
    """The keys of a mapping that are not among the known ones."""
    return [str(key) for key in mapping if key != LINE and key not in known]


def without_lines(value: Any) -> Any:
    """`value` without the marks of lines."""
    if isinstance(value, dict):
        return {key: without_lines(item) for key, item in value.items() if key != LINE}
    if isinstance(value, list):
        return [without_lines(item) for item in value]
    return value
