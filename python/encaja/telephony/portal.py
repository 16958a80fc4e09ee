"""Speaking to the portal's REST interface as an application.

Sources: apidocs.bitrix24.com, settings/how-to-call-rest-api (address, ``auth``, errors), limits (HTTP 503
``QUERY_LIMIT_EXCEEDED``, 429 ``OPERATION_TIME_LIMIT``), settings/oauth (renewing tokens; a renewal gives a new refresh
token, which replaces the old one).
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import ssl
import time
from pathlib import Path
from typing import Any

import httpx

from encaja.errors import EncajaError
from encaja.rest.answers import BUSY_ERRORS, CALLER_ERRORS, TOKEN_ERRORS, decode
from encaja.rest.bucket import LeakyBucket
from encaja.telephony.settings import Application, PortalSettings

log = logging.getLogger("encaja.telephony")
# It writes whole addresses, and the one that renews tokens holds secrets.
logging.getLogger("httpx").setLevel(logging.WARNING)


class UnreachableError(EncajaError):
    """The portal cannot be spoken to at the moment; every call has to wait.

    Args:
        what: what is wrong.
        where: the portal's address.
        may_have_happened: whether the request may have been carried out all the same.
    """

    def __init__(self, what: str, where: str, *, may_have_happened: bool = False) -> None:
        super().__init__(what, where, "calls are kept and told later; see `journalctl -u encaja-telephony`")
        self.may_have_happened = may_have_happened


class RefusalError(EncajaError):
    """The portal answered that it will not do this."""

    def __init__(self, code: str, description: str, method: str) -> None:
        super().__init__(f"{code}: {description}" if description else code, method, "see docs/telephony.md")
        self.code = code
        self.description = description


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
            # A refresh token put into the job file by hand is newer than the kept ones.
            if kept["begun_with"] == application.refresh_token:
                self.access, self._refresh = kept["access_token"], kept["refresh_token"]

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be renewed."""
        return self._application is not None

    async def renew(self, client: httpx.AsyncClient) -> None:
        """Get new tokens and keep them before they are used.

        Raises:
            UnreachableError: the address that renews tokens did not give any.
        """
        application = self._application
        if application is None:
            raise UnreachableError("the token was refused", "telephony_portal_token")
        parameters = {
            "grant_type": "refresh_token",
            "client_id": application.client_id,
            "client_secret": application.client_secret,
            "refresh_token": self._refresh,
        }
        try:
            response = await client.get(application.endpoint, params=parameters)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as fault:
            raise UnreachableError(f"tokens not renewed: {type(fault).__name__}", application.endpoint) from fault
        if response.status_code != httpx.codes.OK or "access_token" not in answer:
            reason = answer.get("error", f"HTTP {response.status_code}") if isinstance(answer, dict) else "no object"
            raise UnreachableError(f"tokens not renewed: {reason}", application.endpoint)
        self.access, self._refresh = answer["access_token"], answer.get("refresh_token", self._refresh)
        kept = {"access_token": self.access, "refresh_token": self._refresh, "begun_with": application.refresh_token}
        write_private(self._path, json.dumps(kept))


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that it is either the old or the new one, whatever happens."""
    beside = path.with_name(f".{path.name}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


@functools.cache
def trusted(ca_file: str) -> ssl.SSLContext:
    """Return the certificates that vouch for a server: those of a file, or those of the system."""
    return ssl.create_default_context(cafile=ca_file or None)


class Portal:
    """The portal's REST interface.

    Args:
        settings: the portal and how to speak to it.
        state: folder in which renewed tokens are kept.
    """

    def __init__(self, settings: PortalSettings, state: Path) -> None:
        self.url = settings.url
        self._client = httpx.AsyncClient(verify=trusted(settings.ca_file), timeout=httpx.Timeout(70.0, connect=10.0))
        self._bucket = LeakyBucket(settings.rate, settings.burst)
        self._tokens = Tokens(settings.token, settings.oauth, state / "tokens.json")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(self, method: str, parameters: dict[str, Any]) -> Any:
        """Call a method and return its result.

        Raises:
            UnreachableError: network, server or limit; try again later.
            RefusalError: the portal answered that it will not do this.
        """
        if not self._tokens.access and self._tokens.renewable:
            await self._tokens.renew(self._client)
        try:
            return await self._once(method, parameters)
        except RefusalError as refusal:
            if refusal.code not in TOKEN_ERRORS:
                raise
        await self._tokens.renew(self._client)
        return await self._once(method, parameters)

    async def upload(self, url: str, field: str, name: str, content: bytes) -> Any:
        """Send a file to an address that the portal gave, and return the result.

        Raises:
            UnreachableError: network or server; try again later.
            RefusalError: the portal answered that it will not take it.
        """
        return await self._post(url, "upload", files={field: (name, content, "application/octet-stream")})

    async def _once(self, method: str, parameters: dict[str, Any]) -> Any:
        await asyncio.sleep(self._bucket.reserve(time.monotonic()))
        return await self._post(
            f"{self.url}/rest/{method}.json", method, json={**parameters, "auth": self._tokens.access}
        )

    async def _post(self, url: str, method: str, **body: Any) -> Any:
        try:
            response = await self._client.post(url, **body)
        except httpx.HTTPError as fault:
            never_sent = isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            what = f"{method}: {type(fault).__name__}"
            raise UnreachableError(what, self.url, may_have_happened=not never_sent) from fault
        answer = decode(response)
        if answer is not None and "result" in answer and response.is_success:
            return answer["result"]
        code = str(answer.get("error", "")) if answer is not None else ""
        if code in BUSY_ERRORS | CALLER_ERRORS or (response.status_code in (429, 503)):
            raise UnreachableError(f"{method}: {code or response.status_code}", self.url)
        if answer is None or "error" not in answer or response.is_server_error:
            raise UnreachableError(f"{method}: HTTP {response.status_code}", self.url, may_have_happened=True)
        raise RefusalError(code, str(answer.get("error_description", "")), method)
