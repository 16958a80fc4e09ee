"""Tokens of a local application of the portal, which expire and are renewed.

Source: apidocs.bitrix24.com, settings/oauth (renewing tokens; a renewal gives a new refresh token, which replaces the
old one).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import httpx

from encaja.atomic import write_atomically
from encaja.errors import EncajaError
from encaja.rest import answers
from encaja.rest.errors import MalformedError, refusal

# It logs complete addresses, and the one that renews tokens contains secrets.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Application:
    """A local application of the portal whose tokens are renewed."""

    client_id: str
    client_secret: str
    refresh_token: str
    endpoint: str = "https://oauth.bitrix.info/oauth/token/"


class TokenError(EncajaError):
    """A token could not be renewed."""


class Tokens:
    """The application's token: a fixed one, or one that is renewed and kept in a file.

    Args:
        fixed: the token when it does not expire.
        application: the application whose tokens are renewed otherwise.
        path: where renewed tokens are kept.
    """

    def __init__(self, fixed: str, application: Application | None, path: Path) -> None:
        self._application = application
        self._path = path
        self.access = fixed
        self._refresh = application.refresh_token if application else ""
        if application and path.exists():
            kept = json.loads(path.read_text())
            # A new refresh token in the job file is newer than the kept ones.
            if kept["begun_with"] == application.refresh_token:
                self.access, self._refresh = kept["access_token"], kept["refresh_token"]

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be renewed."""
        return self._application is not None

    async def renew(self, client: httpx.AsyncClient) -> None:
        """Get new tokens, and keep them before they are used.

        Raises:
            TokenError: there are none.
        """
        application = self._application
        if application is None:
            raise TokenError("the token was refused", "application", "it cannot be renewed: give a new one")
        parameters = {
            "grant_type": "refresh_token",
            "client_id": application.client_id,
            "client_secret": application.client_secret,
            "refresh_token": self._refresh,
        }
        try:
            async with client.stream("GET", application.endpoint, params=parameters) as response:
                answer = await answers.read(response)
        except (httpx.HTTPError, httpx.InvalidURL, MalformedError) as fault:
            raise TokenError(f"tokens not renewed: {type(fault).__name__}", application.endpoint) from fault
        if answer is None:
            raise TokenError("tokens not renewed: no object", application.endpoint)
        access, refresh = answer.get("access_token"), answer.get("refresh_token", self._refresh)
        if response.status_code != httpx.codes.OK or not (isinstance(access, str) and isinstance(refresh, str)):
            reason = refusal(answer, "token").code or f"HTTP {response.status_code}"
            raise TokenError(f"tokens not renewed: {reason}", application.endpoint)
        self.access, self._refresh = access, refresh
        kept = {"access_token": self.access, "refresh_token": self._refresh, "begun_with": application.refresh_token}
        write_atomically(self._path, json.dumps(kept).encode())
