"""Which dump, which logs and which files make up a moment, from the snapshots that the repositories list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from encaja.errors import EncajaError

_PIECE = re.compile(r"/(?P<log>[^/]+\.(?P<number>\d+))\.(?P<start>\d+)-(?P<end>\d+)$")


class NotCovered(EncajaError):  # noqa: N818  a finding, not a fault
    """The repository does not hold this moment; says which ones it does."""

    exit_code = 4


@dataclass(frozen=True)
class Dump:
    """A dump of the database: made at a position of a chain of logs, not after ``at``."""

    snapshot: str
    database: str
    chain: str
    log: str
    position: int
    at: float


@dataclass(frozen=True)
class Logs:
    """A snapshot of logs: everything committed before ``at``, up to ``log`` and ``position``."""

    snapshot: str
    chain: str
    at: float
    log: str
    position: int


@dataclass(frozen=True)
class Files:
    """A snapshot of the files, begun at ``at``."""

    snapshot: str
    at: float
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """A part of a log, from byte to byte, at a path of a snapshot."""

    log: str
    number: int
    start: int
    end: int
    path: str


def _tags(snapshot: Mapping[str, Any]) -> dict[str, str]:
    return dict(tag.split("=", 1) for tag in snapshot.get("tags") or () if "=" in tag)


def seconds(text: str) -> float:
    """Restic's time stamp as seconds since 1970."""
    return datetime.fromisoformat(re.sub(r"\.(\d{6})\d*", r".\1", text)).timestamp()


def dumps(snapshots: Iterable[Mapping[str, Any]]) -> list[Dump]:
    """The dumps that can be the base of logs, the oldest first."""
    found = []
    for snapshot in snapshots:
        tags = _tags(snapshot)
        if {"chain", "from", "at", "of"} <= set(tags):
            log, _, position = tags["from"].rpartition(":")
            found.append(Dump(str(snapshot["id"]), tags["of"], tags["chain"], log, int(position), float(tags["at"])))
    return sorted(found, key=lambda dump: dump.at)


def logs(snapshots: Iterable[Mapping[str, Any]]) -> list[Logs]:
    """The snapshots of logs, the oldest first."""
    found = []
    for snapshot in snapshots:
        tags = _tags(snapshot)
        if {"chain", "at", "to"} <= set(tags):
            log, _, position = tags["to"].rpartition(":")
            found.append(Logs(str(snapshot["id"]), tags["chain"], float(tags["at"]), log, int(position)))
    return sorted(found, key=lambda snapshot: snapshot.at)


def files(snapshots: Iterable[Mapping[str, Any]]) -> list[Files]:
    """The snapshots of files, the oldest first."""
    found = [Files(str(item["id"]), seconds(str(item["time"])), tuple(item["paths"])) for item in snapshots]
    return sorted(found, key=lambda snapshot: snapshot.at)


def spans(bases: Sequence[Dump], shipped: Sequence[Logs]) -> list[tuple[float, float]]:
    """From when to when every second can be recovered, as far as the lists say."""
    ends: dict[str, float] = {}
    for snapshot in shipped:
        ends[snapshot.chain] = max(snapshot.at, ends.get(snapshot.chain, 0.0))
    found: list[tuple[float, float]] = []
    for begin, end in sorted((dump.at, ends[dump.chain]) for dump in bases if ends.get(dump.chain, 0.0) >= dump.at):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def shown(moment: float) -> str:
    """A moment for people, in UTC to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def choose(bases: Sequence[Dump], shipped: Sequence[Logs], moment: float | None) -> tuple[float, Dump, list[Logs]]:
    """The moment (the newest, if none is given), the dump to begin with, and the snapshots that have the logs after it.

    Raises:
        NotCovered: there is no dump before the moment, or its logs do not reach so far.
    """
    covered = spans(bases, shipped)
    if not covered:
        raise NotCovered(
            "no moment can be recovered yet", "the repository",
            "see that encaja-ship.service runs and a nightly backup has been made since; or use encaja-backup restore",
        )  # fmt: skip
    if moment is None:
        moment = max(end for _, end in covered)
    for dump in reversed(bases):
        reaching = [item for item in shipped if item.chain == dump.chain and item.at >= moment]
        if dump.at <= moment and reaching:
            return moment, dump, reaching
    said = ", and ".join(f"from {shown(begin)} to {shown(end)}" for begin, end in covered)
    raise NotCovered(f"{shown(moment)} is not covered", "the repository", f"every second can be recovered {said}")


def pieces(paths: Iterable[str]) -> list[Piece]:
    """The parts of logs among a snapshot's paths."""
    found = (match for path in paths if (match := _PIECE.search(path)))
    return [
        Piece(part["log"], int(part["number"]), int(part["start"]), int(part["end"]), part.string) for part in found
    ]


def in_order(parts: Sequence[Piece], dump: Dump, last: Logs) -> tuple[list[list[Piece]], str]:
    """The parts of every log from the dump's to the last one, in order, and where something is missing (or nothing).

    A log is whole as far as its parts join on; whether one follows on the log before it, the logs themselves prove.
    """
    by_log: dict[int, list[Piece]] = {}
    for part in parts:
        by_log.setdefault(part.number, []).append(part)
    first, end = (int(name.rpartition(".")[2]) for name in (dump.log, last.log))
    found: list[list[Piece]] = []
    for number in range(first, end + 1):
        joined: list[Piece] = []
        reached, available = 0, by_log.get(number, [])
        while following := [part for part in available if part.start <= reached < part.end]:
            joined.append(max(following, key=lambda part: part.end))
            reached = joined[-1].end
        stem = last.log.rpartition(".")[0]
        wanted = max([part.end for part in available], default=1)
        wanted = max(wanted, last.position if number == end else 1, dump.position if number == first else 1)
        if joined:
            found.append(joined)
        if reached < wanted:
            return found, f"{stem}.{number:06}:{reached}"
    return found, ""


def beside(snapshots: Sequence[Files], moment: float) -> tuple[Files, Files | None]:
    """The newest snapshot of the files before a moment, and the first one after it.

    Raises:
        NotCovered: there is none before it.
    """
    before = [snapshot for snapshot in snapshots if snapshot.at <= moment]
    after = [snapshot for snapshot in snapshots if snapshot.at > moment]
    if not before:
        oldest = shown(snapshots[0].at) if snapshots else "none"
        raise NotCovered(f"no files from before {shown(moment)}", "the repository", f"the oldest are of {oldest}")
    return before[-1], after[0] if after else None
