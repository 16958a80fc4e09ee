"""PHP source as the portal keeps it: ``.settings.php`` read and written, single statements of ``dbconn.php`` edited.

The portal's kernel loads ``.settings.php`` with ``return array(...)`` and rewrites it with ``var_export`` (its comments
are lost then), so :func:`render_settings` writes just that form. ``dbconn.php`` is a program of its owner: it is
never parsed as data, only single ``define()`` calls and assignments in it are replaced. Source: portal.md 2.1, 1.2.

Text is ``str`` decoded as UTF-8 with ``surrogateescape``, so bytes of any other encoding survive unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ..errors import EncajaError
from .serialized import PhpObject, SerializedError, is_serialized, serialize, unserialize

__all__ = [
    "PhpObject",
    "PhpSyntaxError",
    "SerializedError",
    "array_key",
    "decode",
    "edit_define",
    "edit_variable",
    "encode",
    "guard_define",
    "is_serialized",
    "literal",
    "parse_literal",
    "parse_settings",
    "read_define",
    "read_variable",
    "render_settings",
    "serialize",
    "unserialize",
]

Value = None | bool | int | float | str | dict[int | str, Any]

CONSTANTS: Final[Mapping[str, Value]] = {
    "true": True, "false": False, "null": None,
    "PHP_EOL": "\n", "PHP_INT_MAX": 2**63 - 1, "PHP_INT_MIN": -(2**63), "PHP_INT_SIZE": 8, "DIRECTORY_SEPARATOR": "/",
    "E_ERROR": 1, "E_WARNING": 2, "E_PARSE": 4, "E_NOTICE": 8, "E_CORE_ERROR": 16, "E_CORE_WARNING": 32,
    "E_COMPILE_ERROR": 64, "E_COMPILE_WARNING": 128, "E_USER_ERROR": 256, "E_USER_WARNING": 512, "E_USER_NOTICE": 1024,
    "E_STRICT": 2048, "E_RECOVERABLE_ERROR": 4096, "E_DEPRECATED": 8192, "E_USER_DEPRECATED": 16384, "E_ALL": 32767,
}  # fmt: skip

_NAME = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
  | (?P<comment>/\*.*?(?:\*/|\Z) | (?://|\#(?!\[))(?:(?!\?>)[^\n])*)
  | (?P<close>\?>\n?)
  | (?P<heredoc><<<[ \t]*(?P<quote>["']?)(?P<label>{_NAME})(?P=quote)\r?\n.*?^[ \t]*(?P=label)\b)
  | (?P<single>'(?:[^'\\]|\\.)*')
  | (?P<double>"(?:[^"\\]|\\.)*")
  | (?P<variable>\${_NAME})
  | (?P<name>\\?{_NAME}(?:\\{_NAME})*)
  | (?P<number>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*)?\.\d[\d_]*(?:[eE][+-]?\d+)?
     |\d[\d_]*\.?(?:[eE][+-]?\d+)?)
  | (?P<punct><=>|\*\*=?|\.\.\.|<<=?|>>=?|[!=]==?|=>|\?->|->|::|\+\+|--|&&|\|\||\?\?=?|[-+*/.%&|^<>]=|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_OPEN = re.compile(r"<\?(?:php(?=\s|\Z)|=|(?!xml))", re.IGNORECASE)
_SILENT: Final = frozenset({"space", "comment"})
_INDENT: Final = "  "
_SMALLEST: Final = -(2**63)


class PhpSyntaxError(EncajaError):
    """PHP text that cannot be read as plain data, with the line at which reading stopped."""

    def __init__(self, what: str, path: str, line: int, hint: str) -> None:
        super().__init__(what, f"{path}:{line}", hint)
        self.line = line


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def decode(data: bytes) -> str:
    """Bytes of a PHP file as text that encodes back to the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The bytes of text made by :func:`decode`."""
    return text.encode("utf-8", "surrogateescape")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    inside = False
    while position < len(text):
        if not inside:
            opening = _OPEN.search(text, position)
            end = opening.start() if opening else len(text)
            if end > position:
                found.append(_Token("html", text[position:end], position, end))
            if not opening:
                break
            found.append(_Token("open", opening.group(), opening.start(), opening.end()))
            position, inside = opening.end(), True
            continue
        match = _TOKEN.match(text, position)
        if match is None:  # the pattern ends in "any character", so this is unreachable for str input
            break
        kind = match.lastgroup or "punct"
        if kind in {"quote", "label"}:
            kind = "heredoc"
        found.append(_Token(kind, match.group(), match.start(), match.end()))
        position = match.end()
        inside = kind != "close"
    return found


def _significant(text: str) -> list[_Token]:
    return [token for token in _tokens(text) if token.kind not in _SILENT]


def _single(body: str) -> str:
    return re.sub(r"\\([\\'])", r"\1", body)


_ESCAPE = re.compile(r"\\(?:([nrtvef\\$\"])|([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u\{([0-9A-Fa-f]+)\})")
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "e": "\x1b", "f": "\f", "\\": "\\", "$": "$", '"': '"'}


def _double(body: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        letter, octal, hexadecimal, point = match.groups()
        if letter:
            return _LETTERS[letter]
        if point:
            return chr(int(point, 16))
        return chr(int(octal, 8) & 255 if octal else int(hexadecimal, 16)).encode("latin-1").decode("latin-1")

    if not re.search(r"\\(?:[0-7]|x[0-9A-Fa-f])", body):
        return _ESCAPE.sub(replaced, body)
    # Byte escapes may spell the bytes of one UTF-8 character one after another: put bytes together, then decode.
    parts: list[bytes] = []
    position = 0
    for match in _ESCAPE.finditer(body):
        parts.append(encode(body[position : match.start()]))
        parts.append(
            replaced(match).encode("latin-1") if match.group(2) or match.group(3) else replaced(match).encode()
        )
        position = match.end()
    parts.append(encode(body[position:]))
    return decode(b"".join(parts))


class _Reader:
    """A recursive-descent reader of PHP constant expressions over the significant tokens of a file."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.tokens = _significant(text)
        self.index = 0
        self.imports: dict[str, str] = {}

    def fail(self, what: str, token: _Token | None = None, hint: str = "write the value out as plain data") -> NoReturn:
        token = token or self.peek()
        position = token.start if token else len(self.text)
        raise PhpSyntaxError(what, self.path, self.text.count("\n", 0, position) + 1, hint)

    def peek(self, ahead: int = 0) -> _Token | None:
        return self.tokens[self.index + ahead] if self.index + ahead < len(self.tokens) else None

    def at(self, *texts: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token is not None and token.kind in {"punct", "name", "open"} and token.text.lower() in texts

    def take(self) -> _Token:
        token = self.peek()
        if token is None:
            self.fail("the file ends in the middle of a value", hint="fix the syntax error")
        self.index += 1
        return token

    def expect(self, text: str) -> None:
        token = self.peek()
        if not self.at(text):
            shown = f"found {token.text[:40]!r}" if token else "the file ends"
            self.fail(f"syntax error: expected {text!r}, {shown}", hint="fix the syntax error")
        self.index += 1

    def file(self) -> dict[int | str, Any]:
        first = self.peek()
        if first is None or first.kind != "open" or first.text == "<?=":
            self.fail("text before '<?php'", hint="let the file begin with '<?php'")
        self.index += 1
        while self.at("declare", "use"):
            self.prologue()
        if not self.at("return"):
            token = self.peek()
            self.fail(f"statement {token.text[:40]!r} instead of 'return'" if token else "no 'return' in the file",
                      hint="keep nothing but 'return array(...);' in the file")  # fmt: skip
        self.index += 1
        start = self.peek()
        value = self.expression()
        if not isinstance(value, dict):
            self.fail("the file does not return an array", start, "return array(...);")
        if self.peek() is not None and not (ending := self.take()).text.startswith((";", "?>")):
            self.fail(f"syntax error: expected ';', found {ending.text[:40]!r}", ending, "fix the syntax error")
        for extra in self.tokens[self.index :]:
            if extra.kind == "close" or extra.text == ";" or (extra.kind == "html" and not extra.text.strip()):
                continue
            self.fail(f"{extra.text[:40]!r} after the returned array", extra, "remove what follows the array")
        return value

    def prologue(self) -> None:
        statement = [self.take()]
        while not self.at(";"):
            statement.append(self.take())
        self.index += 1
        words = [token.text for token in statement]
        if words[0].lower() == "use" and len(words) in {2, 4} and statement[1].kind == "name":
            full = words[1].lstrip("\\")
            self.imports[words[3] if len(words) == 4 else full.rpartition("\\")[2]] = full
        elif words[0].lower() == "use":
            self.fail("an import that names no class", statement[0], "write class names out in full")

    def expression(self, minimum: int = 0) -> Value:
        value = self.unary()
        while (token := self.peek()) is not None and token.kind == "punct":
            binding = _BINARY.get(token.text)
            if binding is None or binding[0] < minimum:
                break
            self.index += 1
            right = self.expression(binding[0] + 1)
            try:
                value = binding[1](value, right)
            except (TypeError, ValueError):
                self.fail(f"operands of {token.text!r} are not plain numbers or strings", token)
        return value

    def unary(self) -> Value:
        token = self.peek()
        if token is not None and token.kind == "punct" and token.text in {"-", "+", "~", "!"}:
            self.index += 1
            value = self.unary()
            if token.text == "!":
                return not value
            if isinstance(value, (int, float)):
                if token.text == "~":
                    return ~int(value)
                return -value if token.text == "-" else +value
            self.fail(f"{token.text!r} before something that is no number", token)
        return self.primary()

    def primary(self) -> Value:  # noqa: PLR0911  one return per kind of literal
        token = self.take()
        if token.kind == "single":
            return _single(token.text[1:-1])
        if token.kind == "double":
            body = token.text[1:-1]
            if re.search(r"(?<!\\)(?:\\\\)*(?:\$[A-Za-z_{]|\{\$)", body):
                self.fail("a string with a variable in it", token)
            return _double(body)
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "punct" and token.text == "[":
            return self.array("]")
        if token.kind == "punct" and token.text == "(":
            value = self.expression()
            self.expect(")")
            return value
        if token.kind == "variable":
            self.fail(f"variable {token.text}", token)
        if token.kind == "name":
            return self.named(token)
        if token.kind == "heredoc":
            self.fail("a heredoc string", token)
        return self.fail(f"syntax error: unexpected {token.text[:40]!r}", token, "fix the syntax error")

    def named(self, token: _Token) -> Value:
        word = token.text.lower()
        if word == "array" and self.at("("):
            self.index += 1
            return self.array(")")
        if word in {"function", "fn"} or (word == "static" and self.at("function", "fn")):
            self.fail("a closure", token)
        if word == "new":
            self.fail("an object", token)
        if self.at("("):
            self.fail(f"call of {token.text}()", token)
        if self.at("::"):
            if self.at("class", ahead=1):
                self.index += 2
                return self.class_name(token.text)
            self.fail(f"constant or call of class {token.text}", token)
        name = token.text.lstrip("\\")
        if word.lstrip("\\") in {"true", "false", "null"}:
            return CONSTANTS[word.lstrip("\\")]
        if name in CONSTANTS:
            return CONSTANTS[name]
        return self.fail(f"constant {token.text} whose value is not in the file", token)

    def class_name(self, text: str) -> str:
        if text.startswith("\\"):
            return text[1:]
        head, separator, rest = text.partition("\\")
        return self.imports.get(head, head) + separator + rest

    def array(self, closing: str) -> dict[int | str, Any]:
        result: dict[int | str, Any] = {}
        following = 0
        while not self.at(closing):
            if self.at("...", "&"):
                self.fail("an array built from another one or by reference")
            start = self.peek()
            value = self.expression()
            if self.at("=>"):
                self.index += 1
                try:
                    key = array_key(value)
                except TypeError:
                    self.fail("an array key that is neither number nor string", start)
                value = self.expression()
            else:
                key = following
            result[key] = value
            if isinstance(key, int):
                following = max(following, key + 1)
            if not self.at(closing):
                self.expect(",")
        self.index += 1
        return result


def _text(value: Value) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, dict):
        raise TypeError
    return _float(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _integers(operation: Callable[[int, int], int]) -> Callable[[Value, Value], Value]:
    def applied(left: Value, right: Value) -> Value:
        if not isinstance(left, int) or not isinstance(right, int):
            raise TypeError
        return operation(left, right)

    return applied


_BINARY: Final[Mapping[str, tuple[int, Callable[[Value, Value], Value]]]] = {
    "|": (1, _integers(lambda left, right: left | right)),
    "^": (2, _integers(lambda left, right: left ^ right)),
    "&": (3, _integers(lambda left, right: left & right)),
    ".": (4, lambda left, right: _text(left) + _text(right)),
    "+": (5, _integers(lambda left, right: left + right)),
    "-": (5, _integers(lambda left, right: left - right)),
    "*": (6, _integers(lambda left, right: left * right)),
}


def _number(text: str) -> int | float:
    plain = text.replace("_", "").lower()
    if plain.startswith(("0x", "0b", "0o")):
        return int(plain, 0)
    if re.fullmatch(r"0[0-7]+", plain):
        return int(plain, 8)
    return int(plain) if plain.isdigit() and int(plain) < -_SMALLEST else float(plain)


def array_key(value: Value) -> int | str:
    """An array key after PHP's own conversion: "8" is 8, true is 1, 1.7 is 1, null is ""."""
    if isinstance(value, bool | float):
        return int(value)
    if value is None:
        return ""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|-?[1-9]\d{0,17}", value) else value
    raise TypeError


def parse_settings(text: str, path: str = ".settings.php") -> dict[int | str, Any]:
    r"""The array that a ``<?php return array(...);`` file returns.

    Arrays become dictionaries in their order (lists get the keys 0, 1, …), ``\Foo\Bar::class`` becomes ``Foo\Bar``.

    Args:
        text: the whole file.
        path: its name, for messages.

    Raises:
        PhpSyntaxError: the file is no plain data (closure, call, variable, statement) or no valid PHP; names the line.
    """
    return _Reader(text, path).file()


def parse_literal(text: str, path: str = "value") -> Value:
    r"""The value of one PHP constant expression such as ``array('a' => 1)`` or ``"x\n"``."""
    reader = _Reader(f"<?php {text}", path)
    reader.index = 1
    value = reader.expression()
    if (rest := reader.peek()) is not None:
        reader.fail(f"{rest.text[:40]!r} after the value", rest)
    return value


def _float(value: float) -> str:
    text = repr(value)
    if text in {"inf", "-inf", "nan"}:
        return {"inf": "INF", "-inf": "-INF", "nan": "NAN"}[text]
    mantissa, exponent, power = text.partition("e")
    if exponent:
        mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
        return f"{mantissa}E{int(power):+d}"
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\0", "' . \"\\0\" . '") + "'"


def literal(value: object, indent: str = "") -> str:
    """A value as PHP's ``var_export`` writes it; lists and tuples become arrays with the keys 0, 1, 2."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):  # PHP would read its smallest integer, written as one number, as a float
        return str(value) if value != _SMALLEST else f"{value + 1}-1"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        items = [(array_key(key), item) for key, item in value.items()]
    elif isinstance(value, Sequence):
        items = list(enumerate(value))
    else:
        raise EncajaError(f"a value of type {type(value).__name__} has no PHP form", hint="use plain data")
    lines = ["array ("]
    for key, item in items:
        inner = literal(item, indent + _INDENT)
        shown = str(key) if isinstance(key, int) else _quoted(key)
        between = f"\n{indent}{_INDENT}" if inner.startswith("array (") else ""
        lines.append(f"{indent}{_INDENT}{shown} => {between}{inner},")
    return "\n".join([*lines, f"{indent})"])


def render_settings(settings: Mapping[Any, Any]) -> str:
    """A whole ``.settings.php`` that returns the settings, in the form in which the portal's kernel writes it."""
    return f"<?php\nreturn {literal(settings)};\n"


@dataclass(frozen=True)
class _Statement:
    start: int  # first character of the statement
    end: int  # after its semicolon
    value_start: int
    value_end: int
    sole_body: bool  # the statement is the brace-less body of an if, else or loop


def _sole_body(tokens: Sequence[_Token], index: int) -> bool:
    if index == 0:
        return False
    before = tokens[index - 1]
    return before.text == ")" or before.text.lower() in {"else", "do"}


def _closing(tokens: Sequence[_Token], index: int) -> tuple[int, int] | None:
    """Index of the token that ends the value starting at index (depth 0), and of the semicolon behind it."""
    depth = 0
    for position in range(index, len(tokens)):
        text = tokens[position].text if tokens[position].kind in {"punct", "close"} else ""
        if text in {"(", "[", "{"}:
            depth += 1
        elif text in {")", "]", "}"}:
            if depth == 0:
                return position, position + 1
            depth -= 1
        elif depth == 0 and (text == ";" or tokens[position].kind == "close"):
            return position, position
    return None


def _defines(text: str, name: str) -> list[_Statement]:
    tokens = _significant(text)
    found = []
    for index, token in enumerate(tokens[:-4]):
        if token.kind != "name" or token.text.lower().lstrip("\\") != "define" or tokens[index + 1].text != "(":
            continue
        constant = tokens[index + 2]
        if constant.kind not in {"single", "double"} or constant.text[1:-1] != name or tokens[index + 3].text != ",":
            continue
        if (closing := _closing(tokens, index + 4)) is None:
            continue
        end, semicolon = closing
        last = tokens[semicolon] if semicolon < len(tokens) and tokens[semicolon].text == ";" else tokens[end]
        found.append(
            _Statement(token.start, last.end, tokens[index + 4].start, tokens[end - 1].end, _sole_body(tokens, index))
        )
    return found


def _assignments(text: str, name: str) -> list[_Statement]:
    tokens = _significant(text)
    found = []
    for index, token in enumerate(tokens[:-2]):
        if token.kind != "variable" or token.text != f"${name}" or tokens[index + 1].text != "=":
            continue
        if (closing := _closing(tokens, index + 2)) is None:
            continue
        end = closing[1]
        last = tokens[end] if tokens[end].text == ";" else tokens[end - 1]
        found.append(
            _Statement(token.start, last.end, tokens[index + 2].start, tokens[end - 1].end, _sole_body(tokens, index))
        )
    return found


def _without(text: str, statement: _Statement) -> str:
    if statement.sole_body:
        return f"{text[: statement.start]};{text[statement.end :]}"
    start, end = statement.start, statement.end
    line = text.rfind("\n", 0, start) + 1
    rest = re.compile(r"[ \t]*(?:\r?\n|\Z)").match(text, end)
    if not text[line:start].strip() and rest:
        start, end = line, rest.end()
    return text[:start] + text[end:]


def _edited(text: str, found: Sequence[_Statement], value: object, remove: bool, line: str) -> str:
    if remove:
        for statement in reversed(found):
            text = _without(text, statement)
        return text
    if found:
        for statement in reversed(found):
            current = text[statement.value_start : statement.value_end]
            try:
                same = parse_literal(current) == value and type(parse_literal(current)) is type(value)
            except PhpSyntaxError:
                same = False
            if not same:
                text = text[: statement.value_start] + literal(value) + text[statement.value_end :]
        return text
    opening = re.match(r"\s*<\?(?:php)?[ \t]*(?:\r?\n)?", text, re.IGNORECASE)
    if opening is None:
        return f"<?php\n{line}\n?>{text}" if text else f"<?php\n{line}\n"
    declared = re.compile(r"\s*declare\s*\([^)]*\)\s*;[ \t]*(?:\r?\n)?", re.IGNORECASE).match(text, opening.end())
    position = declared.end() if declared else opening.end()
    head = text[:position]
    return f"{head}{'' if head.endswith(chr(10)) else chr(10)}{line}\n{text[position:]}"


REMOVED: Final = object()


def edit_define(text: str, name: str, value: object = REMOVED) -> str:
    """The text with ``define("NAME", value);`` set, or without it when no value is given.

    A new constant goes to the top of the file, because PHP keeps the first definition. A definition that is the
    brace-less body of an ``if`` leaves an empty statement behind, so that the ``if`` does not swallow what follows.
    """
    line = "" if value is REMOVED else f'define("{name}", {literal(value)});'
    return _edited(text, _defines(text, name), value, value is REMOVED, line)


def guard_define(text: str, name: str, value: object, condition: str) -> str:
    """The text with ``define("NAME", value);`` under an ``if`` with this condition; one that has an ``if`` is kept."""
    found = _defines(text, name)
    if not found:
        return _edited(text, (), value, remove=False, line=f'if ({condition}) define("{name}", {literal(value)});')
    for statement in reversed(found):
        if not statement.sole_body:
            text = f"{text[: statement.start]}if ({condition}) {text[statement.start :]}"
    return text


def edit_variable(text: str, name: str, value: object = REMOVED) -> str:
    """The text with ``$name = value;`` set wherever it is assigned, or without it when no value is given."""
    line = "" if value is REMOVED else f"${name} = {literal(value)};"
    return _edited(text, _assignments(text, name), value, value is REMOVED, line)


def _read(text: str, found: Sequence[_Statement], default: Value) -> Value:
    for statement in found:
        source = text[statement.value_start : statement.value_end]
        try:
            return parse_literal(source)
        except PhpSyntaxError:
            return source
    return default


def read_define(text: str, name: str, default: Value = None) -> Value:
    """The value that the first ``define("NAME", …)`` gives; its PHP source when it is no plain data."""
    return _read(text, _defines(text, name), default)


def read_variable(text: str, name: str, default: Value = None) -> Value:
    """The value of the last ``$name = …;``; the PHP expression as it stands when it is no plain data."""
    return _read(text, _assignments(text, name)[::-1], default)
