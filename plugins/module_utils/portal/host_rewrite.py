"""Replacing the old host of a portal inside its values, whatever they are: text, URL, serialised PHP, JSON, or nested.

A host is replaced only where it stands as a whole host: neither inside a longer name (``www.old``, ``old.example``) nor
as the domain of a mail address, which belongs to the mail system and not to the portal. Source: portal.md 3 and 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ..errors import ConfigurationError
from .serialized import SerializedError, is_serialized, map_strings, serialize, unserialize

_JSON_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEMES: Final = {"http": ("http", "https"), "ws": ("ws", "wss")}
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def ascii_host(host: str) -> str:
    """The host in lower case and in its ASCII form (``xn--…``).

    Raises:
        ConfigurationError: the text is no host name (a URL, a path, with a port …).
    """
    text = host.strip().rstrip(".")
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            raise ConfigurationError(
                "no valid host name", repr(host), "write the bare name, as crm.example.com"
            ) from None
    if not _HOST.fullmatch(text):
        raise ConfigurationError("no valid host name", repr(host), "write the bare name, as crm.example.com")
    return text.lower()


@dataclass(frozen=True)
class HostChange:
    """What becomes what: the hosts that a portal had, and the address it has now.

    Attributes:
        old: every name the portal was reached by before.
        new: its name now.
        scheme: ``https`` or ``http``; goes into every URL that named an old host.
        port: its TCP port now, 0 for the scheme's own.
    """

    old: tuple[str, ...]
    new: str
    scheme: str = "https"
    port: int = 0

    def __post_init__(self) -> None:
        """Check the names, bring them to one form, and leave the new one out of the old ones."""
        new = ascii_host(self.new)
        if self.scheme not in _DEFAULT_PORTS:
            raise ConfigurationError(f"scheme {self.scheme!r}", "domain", "use https or http")
        names = {ascii_host(name) for name in self.old if name.strip()}
        names |= {decoded for name in names if (decoded := _unicode(name)) != name}
        object.__setattr__(self, "new", new)
        object.__setattr__(
            self, "old", tuple(sorted(names - {new, _unicode(new)}, key=lambda name: (-len(name), name)))
        )
        if self.port == _DEFAULT_PORTS[self.scheme]:
            object.__setattr__(self, "port", 0)

    @property
    def authority(self) -> str:
        """The new host, with its port when that is not the scheme's own."""
        return f"{self.new}:{self.port}" if self.port else self.new

    @property
    def url(self) -> str:
        """The portal's address without a slash at the end."""
        return f"{self.scheme}://{self.authority}"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = "|".join(re.escape(name) for name in self.old)
        return re.compile(
            rf"""
            (?P<scheme>\b(?:https?|wss?))?
            (?P<slashes>:(?://|\\/\\/|\\\\/\\\\/)|%3A%2F%2F|(?<![\w.@:/%-])//|(?<![\w.@%-])|(?<=%2F)|(?<=%3D)|(?<=%3A))
            (?:{names})
            (?P<port>:\d{{1,5}}(?!\d)|%3A\d{{1,5}}(?!\d))?
            (?![\w-]|\.[\w-])
            """,
            re.VERBOSE | re.IGNORECASE,
        )

    def mentioned(self, text: str) -> bool:
        """Whether an old host stands somewhere in the text, in any form, subdomains and mail addresses included."""
        lower = text.lower()
        return any(name in lower for name in self.old)

    def _replacement(self, match: re.Match[str]) -> str:
        scheme, slashes, port = match.group("scheme") or "", match.group("slashes"), match.group("port") or ""
        if slashes.startswith((":", "%3A", "%3a")):
            family = "ws" if scheme.lower().startswith("ws") else "http"
            plain, secure = _SCHEMES[family]
            scheme = secure if self.scheme == "https" else plain
        separator = "%3A" if slashes.lower().startswith("%3a") or port.lower().startswith("%3a") else ":"
        new_port = f"{separator}{self.port}" if self.port and (slashes or port) else ""
        return f"{scheme}{slashes}{self.new}{new_port}"

    def in_text(self, text: str) -> str:
        """Plain text with every old host replaced; lengths of serialised values are not looked at."""
        if not self.old or not self.mentioned(text):
            return text
        return self._pattern.sub(self._replacement, text)

    def in_value(self, text: str) -> str:
        """A stored value with every old host replaced, in serialised PHP and JSON with correct lengths and escapes.

        A value that begins as serialised PHP but cannot be read is returned as it is; :meth:`is_unreadable` tells.
        """
        if not self.old or not self.mentioned(text):
            return text
        if is_serialized(text):
            try:
                parsed = unserialize(text)
            except SerializedError:
                return text
            return serialize(map_strings(parsed, self.in_value)).decode("utf-8", "surrogateescape")
        if text.lstrip()[:1] in {"{", "["} and _is_json(text):
            return _JSON_STRING.sub(self._in_json_string, text)
        return self.in_text(text)

    def _in_json_string(self, match: re.Match[str]) -> str:
        source = match.group()
        if not self.mentioned(source):
            return source
        before = json.loads(source)
        after = self.in_value(before)
        if after == before:
            return source
        encoded = json.dumps(after, ensure_ascii=source.isascii())
        return encoded.replace("/", "\\/") if "\\/" in source else encoded

    def is_unreadable(self, text: str) -> bool:
        """Whether the value holds an old host but cannot be changed, because it is a damaged serialised value."""
        if not self.mentioned(text) or not is_serialized(text):
            return False
        try:
            unserialize(text)
        except SerializedError:
            return True
        return False


def _unicode(host: str) -> str:
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return host


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def old_hosts(values: Iterable[str]) -> tuple[str, ...]:
    """Host names out of values that hold a bare host, a host with a port, or a URL; anything else is left out."""
    found: dict[str, None] = {}
    for value in values:
        text = re.sub(r"^\w+://", "", value.strip())
        text = re.split(r"[/?#:]", text, maxsplit=1)[0]
        try:
            name = ascii_host(text)
        except ConfigurationError:
            continue
        if "." in name and not re.fullmatch(r"[\d.]+", name):
            found.setdefault(name)
    return tuple(found)
