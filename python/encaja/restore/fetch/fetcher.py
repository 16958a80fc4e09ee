"""Running the connections of a download.

Each connection takes the next piece in the order of the volumes, so the first volumes are complete first. What arrived
is kept across runs. A volume is good only when it is verified; a bad one is fetched again alone.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from encaja.restore.archive import verify_volume
from encaja.restore.archive.doubles import are_doubles
from encaja.restore.archive.verify_volume import common_size
from encaja.restore.errors import BackupError, BadVolume, LinkExpired, disk_error
from encaja.restore.fetch.links import Link, Source
from encaja.restore.fetch.options import FetchOptions, FetchProgress
from encaja.restore.fetch.plan import Span, Volume, next_span
from encaja.restore.fetch.probe import Probe
from encaja.restore.fetch.replies import (
    ChangedError,
    DeniedError,
    RetryError,
    body,
    check_status,
    content_length,
    content_range,
    reason_of,
    refuses_everybody,
)
from encaja.restore.fetch.state import FetchState, VolumeState, gaps, load_state, merge
from encaja.restore.fetch.throttle import Backoff, Limit, Speed, growing_pause
from encaja.restore.fetch.volume_files import PartFile
from encaja.status import waiting_for

_DENIALS = 3
_REPLACEMENTS = 5
_SAVE_SECONDS = 5.0
_IDLE_SECONDS = 0.2
_QUIET_SECONDS = 5.0
"""Seconds without a byte after which the status says that the server is waited for."""


class Fetcher:
    """Fetches one archive into a folder.

    Args:
        source: where it is.
        directory: where its volumes go; what an earlier run left there is used.
        options: how to fetch.
        ahead: fetch at most so many volumes past the last one consumed; None for no limit.
        tell: called with what is asked for or waited for before the download starts; with an empty text when it came.
    """

    def __init__(
        self,
        source: Source,
        directory: Path,
        options: FetchOptions | None = None,
        *,
        ahead: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._directory = directory
        self._options = options or FetchOptions()
        self._ahead = ahead
        self._tell = tell
        self._consumed = -1
        self._condition = threading.Condition()
        self._saving = threading.Lock()
        self._stopping = False
        self._held = False
        self._failure: BaseException | None = None
        self._limit = Limit(self._options.rate)
        self._backoff = Backoff(self._options.pause_seconds)
        self._speed = Speed()
        self._received = 0
        self._last_arrival, self._arrived_at = time.monotonic(), time.time()
        self._last_problem = ""
        self._volumes: dict[int, Volume] = {}
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
        self.name = source.name
        self.first_block = b""
        self.head = b""
        self.first_size = 0
        self._state: FetchState = load_state(directory, str(self.name))

    # --- for callers ---

    @property
    def unpacked_size(self) -> int | None:
        """Unpacked bytes of every volume but the last, where the form says."""
        return self._state.unpacked_size

    @property
    def count(self) -> int:
        """Number of volumes; 0 before ``prepare``."""
        return len(self._volumes)

    def prepare(self) -> None:
        """Learn what the archive is from its first bytes.

        Afterwards ``count`` and ``first_block`` (the archive's first 512 bytes without gzip) are known.

        Raises:
            BackupError: it is not a backup, or the number of its volumes is not known.
            LinkExpired: the server refuses the link.
        """
        if self._volumes:
            return
        state = self._state
        first = state.volumes.get(0)
        if first and first.state == "used" and state.count:
            self.first_block = bytes.fromhex(state.first_block)
        else:
            probe = Probe(self._client, self._source, self._options, lambda: self._stopping, self._tell)
            found = probe.look(self._final(0), state.count)
            self.first_block, self.head, self.first_size = found.first_block, found.head, found.first_size
            state.first_block, state.count = found.first_block.hex(), found.count
            state.unpacked_size = found.unpacked_size
            if found.entries and isinstance(self._source, Link):
                self._source = replace(self._source, entries=found.entries)
        for number in range(state.count or 0):
            kept = state.volumes.setdefault(number, VolumeState())
            self._volumes[number] = Volume(number, kept, PartFile(self._final(number)), synced=list(kept.done))
            if kept.state == "used":
                self._consumed = number
        self._last_arrival, self._arrived_at = time.monotonic(), time.time()
        for volume in self._volumes.values():
            self._adopt(volume)

    def run(self, *, hold: bool = False) -> None:
        """Fetch until every volume is verified.

        Args:
            hold: keep running until ``stop``, because a volume may still be rejected by its consumer.

        Raises:
            LinkExpired: a new link is needed; what is there is kept.
            BadVolume: volumes arrived damaged too many times, or are not at the link; all of them are named.
            BackupError: nothing arrives any more, the disk is full, …
        """
        workers: list[threading.Thread] = []
        self._held = hold
        try:
            self.prepare()
            for number in range(self._options.connections):
                workers.append(threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True))
                workers[-1].start()
            self._stay()
            if not self._stopping:
                self._raise_failed()
        except BaseException as error:
            self._fail(error)
        finally:
            self.stop()
            for worker in workers:
                worker.join()
            self._proofs.shutdown(wait=True, cancel_futures=True)
            try:
                self._save()
            except OSError as error:  # what was saved before is still valid
                self._fail(error)
            for volume in self._volumes.values():
                volume.part.close()
            self._client.close()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End ``run`` soon; what arrived is kept."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def release(self) -> None:
        """Let ``run`` end when every volume is settled, as if without ``hold``."""
        with self._condition:
            self._held = False
            self._condition.notify_all()

    def wait(self, number: int, beat: Callable[[], None] = lambda: None) -> Path:
        """Wait until a volume is verified.

        Args:
            number: the volume's.
            beat: called twice a second while waiting.

        Returns:
            Its file.

        Raises:
            BackupError: it will not come.
        """
        while True:
            with self._condition:
                volume = self._volumes.get(number)
                if volume and volume.state.state == "good":
                    return volume.part.final
                if self._failure:
                    raise self._failure
                if volume and volume.state.state == "failed":
                    raise self._bad(volume)
                if self._stopping:
                    raise BackupError("the download was stopped", self._source.where, "rerun the command")
                self._condition.wait(0.5)
            beat()

    def consumed(self, number: int, *, delete: bool = False) -> None:
        """Note that a volume is not needed any more; with ``delete`` its file is deleted."""
        with self._condition:
            self._consumed = max(self._consumed, number)
            if delete and number in self._volumes:
                self._volumes[number].state.state = "used"
                self._write_state()
                self._final(number).unlink(missing_ok=True)
            self._condition.notify_all()

    def reject(self, number: int, reason: str) -> None:
        """Fetch a volume again that turned out to be bad."""
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
                elif volume.whole:
                    done += sum(span.position for span in volume.active)
                else:
                    done += sum(end - start for start, end in volume.intervals)
            return FetchProgress(
                count=len(volumes),
                good=sum(volume.state.state in ("good", "used") for volume in volumes),
                under_way=sum(not volume.settled and volume.state.state != "new" for volume in volumes),
                rejected=sum(volume.state.rejected for volume in volumes),
                done=done,
                total=round(sum(sizes) + mean * (len(volumes) - len(sizes))),
                rate=self._speed.rate,
                waiting=self._waiting(),
            )

    def _waiting(self) -> str:
        """What is waited for, when nothing arrived for a while and something is missing."""
        if time.monotonic() - self._last_arrival < _QUIET_SECONDS:
            return ""
        if not any(volume.todo or volume.active for volume in self._volumes.values()):
            return ""
        host = urlsplit(self._source.where.split()[0]).netloc
        until = self._arrived_at + self._options.patience_seconds
        return waiting_for(host, self._last_problem or "no answer", self._arrived_at, until)

    # --- before the download ---

    def _final(self, number: int) -> Path:
        return self._directory / str(self.name.volume(number))

    def _adopt(self, volume: Volume) -> None:
        """Use what an earlier run left of a volume."""
        state, part = volume.state, volume.part
        if state.state == "used":
            return
        if state.state == "failed":
            state.state, state.rejected = "partial", 0
        if part.final.is_file():
            status = part.final.stat()
            if state.state == "good" and status.st_size == state.size and status.st_mtime_ns == state.modified:
                return
            state.state, state.size, state.done = "partial", status.st_size, [(0, status.st_size)]
            part.final.rename(part.path)
            self._submit_proof(volume)
        elif not part.path.is_file() or state.size is None:
            state.state, state.size, state.done, volume.synced = "new", None, [], []
        else:
            state.state = "partial"
            volume.plan(self._options.piece)
            if not volume.todo:
                self._submit_proof(volume)

    # --- the connections ---

    def _work(self) -> None:
        while True:
            with self._condition:
                span = self._next()
                while span is None and not self._stopping:
                    held = self._backoff.until - time.monotonic()
                    self._condition.wait(held if 0 < held < _IDLE_SECONDS else _IDLE_SECONDS)
                    span = self._next()
                if span is None or self._stopping:
                    return
            try:
                self._fetch(span)
            except BaseException as error:
                self._fail(error)
                return

    def _next(self) -> Span | None:
        if time.monotonic() < self._backoff.until:
            return None
        last = None if self._ahead is None else self._consumed + self._ahead
        return next_span(self._volumes.values(), self._options.piece, last)

    def _fetch(self, span: Span) -> None:
        volume = self._volumes[span.volume]
        before = span.position
        problem: Exception | None = None
        try:
            for chunk in self._receive(volume, span):
                self._limit.take(len(chunk))
                if not self._store(volume, span, chunk):
                    break
        except (RetryError, DeniedError, ChangedError, httpx.HTTPError) as error:
            problem = error
        with self._condition:
            volume.active.remove(span)
            if not volume.active:
                volume.part.release()
            if span.generation == volume.generation:
                if span.position > before:
                    span.failures = volume.denials = 0
                    if problem is None and not span.replace:
                        self._speed.finished(span.position - before, time.monotonic() - span.begun)
                self._keep(volume, span, problem)
            self._condition.notify_all()

    def _receive(self, volume: Volume, span: Span) -> Iterator[bytes]:
        target = self._source.target(volume.number)
        headers = dict(target.headers)
        if not volume.whole and span.end is not None:
            headers["Range"] = f"bytes={span.position}-{span.end - 1}"
        with self._client.stream("GET", target.url, headers=headers) as response:
            try:
                check_status(response)
                pieces = body(response)
            except DeniedError:
                self._source.renew(volume.number, target)
                raise
            with self._condition:
                if not self._accept(volume, span, response):
                    return
            yield from pieces
        with self._condition:
            if span.end is None and span.generation == volume.generation:
                span.end = volume.state.size = span.position

    def _accept(self, volume: Volume, span: Span, response: httpx.Response) -> bool:
        """Check what the server says it sends against what was asked for; False when the piece is not to be read."""
        if span.generation != volume.generation:
            return False
        etag = response.headers.get("ETag")
        if response.status_code == httpx.codes.OK:
            size = content_length(response)
            if not volume.whole and (span.position or size is None or span.end is None or size > span.end):
                volume.restart()
                self._write_state()
                volume.whole = True
                volume.todo.append(volume.span(0, None))
                return False
            span.position, span.end = 0, size
            volume.state.size, volume.state.etag = size, etag
            return True
        ranged = content_range(response)
        if ranged is None or ranged[0] != span.position or span.end is None:
            raise RetryError(f"another range than asked for: {response.headers.get('Content-Range')!r}")
        total = ranged[1]
        if volume.state.size is None:
            if total > self._most():
                raise RetryError(f"{total} bytes are announced, more than such a volume can have")
            volume.state.size, volume.state.etag = total, etag
            span.end = min(span.end, total)
            volume.part.allocate(volume.number, total)
            volume.plan(self._options.piece, [(0, span.end)])
            self._condition.notify_all()
        elif total != volume.state.size or (etag != volume.state.etag and not self.name.compressed):
            raise ChangedError(total)
        return True

    def _store(self, volume: Volume, span: Span, chunk: bytes) -> bool:
        """Write what arrived; False when the piece is complete or not wanted any more."""
        with self._condition:
            if span.generation != volume.generation or self._stopping:
                return False
            room = self._room(span)
            descriptor = volume.part.open()
            position = span.position
        data = chunk[:room]
        volume.part.write(descriptor, data, position)
        with self._condition:
            span.position = position + len(data)
            self._received += len(data)
            self._last_arrival, self._arrived_at = time.monotonic(), time.time()
            self._backoff.arrived()
            if span.end is None:
                if len(chunk) > room and span.generation == volume.generation:
                    self._reject(volume, "it is longer than such a volume can be")
                    return False
                return True
            return span.position < span.end and not span.replace

    def _room(self, span: Span) -> int:
        """How many more bytes may come; a volume of unknown length may be as long as its unpacked size and a little."""
        if span.end is not None:
            return span.end - span.position
        return self._most() - span.position

    def _most(self) -> int:
        """Bytes that a volume may have as it is stored."""
        unpacked = self._slot() or self.first_size or (4 << 30)
        return unpacked + unpacked // 100 + (1 << 20)

    def _slot(self) -> int | None:
        """Unpacked bytes of every volume but the last; without gzip known as soon as enough volumes gave their size."""
        if self.name.compressed:
            return self._state.unpacked_size
        inner = [volume.state.size for volume in self._volumes.values() if volume.number < self.count - 1]
        known = [size for size in inner if size is not None]
        slot = common_size(known)
        return slot if slot is not None and (known.count(slot) > 1 or len(known) == len(inner)) else None

    def _keep(self, volume: Volume, span: Span, problem: Exception | None) -> None:
        """Note what a connection brought, and queue the rest."""
        if isinstance(problem, ChangedError):
            self._reject(volume, f"the server changed it ({volume.state.size} bytes, now {problem.size})")
            return
        whole = volume.whole or span.end is None
        if span.complete or not whole:
            volume.state.done = merge([*volume.state.done, (span.start, span.position)])
        if span.complete:
            if volume.state.size is not None and not gaps(volume.state.done, volume.state.size, self._options.piece):
                self._submit_proof(volume)
            return
        if self._stopping:
            return
        rest = volume.span(0 if whole else span.position, None if whole else span.end)
        rest.failures, rest.replacements = span.failures, span.replacements
        if problem is not None or not span.replace:
            rest.failures += 1
            self._last_problem = reason_of(problem) if problem else "the connection ended early"
            asked = problem.after if isinstance(problem, RetryError) else 0.0
            pause = max(asked, growing_pause(self._options.pause_seconds, rest.failures))
            rest.not_before = time.monotonic() + pause
            if problem is not None and refuses_everybody(problem):
                self._backoff.failed(span.begun, asked)
        volume.todo.appendleft(rest)
        if isinstance(problem, DeniedError) and span.begun >= volume.denied_at:  # many at once are one denial
            volume.denials += 1
            volume.denied_at = time.monotonic()
            if volume.denials >= _DENIALS:
                self._denied(volume, problem)

    def _denied(self, volume: Volume, denial: DeniedError) -> None:
        """Tell a missing volume from an expired link, by whether the first volume still answers."""
        if denial.status in (httpx.codes.NOT_FOUND, httpx.codes.GONE) and volume.number:
            target = self._source.target(0)
            try:
                with self._client.stream("GET", target.url, headers={**target.headers, "Range": "bytes=0-0"}) as answer:
                    alive = answer.status_code in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT)
            except httpx.HTTPError:
                volume.denials = 0
                return
            if alive:
                volume.restart()
                volume.state.state = "failed"
                volume.state.reason = (
                    f"it is not at the link ({denial.status}), though the archive has {self.count} volumes"
                )
                return
        good = sum(volume.state.state in ("good", "used") for volume in self._volumes.values())
        self._fail(
            LinkExpired(
                f"the link has expired ({denial}); {good} of {self.count} volumes are here",
                self._source.where,
                "get a new link and rerun the command with it; what is here is kept",
            )
        )

    # --- verifying ---

    def _submit_proof(self, volume: Volume) -> None:
        volume.proving = True
        self._proofs.submit(self._prove, volume)

    def _prove(self, volume: Volume) -> None:
        try:
            with self._condition:
                while not self.name.compressed and self.count > 1 and self._slot() is None and not self._stopping:
                    self._condition.wait(_IDLE_SECONDS)
                generation = volume.generation
                descriptor = volume.part.detach()
                expected = verify_volume.Expected(
                    number=volume.number,
                    last=volume.number == self.count - 1,
                    size=volume.state.size,
                    slot=self._slot(),
                    sha256=self._source.sha256(volume.number),
                    etag=volume.state.etag,
                    count=self.count,
                    rejected_md5=volume.state.digest,
                )
            if descriptor is not None:
                os.fsync(descriptor)
                os.close(descriptor)
            volume.synced = volume.state.done
            try:
                verify_volume.prove(self.name, volume.part.path, expected, lambda: self._stopping)
            except verify_volume.DigestMismatch as error:
                volume.state.digest = error.md5
                raise
            with self._condition:
                if volume.generation != generation:
                    return
                self._refuse_double(volume)
                volume.part.path.rename(volume.part.final)
                volume.state.state, volume.state.reason, volume.state.done = "good", "", []
                volume.synced = []
                volume.state.modified = volume.part.final.stat().st_mtime_ns
                volume.proving = False
                self._write_state()
                self._condition.notify_all()
        except verify_volume.Stopped:
            return
        except BadVolume as error:
            with self._condition:
                self._reject(volume, error.reason)
        except BaseException as error:
            self._fail(error)

    def _refuse_double(self, volume: Volume) -> None:
        """Reject a volume that is its neighbour's copy, and a later neighbour too: nobody knows which is which."""
        for number in (volume.number - 1, volume.number + 1):
            other = self._volumes.get(number)
            if not other or not are_doubles(self.name, volume.part.path, other.part.final):
                continue
            if number > volume.number and other.state.state == "good":  # an earlier one may have been read
                self._reject(other, f"it holds the same as volume {volume.number}")
            reason = f"it holds the same as volume {number}; if that one is the copy, start over with another stamp"
            raise BadVolume(volume.number, reason, str(volume.part.final))

    def _reject(self, volume: Volume, reason: str) -> None:
        volume.restart()
        volume.state.rejected += 1
        volume.state.reason = reason
        if volume.state.rejected >= self._options.attempts:
            volume.state.state = "failed"
            volume.state.reason = f"{reason}; it arrived damaged {volume.state.rejected} times"
        elif volume.whole:
            volume.todo.append(volume.span(0, None))
        self._write_state()
        self._condition.notify_all()

    # --- watching and saving ---

    def _stay(self) -> None:
        """Watch until every volume is settled."""
        saved = time.monotonic()
        while True:
            with self._condition:
                if self._stopping or (not self._held and all(volume.settled for volume in self._volumes.values())):
                    return
                self._condition.wait(0.5)
                self._watch()
            if time.monotonic() - saved > _SAVE_SECONDS:
                self._save()
                saved = time.monotonic()

    def _watch(self) -> None:
        """Measure, replace slow connections, and give up when nothing arrives any more."""
        self._speed.sample(self._received)
        active = [span for volume in self._volumes.values() for span in volume.active]
        for span in self._speed.slow(active, self._options.slow_seconds):
            if span.replacements < _REPLACEMENTS and not self._volumes[span.volume].whole:
                span.replacements += 1
                span.replace = True
        now = time.monotonic()
        if not any(volume.todo or volume.active for volume in self._volumes.values()):
            self._last_arrival, self._arrived_at = now, time.time()
        elif now - self._last_arrival > self._options.patience_seconds:
            raise BackupError(
                f"nothing arrived for {self._options.patience_seconds:.0f} s ({self._last_problem or 'no answer'})",
                self._source.where,
                "check the network and rerun the command; what is here is kept",
            )

    def _save(self) -> None:
        """Force what arrived to the disk, and then note that it is there."""
        with self._saving:
            with self._condition:
                marks = [
                    (volume, volume.generation, descriptor, volume.intervals)
                    for volume in self._volumes.values()
                    if (descriptor := volume.part.duplicate()) is not None
                ]
            for _, _, descriptor, _ in marks:
                os.fdatasync(descriptor)
                os.close(descriptor)
            with self._condition:
                for volume, generation, _, intervals in marks:
                    if volume.generation == generation:
                        volume.synced = intervals
                self._write_state()

    def _write_state(self) -> None:
        """Write the state; of a volume under way only those bytes count that are on the disk."""
        if not self._volumes:
            return
        kept = {number: replace(volume.state, done=volume.synced) for number, volume in self._volumes.items()}
        replace(self._state, volumes=kept).save(self._directory)

    def _bad(self, volume: Volume) -> BadVolume:
        others = [
            f"; volume {other.number} too: {other.state.reason}"
            for other in self._volumes.values()
            if other.state.state == "failed" and other is not volume
        ]
        return BadVolume(volume.number, "".join([volume.state.reason, *others]), self._source.where)

    def _raise_failed(self) -> None:
        for volume in self._volumes.values():
            if volume.state.state == "failed":
                raise self._bad(volume)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            error = disk_error(error, str(self._directory))
        with self._condition:
            self._failure = self._failure or error
            self._stopping = True
            self._condition.notify_all()
