"""Where the volumes of an archive are on the network.

A link names the first volume; the others have ``.1``, ``.2`` … before the query. Where the form does not say how many
volumes there are (``.tar`` and ``.enc``), a listing does: a text of names or addresses, or the folder's index page.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import httpx

from encaja.backup.errors import BackupUsageError
from encaja.backup.naming import VolumeName

_HREF = re.compile(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Entry:
    """One line of a listing: the volume's address and its SHA-256, where the listing gives one."""

    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class Link:
    """The address of an archive.

    Attributes:
        url: address of the first volume.
        entries: what a listing says, by volume number.
        count: number of volumes, where a person says so.
    """

    url: str
    entries: dict[int, Entry] = field(default_factory=dict)
    count: int | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BackupUsageError("not an http address", redact(self.url), "give the link to the first volume")
        name = VolumeName.parse(unquote(parts.path.rpartition("/")[2]))
        if name is None or name.number:
            raise BackupUsageError(
                "not the address of a backup's first volume",
                redact(self.url),
                "it ends in .tar.gz, .enc.gz, .tar or .enc",
            )

    @property
    def name(self) -> VolumeName:
        """Name of the first volume."""
        parsed = VolumeName.parse(unquote(urlsplit(self.url).path.rpartition("/")[2]))
        if parsed is None:
            raise BackupUsageError("not the address of a backup's first volume", redact(self.url))
        return parsed

    @property
    def folder(self) -> str:
        """Address of the folder that the volumes are in."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0] + "/", "", ""))

    def volume(self, number: int) -> str:
        """Address of a volume."""
        if number in self.entries:
            return self.entries[number].url
        if not number:
            return self.url
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"{parts.path}.{number}"))


def redact(url: str) -> str:
    """An address without its query and password, which may be secrets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.port:
        host += f":{parts.port}"
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def read_listing(text: str, link: Link) -> dict[int, Entry]:
    """Read a listing: one volume a line, as its name or address.

    Its SHA-256 may stand before or after it, as sha256sum prints it; lines that start with ``#`` are left out.
    """
    entries: dict[int, Entry] = {}
    for line in text.splitlines():
        words = line.split()
        digests = [word.lower() for word in words if _SHA256.fullmatch(word)]
        names = [word.lstrip("*") for word in words if not _SHA256.fullmatch(word)]
        if not names or line.lstrip().startswith("#"):
            continue
        address = names[0] if "://" in names[0] else urljoin(link.folder, quote(names[0]))
        _add(entries, link, address, digests[0] if digests else None)
    return entries


def read_index(page: str, link: Link) -> dict[int, Entry]:
    """Read the volumes from the links of a folder's index page."""
    entries: dict[int, Entry] = {}
    for address in _HREF.findall(page):
        _add(entries, link, urljoin(link.folder, html.unescape(address)), None)
    return entries


def _add(entries: dict[int, Entry], link: Link, address: str, sha256: str | None) -> None:
    name = VolumeName.parse(unquote(urlsplit(address).path.rpartition("/")[2]))
    if name and name.archive == link.name.archive:
        entries[name.number] = Entry(address, sha256)


def make_link(url: str, count: int | None = None, listing: str | None = None) -> Link:
    """Make a link of what a person gives.

    Args:
        url: address of the first volume.
        count: number of volumes.
        listing: address or file of a listing.
    """
    link = Link(url, count=count)
    return Link(url, read_listing(_read(listing), link), count) if listing else link


def _read(place: str) -> str:
    try:
        if place.startswith(("http://", "https://")):
            return httpx.get(place, follow_redirects=True).raise_for_status().text
        return Path(place).read_text(encoding="utf-8")
    except (OSError, httpx.HTTPError) as error:
        raise BackupUsageError(f"cannot read the listing: {error}", place, "check its address") from error
