"""Speaking to the portal's REST interface as an application.

Sources: apidocs.bitrix24.com, settings/how-to-call-rest-api (address, ``auth``, errors), limits (HTTP 503
``QUERY_LIMIT_EXCEEDED``, 429 ``OPERATION_TIME_LIMIT``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import httpx

from encaja.errors import EncajaError
from encaja.rest.answers import BUSY_ERRORS, CALLER_ERRORS, TOKEN_ERRORS, decode
from encaja.rest.bucket import LeakyBucket
from encaja.rest.tokens import TokenError, Tokens
from encaja.rest.trust import trusted
from encaja.telephony.settings import PortalSettings

log = logging.getLogger("encaja.telephony")


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
            await self._renew()
        try:
            return await self._once(method, parameters)
        except RefusalError as refusal:
            if refusal.code not in TOKEN_ERRORS:
                raise
        await self._renew()
        return await self._once(method, parameters)

    async def _renew(self) -> None:
        try:
            await self._tokens.renew(self._client)
        except TokenError as fault:
            raise UnreachableError(fault.what, fault.where) from fault

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
