"""Learning what an archive is from its first bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from encaja.portal.tls_faults import certificate_fault
from encaja.restore.archive import gzips, verify_volume
from encaja.restore.errors import BackupError, LinkExpired, NoAnswer
from encaja.restore.fetch.links import Entry, Source, read_index, require_all
from encaja.restore.fetch.options import FetchOptions
from encaja.restore.fetch.replies import (
    ChangedError,
    DeniedError,
    RetryError,
    ask_for_text,
    body,
    check_status,
    content_length,
    content_range,
    is_unknown_name,
    reason_of,
)
from encaja.restore.fetch.throttle import growing_pause
from encaja.status import waiting_for

HEAD = 1 << 16
"""Bytes that are read: they hold the format's header, the encryption's, and the dump's size."""
_DENIALS = 3


@dataclass(frozen=True)
class Archive:
    """What the first bytes say.

    Attributes:
        count: number of volumes.
        unpacked_size: unpacked bytes of every volume but the last; None where the form does not say.
        first_block: the first 512 bytes without gzip.
        head: the first stored bytes.
        first_size: stored bytes of the first volume; 0 for unknown.
        entries: addresses of the volumes by the index page of their folder, when the number had to be read there.
    """

    count: int
    unpacked_size: int | None
    first_block: bytes
    head: bytes
    first_size: int
    entries: dict[int, Entry] = field(default_factory=dict)


class Probe:
    """Looks at an archive at its source.

    Args:
        client: for requests.
        source: where it is.
        options: how to fetch.
        stopping: asked between tries; true ends them.
        tell: called with what is asked for or waited for; with an empty text when it came.
    """

    def __init__(
        self,
        client: httpx.Client,
        source: Source,
        options: FetchOptions,
        stopping: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._source = source
        self._options = options
        self._stopping = stopping
        self._tell = tell
        self._came = b""

    def look(self, on_disk: Path, known_count: int | None) -> Archive:
        """Read the archive's head, more than once if it comes damaged.

        Args:
            on_disk: the first volume's file; when it is there, no request is made.
            known_count: number of volumes, from an earlier run.

        Raises:
            BackupError: it is not a backup, or the number of its volumes is not known.
            LinkExpired: the server refuses the address.
        """
        if on_disk.is_file():
            with on_disk.open("rb") as source, suppress(BackupError):
                return self._read(source.read(HEAD), on_disk.stat().st_size, known_count)
        host = urlsplit(self._source.where.split()[0]).netloc
        self._tell(f"asking {host} for the archive's first bytes")
        begun = known_count is not None
        for _ in range(self._options.attempts - 1):
            try:
                return self._read(*self._head(host, begun=begun), known_count)
            except (LinkExpired, NoAnswer):
                raise
            except BackupError:  # damaged on its way, perhaps
                continue
        return self._read(*self._head(host, begun=begun), known_count)

    def _head(self, host: str, *, begun: bool) -> tuple[bytes, int]:
        """Ask until the first bytes are here, or the time limit is over.

        Args:
            host: the server, for messages.
            begun: whether a download of it has started; a name that does not resolve then is waited for.
        """
        failures, denials = 0, 0
        arrived, since = time.monotonic(), time.time()
        while True:
            before = len(self._came)
            try:
                found = self._request()
            except DeniedError as error:
                denials += 1
                if denials >= _DENIALS:
                    raise LinkExpired(
                        f"the link does not lead to the backup ({error})",
                        self._source.where,
                        "get a new link and rerun the command with it; what is here is kept",
                    ) from error
                reason: Exception = error
            except (RetryError, httpx.HTTPError) as error:
                reason = error
                if fault := certificate_fault(error, urlsplit(self._source.where).hostname or "the server"):
                    raise BackupError(fault.what, self._source.where, f"check the address; {fault.hint}") from error
            else:
                self._tell("")
                return found
            failures += 1
            if len(self._came) > before:
                failures, arrived, since = 1, time.monotonic(), time.time()
            patience = self._options.patience_seconds
            if is_unknown_name(reason) and not begun:
                patience = min(patience, self._options.unknown_name_seconds)
            if time.monotonic() - arrived > patience or self._stopping():
                raise NoAnswer(
                    f"no answer from {host} for {time.monotonic() - arrived:.0f} s: {reason_of(reason)}",
                    self._source.where,
                    "check the address and the network, and rerun the command",
                ) from reason
            self._tell(waiting_for(host, reason_of(reason), since, since + patience))
            asked = reason.after if isinstance(reason, RetryError) else 0.0
            time.sleep(max(asked, growing_pause(self._options.pause_seconds, failures)))

    def _request(self) -> tuple[bytes, int]:
        """Ask for what is still missing of the head; what came before a connection broke is kept."""
        target = self._source.target(0)
        headers = {**target.headers, "Range": f"bytes={len(self._came)}-{HEAD - 1}"}
        with self._client.stream("GET", target.url, headers=headers) as response:
            try:
                check_status(response)
            except ChangedError as error:
                head, self._came = self._came, b""
                if head and error.size == len(head):  # the connection broke after the last byte of a short volume
                    return head, error.size
                raise RetryError(str(error)) from error
            except DeniedError:
                self._source.renew(0, target)
                raise
            ranged = content_range(response)
            if ranged is None or ranged[0] != len(self._came):
                self._came = b""
            if ranged and ranged[0] != len(self._came):
                raise RetryError(f"another range than asked for: {response.headers.get('Content-Range')!r}")
            size = (ranged[1] if ranged else content_length(response)) or 0
            for chunk in body(response):
                self._came += chunk
                if len(self._came) >= HEAD:
                    break
        if size and len(self._came) < min(size, HEAD):
            raise RetryError("the connection ended early")
        head, self._came = self._came[:HEAD], b""
        return head, size

    def _read(self, head: bytes, first_size: int, known_count: int | None) -> Archive:
        name, where = self._source.name, self._source.where
        block = verify_volume.unpack_head(name, head)
        verify_volume.check_first_block(name, block, where)
        header = gzips.read_header(head) if name.compressed else None
        if header and header.size is not None:
            return Archive((header.last or 0) + 1, header.size, block, head, first_size)
        count = known_count or self._source.count
        entries = {} if count else self._listed()
        return Archive(count or len(entries), None, block, head, first_size, entries)

    def _listed(self) -> dict[int, Entry]:
        """The volumes by the index page of their folder."""
        try:
            page = ask_for_text(self._client, self._source.folder)
        except (httpx.HTTPError, httpx.InvalidURL, DeniedError, ChangedError, RetryError):
            page = ""
        entries = read_index(page, self._source.folder, self._source.name)
        if not entries:
            raise BackupError(
                f"a {self._source.name.suffix} archive does not say how many volumes it has, and there is no listing",
                self._source.where,
                "give their number with --volumes, or a listing with --listing",
            )
        require_all(entries, self._source.where)
        return entries
