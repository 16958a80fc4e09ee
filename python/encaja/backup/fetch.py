"""Fetching an archive: several connections, every range checked, every volume proven on arrival.

The download is cut into pieces; each connection takes the next one in the order of the volumes, so that the first
volumes
are complete first. What arrived is kept across runs. A volume is only called good when it is proven; a bad one is
fetched
again alone.
"""

from __future__ import annotations

import os
import random
import re
import ssl
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from encaja.backup import gzips, proof
from encaja.backup.errors import BackupError, BadVolume, LinkExpired
from encaja.backup.fetchstate import FetchState, VolumeState, gaps, load_state, merge
from encaja.backup.links import Entry, Link, read_index, redact

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_DENIED = frozenset({401, 403, 404, 410})
_DENIALS = 3
_REPLACEMENTS = 5
_PROBE = 1 << 16
_LEAST_SHARE = 1 << 20
_LONGEST_PAUSE = 60.0
_SLOW_RATIO = 8
_SLOWEST = 1024.0
_SAMPLES = 30


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        connections: connections at a time, over all volumes.
        piece: bytes asked for in one request.
        rate: limit of all connections together in bytes a second; None for none.
        stall_seconds: a connection that gives nothing for so long is replaced.
        slow_seconds: a connection is judged against the others after so long.
        patience_seconds: give up when nothing at all arrived for so long.
        pause_seconds: first pause before a retry; it doubles up to a minute.
        attempts: how many times one volume may arrive damaged.
        proofs: volumes proven side by side.
    """

    connections: int = 16
    piece: int = 4 << 20
    rate: float | None = None
    stall_seconds: float = 30.0
    slow_seconds: float = 20.0
    patience_seconds: float = 3600.0
    pause_seconds: float = 0.5
    attempts: int = 4
    proofs: int = 2


@dataclass(frozen=True)
class FetchProgress:
    """Where the download stands.

    Attributes:
        count: volumes of the archive.
        good: volumes proven.
        under_way: volumes begun and not yet proven.
        rejected: times that a volume arrived damaged.
        done: bytes that are there.
        total: bytes of the whole archive; estimated until every volume was asked for.
        rate: bytes a second, measured over the last seconds.
    """

    count: int
    good: int
    under_way: int
    rejected: int
    done: int
    total: int
    rate: float

    @property
    def eta_seconds(self) -> float | None:
        """Time left by the measured rate; None while nothing moves."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


class _RetryError(Exception):
    """The request has to be made again.

    Args:
        reason: what happened.
        after: seconds the server asks to wait.
    """

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _DeniedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"the server answers {status}")
        self.status = status


class _Bucket:
    """Shares a rate among connections: each one sleeps as long as what it took lasts."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            pause = self._free_at - now
        if pause > 0:
            time.sleep(pause)


@dataclass(eq=False)
class _Span:
    """A part of a volume that one connection fetches: from ``position`` up to ``end`` (None: to wherever it ends)."""

    volume: int
    start: int
    end: int | None
    generation: int
    position: int = 0
    failures: int = 0
    replacements: int = 0
    not_before: float = 0.0
    begun: float = 0.0
    begun_at: int = 0
    replace: bool = False

    def __post_init__(self) -> None:
        self.position = self.start


@dataclass(eq=False)
class _Volume:
    number: int
    state: VolumeState
    todo: deque[_Span] = field(default_factory=deque)
    active: list[_Span] = field(default_factory=list)
    descriptor: int | None = None
    generation: int = 0
    whole: bool = False
    proving: bool = False
    denials: int = 0
    retired: list[int] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        return self.state.state in ("good", "used", "failed")


class Fetcher:
    """Fetches one archive into a folder.

    Args:
        link: where it is.
        directory: where its volumes go; what an earlier run left there is used.
        options: how to fetch.
        ahead: fetch at most so many volumes past the last one consumed; None for no limit.
    """

    def __init__(
        self, link: Link, directory: Path, options: FetchOptions | None = None, *, ahead: int | None = None
    ) -> None:
        self._link = link
        self._directory = directory
        self._options = options or FetchOptions()
        self._ahead = ahead
        self._consumed = -1
        self._condition = threading.Condition()
        self._stopping = False
        self._failure: BaseException | None = None
        self._bucket = _Bucket(self._options.rate)
        self._received = 0
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._last_arrival = time.monotonic()
        self._last_problem = ""
        self._usual: deque[float] = deque(maxlen=_SAMPLES)
        self._volumes: dict[int, _Volume] = {}
        self._client = httpx.Client(
            verify=ssl.create_default_context(),
            follow_redirects=True,
            timeout=httpx.Timeout(self._options.stall_seconds, pool=None),
            limits=httpx.Limits(
                max_connections=self._options.connections + 4, max_keepalive_connections=self._options.connections + 4
            ),
            headers={"Accept-Encoding": "identity", "User-Agent": "encaja"},
        )
        self._proofs = ThreadPoolExecutor(self._options.proofs, thread_name_prefix="proof")
        directory.mkdir(parents=True, exist_ok=True)
        self.name = link.name
        self.first_block = b""
        self.head = b""
        self.first_size = 0
        self._state: FetchState = load_state(directory, str(self.name))

    # --- what the others use ---

    @property
    def unpacked_size(self) -> int | None:
        """Unpacked bytes of every volume but the last, where the form says."""
        return self._state.unpacked_size

    @property
    def count(self) -> int:
        """Number of volumes; 0 before ``prepare``."""
        return len(self._volumes)

    def prepare(self) -> None:
        """Learn what the archive is from its first bytes, before anything long begins.

        After it ``count`` and ``first_block`` (the archive's first 512 bytes without gzip) are known.

        Raises:
            BackupError: it is not a backup, or nobody says how many volumes it has.
            LinkExpired: the server refuses the link.
        """
        if self._volumes:
            return
        self.first_block = bytes.fromhex(self._state.first_block)
        count = self._state.count or 0
        if not self.first_block or not count:
            count = self._look()
            self._state.first_block = self.first_block.hex()
        self._state.count = count
        for number in range(count):
            self._volumes[number] = _Volume(number, self._state.volumes.setdefault(number, VolumeState()))
        for volume in self._volumes.values():
            self._adopt(volume)

    def run(self, *, hold: bool = False) -> None:
        """Fetch until every volume is proven.

        Args:
            hold: go on until ``stop``, because a volume may still be rejected by its consumer.

        Raises:
            LinkExpired: a new link is needed; what is there is kept.
            BadVolume: a volume arrived damaged too many times.
            BackupError: nothing arrives any more, the disk is full …
        """
        workers: list[threading.Thread] = []
        try:
            self.prepare()
            for number in range(self._options.connections):
                workers.append(threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True))
                workers[-1].start()
            saved = time.monotonic()
            with self._condition:
                while not self._stopping and (hold or not all(v.settled for v in self._volumes.values())):
                    self._condition.wait(0.5)
                    self._watch()
                    if time.monotonic() - saved > 5:
                        self._save()
                        saved = time.monotonic()
            if not self._stopping:
                self._raise_failed()
        except BaseException as error:
            self._fail(error)
        finally:
            self.stop()
            for worker in workers:
                worker.join()
            self._proofs.shutdown(wait=True, cancel_futures=True)
            with self._condition:
                self._save()
                for volume in self._volumes.values():
                    self._close(volume)
                    self._close_retired(volume)
            self._client.close()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End ``run`` soon; what arrived is kept."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def wait(self, number: int) -> Path:
        """Wait until a volume is proven.

        Returns:
            Its file.

        Raises:
            BackupError: it will not come.
        """
        with self._condition:
            while True:
                if self._failure:
                    raise self._failure
                volume = self._volumes.get(number)
                if volume and volume.state.state == "good":
                    return self._path(number)
                if volume and volume.state.state == "failed":
                    raise BadVolume(number, volume.state.reason, redact(self._link.volume(number)))
                if self._stopping:
                    raise BackupError("the download was stopped", redact(self._link.url), "run the same command again")
                self._condition.wait(0.5)

    def consumed(self, number: int, *, delete: bool = False) -> None:
        """Say that a volume is not needed any more; with ``delete`` its file goes."""
        with self._condition:
            self._consumed = max(self._consumed, number)
            if delete and number in self._volumes:
                self._volumes[number].state.state = "used"
                self._save()
                self._path(number).unlink(missing_ok=True)
            self._condition.notify_all()

    def reject(self, number: int, reason: str) -> None:
        """Say that a volume turned out to be bad; it is fetched again."""
        with self._condition:
            self._reject(self._volumes[number], reason)

    def progress(self) -> FetchProgress:
        """Where the download stands."""
        with self._condition:
            volumes = list(self._volumes.values())
            sizes = [volume.state.size for volume in volumes if volume.state.size is not None]
            mean = sum(sizes) / len(sizes) if sizes else 0.0
            done = 0
            for volume in volumes:
                if volume.state.state in ("good", "used"):
                    done += volume.state.size or 0
                else:
                    done += sum(end - start for start, end in self._intervals(volume))
            return FetchProgress(
                count=len(volumes),
                good=sum(volume.state.state in ("good", "used") for volume in volumes),
                under_way=sum(not volume.settled and volume.state.state != "new" for volume in volumes),
                rejected=sum(volume.state.rejected for volume in volumes),
                done=done,
                total=round(sum(sizes) + mean * (len(volumes) - len(sizes))),
                rate=self._rate(),
            )

    # --- before the download ---

    def _look(self) -> int:
        """Read the archive's head, more than once if it comes damaged; the number of volumes."""
        for _ in range(self._options.attempts - 1):
            try:
                return self._count(self._head())
            except LinkExpired:
                raise
            except BackupError as error:
                self._last_problem = error.what
        return self._count(self._head())

    def _head(self) -> bytes:
        """The first bytes of the first volume, from disk or from the server."""
        if self._path(0).is_file():
            self.first_size = self._path(0).stat().st_size
            with self._path(0).open("rb") as source:
                return source.read(_PROBE)
        failures = 0
        while True:
            try:
                return self._request_head()
            except _DeniedError as error:
                failures += 1
                if failures >= _DENIALS:
                    raise self._expired(error.status) from error
                reason: Exception = error
            except (_RetryError, httpx.HTTPError) as error:
                failures += 1
                reason = error
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise BackupError(
                        f"the server's certificate is not trusted: {error}",
                        redact(self._link.url),
                        "check the address; a private authority belongs into /usr/local/share/ca-certificates",
                    ) from error
            if time.monotonic() - self._last_arrival > self._options.patience_seconds or self._stopping:
                raise BackupError(
                    f"no answer: {reason}", redact(self._link.url), "check the network and run the same command again"
                ) from reason
            time.sleep(self._pause(failures, reason))

    def _request_head(self) -> bytes:
        head = b""
        with self._client.stream("GET", self._link.volume(0), headers={"Range": f"bytes=0-{_PROBE - 1}"}) as response:
            self._check_status(response)
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            length = found[3] if found else response.headers.get("Content-Length", "")
            self.first_size = int(length) if length.isdigit() else 0
            for chunk in response.iter_raw():
                head += chunk
                if len(head) >= _PROBE:
                    break
        return head[:_PROBE]

    def _count(self, head: bytes) -> int:
        where = redact(self._link.url)
        self.head = head
        self.first_block = proof.unpack_head(self.name, head)
        proof.check_first_block(self.name, self.first_block, where)
        header = gzips.read_header(head) if self.name.compressed else None
        if header and header.size is not None:
            self._state.unpacked_size = header.size
            return (header.last or 0) + 1
        if self._state.count:
            return self._state.count
        if self._link.count:
            return self._link.count
        entries = self._link.entries or self._index()
        if entries:
            self._link = replace(self._link, entries=self._link.entries or entries)
            missing = sorted(set(range(max(entries) + 1)) - set(entries))
            if missing:
                raise BackupError(f"the listing lacks volumes {missing}", where, "have the vendor put them there")
            return max(entries) + 1
        raise BackupError(
            f"a {self.name.suffix} archive does not say how many volumes it has, and the link has no listing",
            where,
            "give their number with --volumes, or a listing with --listing",
        )

    def _index(self) -> dict[int, Entry]:
        """The volumes on the index page of the link's folder, if there is one."""
        try:
            response = self._client.get(self._link.folder)
        except httpx.HTTPError:
            return {}
        return read_index(response.text, self._link) if response.status_code == httpx.codes.OK else {}

    def _adopt(self, volume: _Volume) -> None:
        """Use what an earlier run left of a volume."""
        state = volume.state
        final = self._path(volume.number)
        if state.state == "used":
            return
        if state.state == "failed":
            state.state, state.rejected = "partial", 0
        if final.is_file():
            status = final.stat()
            if state.state == "good" and status.st_size == state.size and status.st_mtime_ns == state.modified:
                return
            state.state, state.size, state.done = "partial", status.st_size, [(0, status.st_size)]
            final.rename(self._part(volume.number))
            self._submit_proof(volume)
            return
        if not self._part(volume.number).is_file() or state.size is None:
            state.state, state.size, state.done = "new", None, []
            return
        state.state = "partial"
        self._plan(volume)
        if not volume.todo:
            self._submit_proof(volume)

    # --- the connections ---

    def _work(self) -> None:
        while True:
            with self._condition:
                span = self._next()
                while span is None and not self._stopping:
                    self._condition.wait(0.2)
                    span = self._next()
                if span is None or self._stopping:
                    return
            try:
                self._fetch(span)
            except BaseException as error:
                self._fail(error)
                return

    def _next(self) -> _Span | None:
        """The next piece in the order of the volumes; or half of the one that would take longest."""
        now = time.monotonic()
        waiting = False
        for volume in self._volumes.values():
            if self._ahead is not None and volume.number > self._consumed + self._ahead:
                waiting = True
                break
            if volume.settled or volume.proving:
                continue
            if volume.state.size is None and not volume.whole and not volume.active and not volume.todo:
                volume.todo.append(_Span(volume.number, 0, self._options.piece, volume.generation))
            for index, span in enumerate(volume.todo):
                if span.not_before <= now:
                    del volume.todo[index]
                    return self._activate(volume, span)
                waiting = True
        return None if waiting else self._steal()

    def _steal(self) -> _Span | None:
        best: _Span | None = None
        most = 2 * _LEAST_SHARE
        for volume in self._volumes.values():
            if volume.state.size is None:
                continue
            for span in volume.active:
                if span.end is not None and not volume.whole and span.end - span.position > most:
                    best, most = span, span.end - span.position
        if best is None or best.end is None:
            return None
        volume = self._volumes[best.volume]
        middle = best.position + (best.end - best.position) // 2
        stolen = _Span(best.volume, middle, best.end, best.generation)
        best.end = middle
        return self._activate(volume, stolen)

    def _activate(self, volume: _Volume, span: _Span) -> _Span:
        span.begun, span.begun_at, span.replace = time.monotonic(), span.position, False
        volume.active.append(span)
        if volume.state.state == "new":
            volume.state.state = "partial"
        return span

    def _fetch(self, span: _Span) -> None:
        volume = self._volumes[span.volume]
        before = span.position
        problem: Exception | None = None
        try:
            for chunk in self._receive(volume, span):
                self._bucket.take(len(chunk))
                if not self._store(volume, span, chunk):
                    break
        except (_RetryError, _DeniedError, httpx.HTTPError) as error:
            problem = error
        with self._condition:
            volume.active.remove(span)
            if not volume.active:
                self._close_retired(volume)
            if span.generation != volume.generation:
                self._condition.notify_all()
                return
            if span.position > before:
                span.failures = 0
                volume.denials = 0
                if problem is None and not span.replace:
                    self._usual.append((span.position - before) / max(1e-3, time.monotonic() - span.begun))
            self._keep(volume, span, problem)
            self._condition.notify_all()

    def _receive(self, volume: _Volume, span: _Span) -> Iterator[bytes]:
        headers = {}
        if not volume.whole and span.end is not None:
            headers["Range"] = f"bytes={span.position}-{span.end - 1}"
        with self._client.stream("GET", self._link.volume(volume.number), headers=headers) as response:
            self._check_status(response)
            with self._condition:
                if not self._accept(volume, span, response):
                    return
            yield from response.iter_raw()
        with self._condition:
            if span.end is None and span.generation == volume.generation:
                span.end = volume.state.size = span.position

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in _DENIED:
            raise _DeniedError(status)
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            after = response.headers.get("Retry-After", "")
            raise _RetryError(f"the server answers {status}", float(after) if after.isdigit() else 0.0)

    def _accept(self, volume: _Volume, span: _Span, response: httpx.Response) -> bool:
        """Check what the server says it sends against what was asked for; False when the piece is not to be read."""
        etag = response.headers.get("ETag")
        if response.status_code == httpx.codes.OK:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
            if not volume.whole and (span.position or size is None or span.end is None or size > span.end):
                self._restart(volume)
                volume.whole = True
                volume.todo.append(_Span(volume.number, 0, None, volume.generation))
                return False
            span.position, span.end = 0, size
            volume.state.size, volume.state.etag = size, etag
            return True
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != span.position or span.end is None:
            raise _RetryError(f"another range than asked for: {response.headers.get('Content-Range')!r}")
        total = int(found[3])
        if volume.state.size is None:
            volume.state.size, volume.state.etag = total, etag
            span.end = min(span.end, total)
            self._allocate(volume)
            volume.todo.extend(
                _Span(volume.number, start, end, volume.generation)
                for start, end in gaps([(0, span.end)], total, self._options.piece)
            )
            self._condition.notify_all()
        elif total != volume.state.size or (etag != volume.state.etag and not self.name.compressed):
            self._reject(volume, f"the server changed it ({volume.state.size} bytes, now {total})")
            return False
        return True

    def _store(self, volume: _Volume, span: _Span, chunk: bytes) -> bool:
        """Write what arrived; False when the piece is complete or not wanted any more."""
        with self._condition:
            if span.generation != volume.generation or self._stopping:
                return False
            room = self._room(span)
            data = chunk[:room]
            descriptor = self._open(volume)
            position = span.position
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, position)
                position += written
                view = view[written:]
        except OSError as error:
            raise BackupError(
                f"cannot write: {error.strerror}",
                str(self._directory),
                "free space and run the same command again; it goes on where it stopped",
            ) from error
        with self._condition:
            span.position = position
            self._received += len(data)
            self._last_arrival = time.monotonic()
            if span.end is None:
                if len(chunk) > room:
                    self._reject(volume, "it does not end where such a volume has to")
                    return False
                return True
            return span.position < span.end and not span.replace

    def _room(self, span: _Span) -> int:
        """How many more bytes may come; a volume of unknown length may be as long as its unpacked size and a little."""
        if span.end is not None:
            return span.end - span.position
        unpacked = self._state.unpacked_size or (4 << 30)
        return unpacked + unpacked // 100 + (1 << 20) - span.position

    def _keep(self, volume: _Volume, span: _Span, problem: Exception | None) -> None:
        """Book what a connection brought, and queue the rest."""
        whole = volume.whole or span.end is None
        complete = span.end is not None and span.position >= span.end
        if complete or not whole:
            volume.state.done = merge([*volume.state.done, (span.start, span.position)])
        if complete:
            if volume.state.size is not None and not gaps(volume.state.done, volume.state.size, self._options.piece):
                self._submit_proof(volume)
            return
        if self._stopping:
            return
        start = 0 if whole else span.position
        rest = _Span(volume.number, start, None if whole else span.end, volume.generation)
        rest.failures, rest.replacements = span.failures, span.replacements
        if problem is not None or not span.replace:
            rest.failures += 1
            self._last_problem = str(problem) or type(problem).__name__ if problem else "the connection ended early"
            rest.not_before = time.monotonic() + self._pause(rest.failures, problem)
        volume.todo.appendleft(rest)
        if isinstance(problem, _DeniedError):
            volume.denials += 1
            if volume.denials >= _DENIALS:
                self._denied(volume, problem.status)

    def _pause(self, failures: int, problem: Exception | None) -> float:
        pause = min(_LONGEST_PAUSE, self._options.pause_seconds * 2.0 ** (failures - 1))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311  (only spreads the retries)
        return max(pause, problem.after if isinstance(problem, _RetryError) else 0.0)

    def _denied(self, volume: _Volume, status: int) -> None:
        """Tell a missing volume from an expired link, by whether the first volume still answers."""
        if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE) and volume.number:
            try:
                with self._client.stream("GET", self._link.volume(0), headers={"Range": "bytes=0-0"}) as response:
                    alive = response.status_code in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT)
            except httpx.HTTPError:
                volume.denials = 0
                return
            if alive:
                self._restart(volume)
                volume.state.state = "failed"
                volume.state.reason = f"it is not at the link ({status}), though the archive has {self.count} volumes"
                return
        self._fail(self._expired(status))

    def _expired(self, status: int) -> LinkExpired:
        good = sum(volume.state.state in ("good", "used") for volume in self._volumes.values())
        return LinkExpired(
            f"the link does not answer any more ({status}); {good} of {self.count or '?'} volumes are here",
            redact(self._link.url),
            "get a new link and run the same command with it; what is here is kept",
        )

    # --- proof ---

    def _submit_proof(self, volume: _Volume) -> None:
        volume.proving = True
        self._proofs.submit(self._prove, volume)

    def _prove(self, volume: _Volume) -> None:
        part = self._part(volume.number)
        try:
            with self._condition:
                descriptor, volume.descriptor = volume.descriptor, None
                entry = self._link.entries.get(volume.number)
                expected = proof.Expected(
                    number=volume.number,
                    last=volume.number == self.count - 1,
                    size=volume.state.size,
                    slot=self._state.unpacked_size if self.name.compressed else self._volumes[0].state.size,
                    sha256=entry.sha256 if entry else None,
                    etag=volume.state.etag,
                    count=self.count,
                    rejected_md5=volume.state.digest,
                )
            if descriptor is not None:
                os.fsync(descriptor)
                os.close(descriptor)
            try:
                proof.prove(self.name, part, expected, lambda: self._stopping)
            except proof.DigestMismatch as error:
                volume.state.digest = error.md5
                raise
            with self._condition:
                part.rename(self._path(volume.number))
                volume.state.state, volume.state.reason, volume.state.done = "good", "", []
                volume.state.modified = self._path(volume.number).stat().st_mtime_ns
                volume.proving = False
                self._save()
                self._condition.notify_all()
        except proof.Stopped:
            return
        except BadVolume as error:
            with self._condition:
                self._reject(volume, error.reason)
        except BaseException as error:
            self._fail(error)

    def _reject(self, volume: _Volume, reason: str) -> None:
        self._restart(volume)
        volume.state.rejected += 1
        volume.state.reason = reason
        if volume.state.rejected >= self._options.attempts:
            volume.state.state = "failed"
            volume.state.reason = f"{reason}; it arrived damaged {volume.state.rejected} times"
        elif volume.whole:
            volume.todo.append(_Span(volume.number, 0, None, volume.generation))
        self._save()
        self._condition.notify_all()

    def _restart(self, volume: _Volume) -> None:
        """Forget what is there of a volume."""
        volume.generation += 1
        volume.todo.clear()
        volume.proving = False
        volume.denials = 0
        if volume.descriptor is not None:
            volume.retired.append(volume.descriptor)
            volume.descriptor = None
        if not volume.active:  # else a connection may be writing just now; the last one to end closes
            self._close_retired(volume)
        for file in (self._part(volume.number), self._path(volume.number)):
            file.unlink(missing_ok=True)
        volume.state.state, volume.state.size, volume.state.done = "partial", None, []

    # --- small things ---

    def _path(self, number: int) -> Path:
        return self._directory / str(self.name.volume(number))

    def _part(self, number: int) -> Path:
        return self._directory / f"{self.name.volume(number)}.part"

    def _open(self, volume: _Volume) -> int:
        if volume.descriptor is None:
            volume.descriptor = os.open(self._part(volume.number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return volume.descriptor

    def _allocate(self, volume: _Volume) -> None:
        """Reserve the space, so that a full disk is found before the download and not in its middle."""
        try:
            os.posix_fallocate(self._open(volume), 0, max(1, volume.state.size or 0))
            os.ftruncate(self._open(volume), volume.state.size or 0)
        except OSError as error:
            raise BackupError(
                f"no room for volume {volume.number} of {volume.state.size} bytes: {error.strerror}",
                str(self._directory),
                "free space and run the same command again",
            ) from error

    def _close(self, volume: _Volume) -> None:
        if volume.descriptor is not None:
            os.close(volume.descriptor)
            volume.descriptor = None

    def _close_retired(self, volume: _Volume) -> None:
        while volume.retired:
            os.close(volume.retired.pop())

    def _plan(self, volume: _Volume) -> None:
        size = volume.state.size
        if size is not None:
            volume.todo.extend(
                _Span(volume.number, start, end, volume.generation)
                for start, end in gaps(volume.state.done, size, self._options.piece)
            )

    def _intervals(self, volume: _Volume) -> list[tuple[int, int]]:
        return merge([*volume.state.done, *((span.start, span.position) for span in volume.active)])

    def _save(self) -> None:
        """Write the state; bytes are on the disk before the state says so."""
        if not self._volumes:
            return
        booked = {
            volume.number: volume.state.done if volume.whole else self._intervals(volume)
            for volume in self._volumes.values()
        }
        for volume in self._volumes.values():
            if volume.descriptor is not None:
                os.fdatasync(volume.descriptor)
        snapshot = replace(
            self._state,
            volumes={
                number: replace(state, done=booked.get(number, state.done))
                for number, state in self._state.volumes.items()
            },
        )
        snapshot.save(self._directory)

    def _rate(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (before, old), (now, new) = self._samples[0], self._samples[-1]
        return (new - old) / (now - before) if now > before else 0.0

    def _watch(self) -> None:
        """Measure, replace slow connections, and give up when nothing arrives any more."""
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples.append((now, self._received))
        active = [span for volume in self._volumes.values() for span in volume.active]
        rates = {
            span: (span.position - span.begun_at) / (now - span.begun)
            for span in active
            if now - span.begun >= self._options.slow_seconds
        }
        if rates:
            usual = statistics.median([*self._usual, *rates.values()])
            for span, rate in rates.items():
                slow = rate < max(_SLOWEST, usual / _SLOW_RATIO)
                if slow and span.replacements < _REPLACEMENTS and not self._volumes[span.volume].whole:
                    span.replacements += 1
                    span.replace = True
        pending = any(volume.todo or volume.active for volume in self._volumes.values())
        if not pending:
            self._last_arrival = now
        elif now - self._last_arrival > self._options.patience_seconds:
            raise BackupError(
                f"nothing arrived for {self._options.patience_seconds:.0f} s ({self._last_problem or 'no answer'})",
                redact(self._link.url),
                "check the network and run the same command again; what is here is kept",
            )

    def _raise_failed(self) -> None:
        failed = [volume for volume in self._volumes.values() if volume.state.state == "failed"]
        if failed:
            raise BadVolume(failed[0].number, failed[0].state.reason, redact(self._link.volume(failed[0].number)))

    def _fail(self, error: BaseException) -> None:
        with self._condition:
            self._failure = self._failure or error
            self._stopping = True
            self._condition.notify_all()
