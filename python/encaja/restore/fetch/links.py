"""Where the volumes of an archive are on the network.

A link names the first volume; the others have ``.1``, ``.2`` … before the query. Where the form does not say how many
volumes there are (``.tar`` and ``.enc``), a listing does: a text of names or addresses, or the folder's index page.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import httpx

from encaja.restore.archive.naming import VolumeName
from encaja.restore.errors import BackupError, BackupUsageError
from encaja.restore.fetch.replies import DeniedError, RetryError, ask_for_text

_HREF = re.compile(r"""<a\s[^<>]*?href\s*=\s*["']([^"'<>]+)["']""", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Target:
    """What to ask for: an address, and headers that its server wants."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Where an archive comes from."""

    @property
    def name(self) -> VolumeName:
        """Name of the first volume."""

    @property
    def where(self) -> str:
        """The place for messages, without secrets."""

    @property
    def folder(self) -> str:
        """Address of a page that may list the volumes."""

    @property
    def count(self) -> int | None:
        """Number of volumes, where the source knows it."""

    def target(self, number: int) -> Target:
        """What to ask for to get a volume."""

    def sha256(self, number: int) -> str | None:
        """The volume's SHA-256, where the source knows it."""

    def renew(self, number: int, refused: Target) -> None:
        """The address of a volume was refused; a source that can get another one does."""


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
        given_count: number of volumes, where a person says so.
    """

    url: str
    entries: dict[int, Entry] = field(default_factory=dict)
    given_count: int | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BackupUsageError("not an http address", redact(self.url), "give the link to the first volume")
        name = VolumeName.parse(_last_part(self.url))
        if name is None or name.number:
            raise BackupUsageError(
                "not the address of a backup's first volume",
                redact(self.url),
                "it ends in .tar.gz, .enc.gz, .tar or .enc",
            )

    @property
    def name(self) -> VolumeName:
        """Name of the first volume."""
        return VolumeName.require(_last_part(self.url))

    @property
    def where(self) -> str:
        """The address for messages."""
        return redact(self.url)

    @property
    def folder(self) -> str:
        """Address of the folder that the volumes are in."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0] + "/", "", ""))

    @property
    def count(self) -> int | None:
        """Number of volumes, by a person or by the listing.

        Raises:
            BackupError: the listing has gaps.
        """
        if self.given_count or not self.entries:
            return self.given_count
        require_all(self.entries, self.where)
        return len(self.entries)

    def target(self, number: int) -> Target:
        """Address of a volume."""
        if number in self.entries:
            return Target(self.entries[number].url)
        if not number:
            return Target(self.url)
        parts = urlsplit(self.url)
        return Target(urlunsplit(parts._replace(path=f"{parts.path}.{number}")))

    def sha256(self, number: int) -> str | None:
        """By the listing."""
        entry = self.entries.get(number)
        return entry.sha256 if entry else None

    def renew(self, number: int, refused: Target) -> None:
        """Only a person has another link."""


def _last_part(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


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
        _add(entries, link.name, address, digests[0] if digests else None)
    return entries


def read_index(page: str, folder: str, name: VolumeName) -> dict[int, Entry]:
    """Read an archive's volumes from the links of a folder's index page."""
    entries: dict[int, Entry] = {}
    for address in _HREF.findall(page):
        _add(entries, name, urljoin(folder, html.unescape(address)), None)
    return entries


def require_all(entries: dict[int, Entry], where: str) -> None:
    """Check that a listing has every volume up to its last one.

    Raises:
        BackupError: it has gaps.
    """
    missing = sorted(set(range(max(entries) + 1)) - set(entries))
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (" …" if missing[5:] else "")
        raise BackupError(f"the listing lacks {len(missing)} volumes: {shown}", where, "have the vendor put them there")


def _add(entries: dict[int, Entry], archive: VolumeName, address: str, sha256: str | None) -> None:
    name = VolumeName.parse(_last_part(address))
    if name and name.archive == archive.archive:
        entries[name.number] = Entry(address, sha256)


def make_link(url: str, count: int | None = None, listing: str | None = None) -> Link:
    """Make a link of what a person gives.

    Args:
        url: address of the first volume.
        count: number of volumes.
        listing: address or file of a listing.
    """
    link = Link(url, given_count=count)
    if not listing:
        return link
    entries = read_listing(_read(listing), link)
    if not entries:
        raise BackupUsageError(f"no volume of {link.name} is in the listing", listing, "one name or address a line")
    return Link(url, entries, count)


def _read(place: str) -> str:
    try:
        if place.startswith(("http://", "https://")):
            with httpx.Client(follow_redirects=True) as client:
                return ask_for_text(client, place)
        return Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, httpx.HTTPError, httpx.InvalidURL, DeniedError, RetryError) as error:
        where = redact(place) if "://" in place else place
        own = isinstance(error, (DeniedError, RetryError))
        reason = str(error) if own else getattr(error, "strerror", None) or type(error).__name__
        raise BackupUsageError(f"cannot read the listing: {reason}", where, "check its address") from error
