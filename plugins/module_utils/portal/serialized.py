"""PHP's ``serialize()`` format: read, written and mapped without losing a byte.

String lengths count bytes, so a host name cannot be replaced inside such a value as text: the value is read, its
strings are mapped, and it is written again. Strings are ``str`` decoded as UTF-8 with ``surrogateescape``.
Objects keep their class and properties (names with their visibility marks) in order; what a class serialised in its
own way stays opaque.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..errors import EncajaError

_START: Final = re.compile(rb"(?:N;|b:[01];|[id]:[-+0-9.eEINFA]+;|[sSE]:\d+:\"|[aOC]:\d+:[\"{]|[rR]:\d+;)")
_DEPTH: Final = 200


class SerializedError(EncajaError):
    """Text that is no (whole) serialised value."""


class PhpFloat(float):
    """A float that is written back with the digits it was read with."""

    text: str

    def __new__(cls, text: str) -> PhpFloat:
        """Make the number from PHP's notation of it."""
        special = {"INF": "inf", "-INF": "-inf", "NAN": "nan"}
        value = super().__new__(cls, special.get(text, text))
        value.text = text
        return value


@dataclass
class PhpObject:
    """An object of a class that this side does not have: its name and its properties, or its own opaque bytes."""

    class_name: str
    properties: dict[Any, Any] | None = None
    opaque: bytes = b""


@dataclass(frozen=True)
class PhpEnum:
    """A case of an enumeration, as ``Class:Case``."""

    case: str


@dataclass(frozen=True)
class PhpReference:
    """A reference to the value with this ordinal number; kind is ``r`` (object) or ``R`` (variable)."""

    kind: str
    number: int


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def fail(self) -> SerializedError:
        return SerializedError(
            f"no valid serialised value at byte {self.position}", hint="the value was cut or edited as text"
        )

    def until(self, mark: bytes) -> bytes:
        end = self.data.find(mark, self.position)
        if end < 0:
            raise self.fail()
        part = self.data[self.position : end]
        self.position = end + len(mark)
        return part

    def count(self, mark: bytes) -> int:
        digits = self.until(mark)
        if not digits.isdigit():
            raise self.fail()
        return int(digits)

    def expect(self, mark: bytes) -> None:
        if not self.data.startswith(mark, self.position):
            raise self.fail()
        self.position += len(mark)

    def raw(self, length: int) -> bytes:
        part = self.data[self.position : self.position + length]
        if len(part) != length:
            raise self.fail()
        self.position += length
        return part

    def name(self) -> str:
        length = self.count(b":")
        self.expect(b'"')
        text = self.raw(length)
        self.expect(b'"')
        return text.decode("utf-8", "surrogateescape")

    def number(self) -> int:
        text = self.until(b";")
        if not re.fullmatch(rb"[+-]?\d+", text):
            raise self.fail()
        return int(text)

    def value(self, depth: int = 0) -> Any:  # noqa: PLR0911, PLR0912  one branch per type letter of the format
        if depth > _DEPTH:
            raise self.fail()
        kind = self.raw(1)
        if kind == b"N":
            self.expect(b";")
            return None
        self.expect(b":")
        if kind == b"b":
            text = self.until(b";")
            if text not in {b"0", b"1"}:
                raise self.fail()
            return text == b"1"
        if kind == b"i":
            return self.number()
        if kind == b"d":
            try:
                return PhpFloat(self.until(b";").decode("ascii"))
            except ValueError:
                raise self.fail() from None
        if kind == b"s":
            text_value = self.name()
            self.expect(b";")
            return text_value
        if kind == b"E":
            case = PhpEnum(self.name())
            self.expect(b";")
            return case
        if kind in {b"r", b"R"}:
            return PhpReference(kind.decode(), self.number())
        if kind == b"a":
            return self.pairs(self.count(b":"), depth)
        if kind == b"O":
            class_name = self.name()
            self.expect(b":")
            return PhpObject(class_name, self.pairs(self.count(b":"), depth))
        if kind == b"C":
            class_name = self.name()
            self.expect(b":")
            length = self.count(b":")
            self.expect(b"{")
            opaque = self.raw(length)
            self.expect(b"}")
            return PhpObject(class_name, None, opaque)
        raise self.fail()

    def pairs(self, count: int, depth: int) -> dict[Any, Any]:
        self.expect(b"{")
        result: dict[Any, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, int | str) or isinstance(key, bool):
                raise self.fail()
            result[key] = self.value(depth + 1)
        self.expect(b"}")
        return result


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def is_serialized(value: str | bytes) -> bool:
    """Whether the value begins as PHP's ``serialize()`` begins (it may still be cut or damaged)."""
    return _START.match(_bytes(value)) is not None


def unserialize(value: str | bytes) -> Any:
    """The value that a serialised text stands for: arrays as dictionaries, objects as :class:`PhpObject`.

    Raises:
        SerializedError: the text is damaged, cut, or has something behind the value.
    """
    reader = _Reader(_bytes(value))
    result = reader.value()
    if reader.position != len(reader.data):
        raise reader.fail()
    return result


def _quoted(text: str) -> bytes:
    data = _bytes(text)
    return b'%d:"%s"' % (len(data), data)


def _pairs(value: dict[Any, Any]) -> bytes:
    return b"%d:{%s}" % (len(value), b"".join(serialize(key) + serialize(item) for key, item in value.items()))


def serialize(value: Any) -> bytes:  # noqa: PLR0911  one branch per type letter of the format
    """The value in PHP's ``serialize()`` format; lists and tuples become arrays with the keys 0, 1, 2."""
    if value is None:
        return b"N;"
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, int):
        return b"i:%d;" % value
    if isinstance(value, PhpFloat):
        return f"d:{value.text};".encode()
    if isinstance(value, float):
        return f"d:{value!r};".removesuffix(".0;").removesuffix(";").encode() + b";"
    if isinstance(value, str):
        return b"s:" + _quoted(value) + b";"
    if isinstance(value, dict):
        return b"a:" + _pairs(value)
    if isinstance(value, list | tuple):
        return b"a:" + _pairs(dict(enumerate(value)))
    if isinstance(value, PhpEnum):
        return b"E:" + _quoted(value.case) + b";"
    if isinstance(value, PhpReference):
        return f"{value.kind}:{value.number};".encode()
    if isinstance(value, PhpObject):
        if value.properties is None:
            return b"C:%s:%d:{%s}" % (_quoted(value.class_name), len(value.opaque), value.opaque)
        return b"O:" + _quoted(value.class_name) + b":" + _pairs(value.properties)
    raise SerializedError(f"a value of type {type(value).__name__} has no serialised form", hint="use plain data")


def map_strings(value: Any, function: Callable[[str], str]) -> Any:
    """A copy of an unserialised value with every string value (no keys, no names of properties) mapped."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        return {key: map_strings(item, function) for key, item in value.items()}
    if isinstance(value, PhpObject) and value.properties is not None:
        return PhpObject(value.class_name, map_strings(value.properties, function))
    return value
