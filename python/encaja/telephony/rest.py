"""The portal's REST interface as the connector uses it: one try per call, and what a failure means for the calls."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from encaja.errors import EncajaError
from encaja.rest import errors
from encaja.rest.client import RestClient
from encaja.rest.command import Answer, UncertainError
from encaja.rest.limiter import Limiter, Limits
from encaja.rest.tokens import Tokens
from encaja.rest.trust import trusted
from encaja.rest.webhook import Webhook
from encaja.telephony.settings import PortalSettings

TIMEOUT = 70.0
"""Seconds for one request; the portal itself stops at 60."""


class UnreachableError(EncajaError):
    """The portal cannot be reached, or takes nothing from this application; every call has to wait.

    Args:
        what: what is wrong.
        where: the portal's address.
        may_have_happened: whether the request may have been carried out all the same.
    """

    def __init__(self, what: str, where: str, *, may_have_happened: bool = False) -> None:
        super().__init__(what, where, "calls are kept and reported later; see `journalctl -u encaja-telephony`")
        self.may_have_happened = may_have_happened


class RefusalError(EncajaError):
    """The portal answered that it will not do this."""

    def __init__(self, code: str, description: str, method: str) -> None:
        super().__init__(f"{code}: {description}" if description else code, method, "see docs/telephony.md")
        self.code = code
        self.description = description


class TelephonyRest:
    """The portal's REST interface for the application of the telephone exchange.

    Args:
        settings: the portal and how to reach it.
        state: folder in which renewed tokens are kept.
    """

    def __init__(self, settings: PortalSettings, state: Path) -> None:
        self.url = settings.url
        webhook = Webhook(settings.url)
        self._client = RestClient(
            webhook,
            Limiter(webhook.host, None, Limits(settings.rate, settings.burst, operating=0.0)),
            tokens=Tokens(settings.token, settings.oauth, state / "tokens.json"),
            verify=trusted(settings.ca_file),
            timeout=TIMEOUT,
            patience=0.0,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def call(self, method: str, parameters: dict[str, Any]) -> Any:
        """Call a method once and return its result.

        Raises:
            UnreachableError: network, server, limit or token; try again later.
            RefusalError: the portal answered that it will not do this.
        """
        return await self._result(self._client.call(method, parameters, safe=False))

    async def upload(self, url: str, field: str, name: str, content: bytes) -> Any:
        """Send a file to an address that the portal gave, and return the result; raises as ``call``."""
        return await self._result(self._client.upload(url, field, name, content))

    async def _result(self, request: Awaitable[Answer]) -> Any:
        try:
            return (await request).result
        except UncertainError as fault:
            raise UnreachableError(fault.what, self.url, may_have_happened=True) from fault
        except errors.UnreachableError as fault:
            raise UnreachableError(fault.what, fault.where) from fault
        except errors.RefusedError as fault:
            if fault.code in errors.TOKEN_ERRORS:
                raise UnreachableError(f"the token was refused: {fault.code}", "telephony_portal_token") from fault
            if isinstance(fault, errors.AccessError) and fault.code not in errors.USER_ERRORS:
                raise UnreachableError(f"{fault.method}: {fault.what}", self.url) from fault
            raise RefusalError(fault.code, fault.description, fault.method) from fault
