"""The address and credentials of a caller.

Source: apidocs.bitrix24.com, settings/how-to-call-rest-api.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from encaja.errors import ConfigurationError


@dataclass(frozen=True)
class Webhook:
    """An inbound webhook, or a local application's token. Its address is a secret.

    Args:
        portal: scheme and host, ``https://acme.bitrix24.es``.
        path: what follows ``/rest/`` for a webhook: ``1/abcdef``; empty for an application.
        token: an application's access token.
    """

    portal: str
    path: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Webhook:
        """Read an address as the portal shows it: ``https://HOST/rest/USER/CODE/``, with or without a method.

        Raises:
            ConfigurationError: it is no such address.
        """
        parts = urlsplit(text.strip())
        found = re.fullmatch(r"/rest/(\d+/[\w-]+)(?:/[\w.]*)?/?", parts.path)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not found:
            hint = "copy it from the portal: Applications, Developer resources, Inbound webhook"
            raise ConfigurationError("not the address of a webhook: https://HOST/rest/USER/CODE/", "webhook", hint)
        return cls(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", found[1])

    @property
    def host(self) -> str:
        """The portal's host name, by which its limits count."""
        return urlsplit(self.portal).hostname or ""

    @property
    def fingerprint(self) -> str:
        """Distinguishes callers without revealing the secret."""
        return hashlib.sha256(f"{self.path} {self.token}".encode()).hexdigest()[:12]

    def address(self, method: str) -> str:
        """Where to call a method. A secret."""
        return f"{self.portal}/rest/{self.path}/{method}.json" if self.path else f"{self.portal}/rest/{method}.json"
