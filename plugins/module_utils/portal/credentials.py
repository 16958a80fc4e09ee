"""What a credential or an endpoint looks like: by the name of a column, an option or a key, and by the value itself.

Values that the portal keeps inside others (serialised PHP, JSON, packed templates) are read and written back in their
own form. Source: behaviour-carry.md, theme 10 with its rules for the unlisted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from .packed import read
from .serialized import PhpObject, SerializedError, is_serialized, serialize, unserialize

SECRET: Final = re.compile(
    r"pass(?!ive|port|age|eng|ed\b|ing\b)|pwd|secret|token|api_?key|access_?key|shared_?key|private_?key|pkey|oauth|oasecret"
    r"|cert(?!ain)|login|check_?word|confirm_?code|credential",
    re.IGNORECASE,
)
"""Names of columns and options that hold credentials, whatever their value."""

ENDPOINT: Final = re.compile(r"endpoint|_url|handler|server|host|domain|webhook|callback", re.IGNORECASE)
"""Names of columns and options that are of interest where the value is an address."""

CONTAINER: Final = re.compile(
    r"(?:^|_)(?:settings|params|parameters|options|data|config|payload|rules|fields|properties|additional|tags"
    r"|property_value|template|variables|constants|workflow|workflow_ro|shards|document|cookie|oauth|param_json)$",
    re.IGNORECASE,
)
"""Names of columns whose values hold others by name."""

KEY: Final = re.compile(
    r"pass(?!ive|port|age|eng|ed\b|ing\b)|pwd|secret|token|api_?key|access_?key|shared_?key|private_?key|pkey|oauth"
    r"|check_?word|confirm_?code|credential",
    re.IGNORECASE,
)
"""Names inside a value that stand for a credential."""

ADDRESS_KEY: Final = re.compile(r"handler|endpoint|webhook|callback", re.IGNORECASE)
"""Names inside a value that stand for an endpoint, where the value is an address."""

_WORD: Final = r"[A-Za-z0-9_-]"
SHAPES: Final = (
    re.compile(rf"(?<!{_WORD})eyJ{_WORD}{{8,}}\.{_WORD}{{8,}}\.{_WORD}{{8,}}"),  # JWT
    re.compile(rf"(?<!{_WORD})(?:local|app)\.[0-9a-f]{{8,}}\.[0-9]+"),  # an application's client
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
    re.compile(r"(?<=://)[^\s/@:\"'<>]+:[^\s/@\"'<>]+(?=@)"),  # https://name:password@host
    re.compile(r"(?<=/rest/)[0-9]+/[a-z0-9]{16}(?![a-z0-9])"),  # a webhook's address
    re.compile(
        r"(?i)(?<=[?&])((?:access_|auth_|refresh_)?token|auth|api_?key|secret|password|passwd|key|sig(?:nature)?)"
        r"=[^\s&#\"'<>\\]+"
    ),
)
"""What is a credential wherever it stands in a text."""

HEX: Final = re.compile(r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})")
"""What an option's value is when it is a key."""

LIKELY: Final = (
    "pass|pwd|secret|token|key|auth",
    "handler|endpoint|webhook|callback|credential|eyJ|/rest",
    "check_?word|confirm_?code",
    r"local[.][0-9a-f]|app[.][0-9a-f]|[?&]sig|:[\\/]{2,}[^/ ]*@",
)
"""Conditions for the database: every value with a credential fulfils one, and most of the others none.

Several, because the database is several times slower with one that has all words.
"""

_URL: Final = re.compile(r"\s*https?:(?://|\\/\\/)", re.IGNORECASE)
_JSON_START: Final = ("{", "[")
_PUBLIC: Final = frozenset({"", "0", "1", "N", "Y", "false", "true"})


def without_credentials(stored: str | bytes) -> str | bytes:
    """The stored value with everything emptied that is a credential, in the form that it was stored in.

    Raises:
        SerializedError: the value cannot be read.
    """
    if isinstance(stored, bytes):
        held = read(stored)
        text = _in_value(held.text)
        return stored if text == held.text else held.stored(text)
    return _in_value(stored)


def _in_value(text: str) -> str:
    if is_serialized(text):
        before = unserialize(text)
        after = _mapped(before)
        return text if after == before else serialize(after).decode("utf-8", "surrogateescape")
    if text.lstrip()[:1] in _JSON_START:
        try:
            before = json.loads(text)
        except (ValueError, RecursionError):
            return _in_text(text)
        after = _mapped(before)
        if after == before:
            return text
        encoded = json.dumps(after, ensure_ascii=text.isascii(), separators=_separators(text))
        return encoded.replace("/", "\\/") if "\\/" in text else encoded
    return _in_text(text)


def _separators(text: str) -> tuple[str, str]:
    return (", ", ": ") if '": ' in text else (",", ":")


def _in_text(text: str) -> str:
    for shape in SHAPES:
        text = shape.sub(lambda found: f"{found.group(1)}=" if found.lastindex else "", text)
    return text


def _nested(text: str) -> str:
    """A string inside a value; damaged serialised text in it is only text."""
    try:
        return _in_value(text)
    except SerializedError:
        return _in_text(text)


def _mapped(value: Any, name: str = "", *, secret: bool = False) -> Any:
    """The value without the credentials in it; ``name`` is the key that it stands under."""
    if isinstance(value, str):
        return _string(value, name, secret=secret)
    if isinstance(value, dict):
        return {key: _member(key, one, name, secret=secret) for key, one in value.items()}
    if isinstance(value, list):
        return [_mapped(one, name, secret=secret) for one in value]
    if isinstance(value, PhpObject):
        if value.properties is None:
            opaque = value.opaque.decode("utf-8", "surrogateescape")
            return PhpObject(value.class_name, None, _nested(opaque).encode("utf-8", "surrogateescape"))
        return PhpObject(value.class_name, _mapped(value.properties, name, secret=secret))
    return value


def _member(key: Any, value: Any, name: str, *, secret: bool) -> Any:
    if isinstance(key, int):
        return _mapped(value, name, secret=secret)
    own = key.rpartition("\0")[2]  # a property of an object, with its visibility
    return _mapped(value, own, secret=secret or KEY.search(own) is not None)


def _string(text: str, name: str, *, secret: bool) -> str:
    if text in _PUBLIC:
        return text
    if secret:
        return ""
    if ADDRESS_KEY.search(name) and _URL.match(text):
        return ""
    return _nested(text)


def has_credentials(stored: str | bytes) -> bool:
    """Whether something in the value is a credential; a value that cannot be read has none that could be used."""
    try:
        return without_credentials(stored) != stored
    except SerializedError:
        return False


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name is what ``pattern`` says, in which ``*`` stands for anything; case does not count."""
    expression = re.compile(re.escape(pattern).replace(r"\*", ".*"), re.IGNORECASE | re.DOTALL)
    return lambda name: expression.fullmatch(name) is not None
