"""PHP's array literals: read from a settings file, written the way `var_export` writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import BackupWriterError

Key = str | int


@dataclass(frozen=True)
class Literal:
    """A number, true, false or null, as it is written."""

    text: str


_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
      | (?P<single>'(?:[^'\\]|\\.)*')
      | (?P<double>"(?:[^"\\$]|\\.)*")
      | (?P<arrow>=>)
      | (?P<open>array\s*\(|\[)
      | (?P<close>[)\]])
      | (?P<comma>,)
      | (?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))
      | (?P<word>true|false|null)\b
      | (?P<end>;)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_RETURN = re.compile(
    r"\s*<\?(?:php)?\s(?:\s|//[^\n]*\n|\#[^\n]*\n|/\*.*?\*/|declare\s*\([^)]*\)\s*;)*return\s", re.DOTALL
)
_DOUBLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "$": "$", '"': '"', "0": "\0"}


def parse_file(text: str, name: str) -> dict[Key, object]:
    """The array that a `<?php return array(…);` file returns; `name` is for the error message.

    Values are strings, `Literal`s and nested dicts. Anything that is not a literal (calls, constants) is an error.
    """
    start = _RETURN.match(text)
    if start is None:
        raise BackupWriterError(f"{name} does not start with <?php return: it cannot be masked; write it as one array")
    parser = _Parser(text, start.end(), name)
    value = parser.value(*parser.next())
    if not isinstance(value, dict):
        raise BackupWriterError(f"{name} does not return an array")
    return value


def export_file(array: dict[Key, object]) -> str:
    """The text of a file that returns `array`, in `var_export`'s form."""
    return f"<?php\nreturn {_export(array, 0)};\n"


def _export(value: object, depth: int) -> str:
    if isinstance(value, Literal):
        return value.text
    if isinstance(value, dict):
        pad = "  " * depth
        lines = []
        for key, item in value.items():
            shown = str(key) if isinstance(key, int) else _quote(key)
            gap = f"\n{pad}  " if isinstance(item, dict) else ""
            lines.append(f"{pad}  {shown} => {gap}{_export(item, depth + 1)},\n")
        return f"array (\n{''.join(lines)}{pad})"
    return _quote(str(value))


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Parser:
    def __init__(self, text: str, position: int, name: str) -> None:
        self._text, self._position, self._name = text, position, name

    def next(self) -> tuple[str, str]:
        """The kind and text of the next token that is not blank."""
        while True:
            found = _TOKEN.match(self._text, self._position)
            if found is None:
                line = self._text.count("\n", 0, self._position) + 1
                raise BackupWriterError(
                    f"{self._name}, line {line}: not a plain value, so it cannot be masked; write the value out"
                )
            self._position = found.end()
            kind = found.lastgroup or ""
            if kind != "blank":
                return kind, found.group()

    def value(self, kind: str, text: str) -> object:
        """The value that starts with this token."""
        if kind == "single":
            return re.sub(r"\\([\\'])", r"\1", text[1:-1])
        if kind == "double":
            return re.sub(r"\\(.)", lambda m: _DOUBLE_ESCAPES.get(m[1], m[0]), text[1:-1], flags=re.DOTALL)
        if kind == "word":
            return Literal("NULL" if text.lower() == "null" else text.lower())
        if kind == "number":
            return Literal(text)
        if kind == "open":
            return self._array()
        raise BackupWriterError(f"{self._name}: {text!r} where a value was expected")

    def _array(self) -> dict[Key, object]:
        items: dict[Key, object] = {}
        index = 0
        kind, text = self.next()
        while kind != "close":
            value = self.value(kind, text)
            kind, text = self.next()
            if kind == "arrow":
                key = _key(value)
                value = self.value(*self.next())
                kind, text = self.next()
            else:
                key = index
            items[key] = value
            if isinstance(key, int):
                index = max(index, key + 1)
            if kind == "comma":
                kind, text = self.next()
        return items


def _key(value: object) -> Key:
    if isinstance(value, Literal):
        return int(value.text, 0)
    text = str(value)
    return int(text) if re.fullmatch(r"0|-?[1-9]\d*", text) else text
