"""What of a value may leave its host: the text, or only whether it equals another host's.

Two hosts are compared by keyed digests (HMAC-SHA-256) that each makes of its own values. The key is the controller's,
fresh for every comparison, so a digest says nothing about a value but whether two of them are the same. A value is
digested as it is, and with the names of its own environment (domain, host, addresses, database, tree) removed, so that
``https://crm.example/x`` and ``https://pre.example/x`` can be told from a real difference. The name of an environment
or host may be a word that is in other values as well (``test``, ``backup``): a third digest keeps such words. A fourth
is without the credentials inside the value, as neutralisation leaves it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from .credentials import without_credentials
from .serialized import SerializedError
from .settings import is_secret

SHOWN: Final = 1000
"""Characters of a value that are shown at most."""
SUSPICIOUS: Final = re.compile(r"passw|passwd|secret|token|api_?key|webhook|credential|private|signature|salt", re.I)
"""Parts of names that people and modules give to what is secret."""
HARMLESS: Final = frozenset({
    "proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass", "ssl_certificate_key", "signature_algo",
    "max_seeks_for_key", "innodb_force_primary_key", "disconnect_on_expired_password",
})  # fmt: skip
"""Names of nginx, MariaDB and the portal that end like those of secrets: addresses, paths and switches."""

_INSIDE: Final = (
    re.compile(r"(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|authorization|auth)[\"']?\s*(?:[:=]|=>|;s:\d+:)", re.I),
    re.compile(r"(?:passw(?:or)?d|secret|token|api[_-]?key)[\"']?\s+[\"']?[A-Za-z0-9]", re.I),
    re.compile(r"\b(?:bearer|basic)\s+[A-Za-z0-9+/=._-]{8,}", re.I),
    re.compile(r"://[^/\s:@]*:[^/\s@]+@"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
)
_WORD: Final = re.compile(r"[A-Za-z0-9+=_-]{20,}")
_UNMISTAKABLE: Final = re.compile(r"[.:\d]")
"""What domains, addresses and trees have in their names, and plain words have not."""
_SERIALIZED_LENGTH: Final = re.compile(r"\bs:\d+:")


def holds_secret(text: str) -> bool:
    """Whether a text carries a credential: a password in a URL, an authorization, a field called so, a private key."""
    return any(pattern.search(text) for pattern in _INSIDE)


def looks_random(text: str) -> bool:
    """Whether a text has a word of 20 characters or more with letters and at least three digits, as keys have."""
    words = (match.group() for match in _WORD.finditer(text))
    return any(sum(map(str.isdigit, word)) >= 3 and any(map(str.isalpha, word)) for word in words)


class Secrecy(Enum):
    """What counts as secret in a section: nothing, what has the name of a secret, or also what looks like one."""

    OPEN = "open"
    NAMED = "named"
    STRICT = "strict"


class ValueDigester:
    """Turns the values of one host into what may leave it.

    Args:
        salt: the key of the digests; the same on all hosts of a comparison.
        own: names of this environment and their replacements, such as ``{"crm.example": "{here}"}``.
    """

    def __init__(self, salt: str, own: Mapping[str, str]) -> None:
        self._salt = salt.encode()
        names = sorted((name for name in own if name), key=lambda name: (-len(name), name))
        self._own = {name.lower(): own[name] for name in names}
        self._pattern = _any_of(names)
        self._unmistakable = _any_of([name for name in names if _UNMISTAKABLE.search(name)])

    def digest(self, text: str) -> str:
        """The keyed digest of a text, 16 hexadecimal digits."""
        return hmac.new(self._salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]

    def without_names(self, text: str, *, words: bool = True) -> str:
        """The text with this environment's own names taken out; without ``words`` those that are plain words stay."""
        pattern = self._pattern if words else self._unmistakable
        if pattern is None:
            return text
        found = pattern.sub(lambda match: self._own[match.group().lower()], text)
        return found if found == text else _SERIALIZED_LENGTH.sub("s:#:", found)

    def value(
        self, name: str, text: str, guard: Secrecy = Secrecy.STRICT, shown: str | None = None
    ) -> list[str | None]:
        """What leaves the host of a value: its text (None when it is secret), and its four digests.

        Args:
            name: what the value is called; tells secrets by their names.
            text: the value.
            guard: what counts as secret.
            shown: what stands for a value that is not shown itself, such as the length of a program.
        """
        bare = _bare(text)
        hidden = _hidden(name, text, guard) or (guard is not Secrecy.OPEN and bare != text)
        visible = None if hidden else (text if shown is None else shown)[:SHOWN]
        forms = (text, self.without_names(text), self.without_names(text, words=False), self.without_names(bare))
        return [visible, *map(self.digest, forms)]


def _bare(text: str) -> str:
    try:
        return str(without_credentials(text))
    except SerializedError:
        return text


def _any_of(names: Sequence[str]) -> re.Pattern[str] | None:
    joined = "|".join(re.escape(name) for name in names)
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{joined})(?![A-Za-z0-9_])", re.I) if names else None


def _hidden(name: str, text: str, guard: Secrecy) -> bool:
    if guard is Secrecy.OPEN or not text:
        return False
    plain = re.sub(r"[^A-Za-z0-9~]+", "_", re.sub(r" \([^)]*\)$", "", name))
    if holds_secret(text):
        return True
    if re.split(r"[^A-Za-z0-9_]+", name)[-1] in HARMLESS:
        return False
    if is_secret(plain):
        return True
    return guard is Secrecy.STRICT and (SUSPICIOUS.search(plain) is not None or looks_random(text))
