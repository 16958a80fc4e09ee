"""Files of a portal: fetched from the address that REST gives for the purpose, and proven to be files.

A portal answers a denial, an error or a log-in page with status 200, too; so what counts is that the answer is sent as
a file, has the length that was said, and is no page. An address leads to other hosts only over https and to public
addresses, except to those that the settings allow.

Sources: apidocs.bitrix24.com, files/how-to-download-files and settings/how-to-call-rest-api/general-principles (the
headers); what a denial looks like was seen at the product.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import mimetypes
import re
import socket
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urljoin

import httpx

from encaja.rest.errors import RefusedError

_HEADERS = {
    "User-Agent": "encaja/1.0",  # an agent that names a library is refused
    "Accept": "*/*",
    "Accept-Language": "en,es;q=0.8",
    "Accept-Encoding": "identity",  # so that the length is that of the file, and no small answer becomes a large one
}
_HOPS = 5
_PAGES = frozenset({"text/html", "application/json"})
_SAID = 2000  # bytes of a denial that are read for its code


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched.

    Args:
        size: its length in bytes.
        name: what the portal calls it; empty where it does not say.
    """

    size: int
    name: str


class BrokenOffError(Exception):
    """A download that failed in a way that may pass; ``what`` and ``hint`` as in an error of the kit."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Args:
        portal: scheme and host of the portal.
        address: as REST gives it, untouched; a path is one of this portal.
        limit: most bytes that are read.
        size: how many it has; None where REST does not say.
        hosts: others to which its address may lead, whatever their scheme and addresses.
    """

    portal: str
    address: str
    limit: int
    size: int | None
    hosts: Collection[str]

    async def store(self, client: httpx.AsyncClient, target: Path) -> Fetched:
        """Fetch it into a file, which is replaced when the download is complete.

        Raises:
            RefusedError: it is not to be had, is no file, or is larger than the limit.
            BrokenOffError: it may be had later.
            httpx.HTTPError: of the network.
        """
        if not self.address:
            raise _refused("REST gives no address for it")
        self._check_size(self.size)
        here = _joined(f"{self.portal}/", self.address)
        for _ in range(_HOPS):
            request = await self._request(client, here)
            async with aclosing(await client.send(request, stream=True)) as response:
                if not response.has_redirect_location:
                    return await self._stored(response, target)
                there = _joined(str(here), response.headers["location"])
                if self._is_portal(there) and there.path != here.path:
                    raise _refused(
                        f"leads to the page {there.path} instead", "check the webhook, its user and the licence"
                    )
                here = there
        raise _refused("its address leads from one to the next")

    def _is_portal(self, url: httpx.URL) -> bool:
        portal = httpx.URL(self.portal)
        return (url.host, url.port) == (portal.host, portal.port) and url.scheme in {"https", portal.scheme}

    async def _request(self, client: httpx.AsyncClient, url: httpx.URL) -> httpx.Request:
        headers = {**_HEADERS, "Referer": f"{self.portal}/"}
        if self._is_portal(url) or url.host in self.hosts:
            return client.build_request("GET", url, headers=headers)
        hint = f"add {url.host} to carry_over_file_hosts if that is right"
        if url.scheme != "https":
            raise _refused(f"its address leads to {url.host} without https", hint)
        found = await _addresses(url.host, url.port or 443)
        if not found or not all(_is_public(address) for address in found):
            raise _refused(f"its address leads to {url.host}, which is no public host", hint)
        # To the very address that was checked: the name could lead elsewhere the next time.
        return client.build_request(
            "GET",
            url.copy_with(host=found[0]),
            headers={**headers, "Host": url.netloc.decode()},
            extensions={"sni_hostname": url.host},
        )

    async def _stored(self, response: httpx.Response, target: Path) -> Fetched:
        code = response.status_code
        if response.is_server_error or code == httpx.codes.TOO_MANY_REQUESTS:
            raise BrokenOffError(f"HTTP {code}", "see the portal's own log")
        if code != httpx.codes.OK:
            raise _refused(f"HTTP {code}", "check the webhook user's rights")
        name, declared = await _file(response)
        if self.size is None and declared is None:
            raise _refused("the portal does not say how long it is")
        self._check_size(declared)
        part = target.with_name(f".{target.name}.part")
        try:
            written = 0
            with part.open("wb") as stream:
                async for chunk in response.aiter_bytes():
                    written += len(chunk)
                    self._check_size(written)
                    stream.write(chunk)
            if declared not in {None, written}:
                raise BrokenOffError(f"{written} of {declared} bytes arrived", "check the network")
            if self.size not in {None, written}:
                raise _refused(f"has {written} bytes instead of {self.size}")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return Fetched(written, name)

    def _check_size(self, size: int | None) -> None:
        if size is not None and size > self.limit:
            raise _refused(f"too large to be sent (over {self.limit / 1e6:.0f} MB)")


def _joined(base: str, address: str) -> httpx.URL:
    try:
        url = httpx.URL(urljoin(base, address))
    except (httpx.InvalidURL, ValueError):
        raise _refused("its address is none") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise _refused("its address is none of the web")
    return url


async def _file(response: httpx.Response) -> tuple[str, int | None]:
    """Name and length of the file that an answer announces.

    Raises:
        RefusedError: it is none.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _refused("it comes packed, which was not asked for")
    header = Message()
    header["content-disposition"] = response.headers.get("content-disposition", "")
    header["content-type"] = response.headers.get("content-type", "application/octet-stream")
    name, kind = Path(header.get_filename() or "").name, header.get_content_type()
    is_page = kind in _PAGES and mimetypes.guess_type(name)[0] != kind
    if is_page or not (name or header.get_content_disposition() == "attachment"):
        what = f"the portal answers with {kind} instead of it"
        raise _refused(what + await _said(response), "check the webhook user's rights to the file")
    length = response.headers.get("content-length", "")
    return name, int(length) if length.isdigit() else None


async def _said(response: httpx.Response) -> str:
    """The code of an error or a denial in JSON; empty for anything else."""
    text = b""
    async for chunk in response.aiter_bytes(_SAID):
        text += chunk
        if len(text) >= _SAID:
            break
    try:
        said = json.loads(text)
        code = str(said.get("error") or said.get("status"))
    except (ValueError, AttributeError):
        return ""
    return f" ({code})" if re.fullmatch(r"[\w.-]{1,60}", code) else ""


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(address[4][0]) for address in found]


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    return found.is_global and not found.is_multicast


def _refused(what: str, hint: str = "copy it by hand") -> RefusedError:
    return RefusedError("", what, "download", hint)
