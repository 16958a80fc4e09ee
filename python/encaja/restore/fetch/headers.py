"""Verifying volumes without gzip while they arrive: only their tar headers can be checked, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable

from encaja.restore.archive.stream import ArchiveStream
from encaja.restore.archive.tars import Member, TarError, TarReader
from encaja.restore.errors import BadVolume
from encaja.restore.fetch.fetcher import Fetcher

_TICK = 0.5


class _Nowhere:
    """Takes members and keeps nothing."""

    def begin(self, member: Member) -> None:
        """Nothing."""

    def data(self, piece: memoryview) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def fetch_and_prove(fetcher: Fetcher, password: str | None, show: Callable[[], None] = lambda: None) -> None:
    """Fetch an archive to its end, and check its headers where a volume has no checksum.

    Args:
        fetcher: brings the volumes.
        password: of an encrypted archive; without it only the sizes of volumes without gzip are checked.
        show: called twice a second.

    Raises:
        LinkExpired: a new link is needed.
        BackupError: the archive cannot be fetched.
    """
    fetcher.prepare()
    headers = not fetcher.name.compressed and not (fetcher.name.encrypted and password is None)
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            fetcher.run(hold=headers)
        except BaseException as error:
            failed.append(error)

    def read() -> None:
        try:
            _read_headers(fetcher, ArchiveStream(fetcher.name, password))
        except BadVolume:
            fetcher.release()  # it names this volume together with all others that will not come
            return
        except BaseException as error:
            failed.append(error)
        fetcher.stop()

    threads = [threading.Thread(target=fetch, name="fetch", daemon=True)]
    if headers:
        threads.append(threading.Thread(target=read, name="headers", daemon=True))
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            threads[0].join(_TICK)
            threads[-1].join(0 if threads[0].is_alive() else _TICK)
            show()
    finally:
        fetcher.stop()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


def _read_headers(fetcher: Fetcher, stream: ArchiveStream) -> None:
    reader = TarReader(_Nowhere())
    number = 0
    while number < fetcher.count:
        before = reader.state()
        path = fetcher.wait(number)
        try:
            for piece in stream.pieces(number, path):
                reader.feed(piece)
            if number == fetcher.count - 1:
                reader.finish()
        except (BadVolume, TarError) as error:
            fetcher.reject(number, error.reason)
            reader = TarReader(_Nowhere(), before)
            continue
        number += 1
