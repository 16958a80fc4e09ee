"""Which bytes to fetch next: the volumes, cut into pieces, in the archive's order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from encaja.restore.fetch.state import VolumeState, gaps, merge
from encaja.restore.fetch.volume_files import PartFile

_LEAST_SHARE = 1 << 20


@dataclass(eq=False)
class Span:
    """A part of a volume that one connection fetches: from ``position`` up to ``end`` (None: to wherever it ends).

    Attributes:
        volume: number of the volume.
        start: its first byte.
        end: the byte after its last one.
        generation: of the volume when the span was made; a later one makes it void.
        position: the next byte to fetch.
        failures: tries in a row that brought nothing.
        replacements: how many times its connection was too slow.
        not_before: monotonic time of the next try.
        begun: monotonic time of the request under way.
        begun_at: position then.
        replace: its connection is too slow and has to be given up.
    """

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

    @property
    def complete(self) -> bool:
        """Whether all its bytes came."""
        return self.end is not None and self.position >= self.end


@dataclass(eq=False)
class Volume:
    """A volume that is being fetched.

    Attributes:
        number: its number.
        state: what is kept across runs.
        part: its file.
        todo: pieces that no connection fetches yet.
        active: pieces under way.
        synced: intervals of bytes that are on the disk for good.
        generation: how many times it was started over.
        whole: its server gives no ranges, so one connection fetches all of it.
        proving: it is complete and is being verified.
        denials: times in a row that its server refused it.
        denied_at: monotonic time of the last one.
    """

    number: int
    state: VolumeState
    part: PartFile
    todo: deque[Span] = field(default_factory=deque)
    active: list[Span] = field(default_factory=list)
    synced: list[tuple[int, int]] = field(default_factory=list)
    generation: int = 0
    whole: bool = False
    proving: bool = False
    denials: int = 0
    denied_at: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether nothing of it is to be fetched."""
        return self.state.state in ("good", "used", "failed")

    @property
    def intervals(self) -> list[tuple[int, int]]:
        """The bytes that are here; of a volume without ranges only those count that are complete."""
        if self.whole:
            return self.state.done
        return merge([*self.state.done, *((span.start, span.position) for span in self.active)])

    def span(self, start: int, end: int | None) -> Span:
        """A piece of it."""
        return Span(self.number, start, end, self.generation)

    def plan(self, piece: int, done: list[tuple[int, int]] | None = None) -> None:
        """Queue what is missing."""
        if self.state.size is not None:
            have = self.state.done if done is None else done
            self.todo.extend(self.span(start, end) for start, end in gaps(have, self.state.size, piece))

    def restart(self) -> None:
        """Forget what is here of it."""
        self.generation += 1
        self.todo.clear()
        self.proving = False
        self.denials = 0
        self.part.discard()
        if not self.active:  # else a connection may be writing just now; the last one to end lets go
            self.part.release()
        self.state.state, self.state.size, self.state.done, self.synced = "partial", None, [], []


def next_span(volumes: Iterable[Volume], piece: int, last: int | None) -> Span | None:
    """The next piece in the order of the volumes, or else half of the one that would take longest.

    Args:
        volumes: all volumes.
        piece: bytes of a piece.
        last: highest number that may be fetched now; None for any.
    """
    now = time.monotonic()
    known = list(volumes)
    waiting = False
    for volume in known:
        if last is not None and volume.number > last:
            waiting = True
            break
        if volume.settled or volume.proving:
            continue
        if volume.state.size is None and not volume.whole and not volume.active and not volume.todo:
            volume.todo.append(volume.span(0, piece))
        for index, span in enumerate(volume.todo):
            if span.not_before <= now:
                del volume.todo[index]
                return _begin(volume, span)
            waiting = True
    return None if waiting else _half(known)


def _half(volumes: list[Volume]) -> Span | None:
    best: tuple[Volume, Span] | None = None
    most = 2 * _LEAST_SHARE
    for volume in volumes:
        if volume.state.size is None or volume.whole:
            continue
        for span in volume.active:
            if span.end is not None and span.end - span.position > most:
                best, most = (volume, span), span.end - span.position
    if best is None:
        return None
    volume, span = best
    middle = span.position + most // 2
    half = Span(volume.number, middle, span.end, span.generation)
    span.end = middle
    return _begin(volume, half)


def _begin(volume: Volume, span: Span) -> Span:
    span.begun, span.begun_at, span.replace = time.monotonic(), span.position, False
    volume.active.append(span)
    if volume.state.state == "new":
        volume.state.state = "partial"
    return span
