"""Keeps secrets out of the journal, the logs and the screen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

MASK = "********"
SHORTEST = 6
_SECRET_NAME = re.compile(
    r"(pass(word|phrase|wd)?|secret|token|api_?key|private_?key|licen[cs]e_key|crypto_key|push_key|webhook)\Z", re.I
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?i:(?<=\bpassword=)|(?<=\bpasswd=)|(?<=\btoken=))[^\s&,;'\"]+",
    re.S,
)


# Looking for these first is much quicker than trying the shapes on every line of a log.
_MARKS = ("-----BEGIN", "://")


class Redactor:
    """Replaces known secret values, and text that has the shape of one, by a mask."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = sorted({value for value in secrets if len(value) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(value) for value in values)) if values else None

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if any(mark in text for mark in _MARKS) or "=" in text:
            text = _SHAPES.sub(MASK, text)
        return text

    def clean_value(self, value: Any) -> Any:
        """A JSON-like value with all its strings cleaned."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {
                key: MASK if isinstance(item, str) and item and is_secret_name(str(key)) else self.clean_value(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.clean_value(item) for item in value]
        return value


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret by the kit's habits of naming."""
    return _SECRET_NAME.search(name) is not None


def secrets_of_inventory(inventory: Mapping[str, Any]) -> set[str]:
    """The secret values among the variables that `ansible-inventory --list` gave."""
    found: set[str] = set()
    meta = inventory.get("_meta")
    hostvars = meta.get("hostvars", {}) if isinstance(meta, dict) else {}
    for variables in hostvars.values():
        _collect("", variables, found)
    return found


def _collect(name: str, value: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _collect(str(key), item, found)
    elif isinstance(value, list):
        for item in value:
            _collect(name, item, found)
    elif isinstance(value, str) and "{{" not in value:
        if is_secret_name(name):
            found.add(value)
        # Who has the link of a backup has the backup; what opens it is behind the question mark.
        elif "://" in value and (query := urlsplit(value).query):
            found.add(query)
