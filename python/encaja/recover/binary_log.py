"""MariaDB's binary logs: one database's transactions up to a moment, and the proof that none is missing.

Formats from MariaDB's documentation, "Replication Protocol": a log is ``fe 'bin'`` and events with a header of 19
bytes. Each transaction begins with a GTID event, whose number is by one higher than that of the transaction before it
in its domain; each log begins with the list of the numbers reached. So a missing transaction shows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from encaja.errors import EncajaError

MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")
_QUERY, _FORMAT, _XID, _TABLE_MAP, _XA_PREPARE = 2, 15, 16, 19, 38
_ANNOTATION, _GTID, _GTID_LIST, _ENCRYPTION = 160, 162, 163, 164
_CONTROL = frozenset({3, 4, 161})  # stop, rotate, checkpoint
_ROWS = frozenset({23, 24, 25, 30, 31, 32, 166, 167, 168, 169, 170, 171})
_PACKED_QUERY = 165
_STANDALONE = 1
_CHECKSUM = 4
_ON_DATABASE = re.compile(rb"\s*(CREATE|DROP|ALTER)\s+(DATABASE|SCHEMA)\b", re.IGNORECASE)
_BRACKETS = (b"BEGIN", b"COMMIT", b"ROLLBACK")


class LogGap(EncajaError):  # noqa: N818  a finding, not a fault
    """Logs do not follow on each other; ``last`` is the moment of the last transaction before the gap."""

    exit_code = 4

    def __init__(self, what: str, where: str, last: float) -> None:
        self.last = last
        super().__init__(what, where, "recover a moment before the gap")


@dataclass
class Progress:
    """How far the logs have been read.

    Attributes:
        reached: GTID number of the last transaction, by domain.
        last: when it was committed; 0 for none.
        transactions: how many of the database were taken.
        stopped: whether a transaction at or after the moment was met.
    """

    reached: dict[int, int] = field(default_factory=dict)
    last: float = 0.0
    transactions: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class _Event:
    at: int
    moment: int
    kind: int
    data: bytes


def _events(stream: BinaryIO, name: str) -> Iterator[_Event]:
    """The whole events of a log; what a lost host has written half ends it."""
    if stream.read(4) != MAGIC:
        raise EncajaError("not a binary log", name, "see the repository with 'encaja-backup restic'")
    at = 4
    while len(header := stream.read(_HEADER.size)) == _HEADER.size:
        moment, kind, _, length, _, _ = _HEADER.unpack(header)
        body = stream.read(length - _HEADER.size) if length > _HEADER.size else b""
        if length < _HEADER.size or len(body) < length - _HEADER.size:
            return
        yield _Event(at, moment, kind, header + body)
        at += length


@dataclass
class _Group:
    """The events of one transaction."""

    domain: int
    number: int
    moment: int
    begin: int
    standalone: bool
    events: list[_Event] = field(default_factory=list)
    tables: set[bytes] = field(default_factory=set)
    meant: bool = False
    whole: bool = False

    def add(self, event: _Event, database: bytes) -> None:
        """Take an event, unless it is another database's.

        Raises:
            EncajaError: it makes or drops the database itself.
        """
        body = event.data[_HEADER.size :]
        keep = event.kind not in _CONTROL and event.kind != _ANNOTATION
        if event.kind in (_XID, _XA_PREPARE):
            self.whole = True
        elif event.kind in (_QUERY, _PACKED_QUERY):
            keep = self._statement(body, database, packed=event.kind == _PACKED_QUERY)
        elif event.kind == _TABLE_MAP:
            keep = body[9 : 9 + body[8]] == database
            (self.tables.add if keep else self.tables.discard)(body[:6])
            self.meant |= keep
        elif event.kind in _ROWS:
            keep = body[:6] in self.tables
        if keep:
            self.events.append(event)

    def _statement(self, body: bytes, database: bytes, *, packed: bool) -> bool:
        length, variables = body[8], int.from_bytes(body[11:13], "little")
        named = body[13 + variables : 13 + variables + length]
        text = body[13 + variables + length + 1 : -_CHECKSUM]
        self.whole |= self.standalone or text in _BRACKETS[1:]
        if not packed and text in _BRACKETS:
            return True
        mine = named == database
        if mine and not packed and _ON_DATABASE.match(text):
            raise DatabaseReplaced(self.moment)
        self.meant |= mine
        return mine


class DatabaseReplaced(EncajaError):  # noqa: N818  a finding, not a fault
    """The database itself was made or dropped at ``moment``."""

    def __init__(self, moment: float) -> None:
        self.moment = moment
        super().__init__("the database was dropped or made there", "", "recover a moment before it")


def take(  # noqa: PLR0917  a log, its place in the plan, and what is wanted of it
    log: Path, name: str, target: Path, database: str, start: int, stop: float, progress: Progress
) -> None:
    """Write the log of one database's transactions, from a position to a moment.

    Args:
        log: the log's file.
        name: its name on the server.
        target: the file to write.
        database: name of the database.
        start: position in the log before which transactions are left out.
        stop: seconds since 1970 at which to stop: a transaction committed in that second or later ends the log.
        progress: what the logs before this one have reached; carried on.

    Raises:
        LogGap: it does not follow on them, or lacks a transaction.
        DatabaseReplaced: the database was dropped or made.
        EncajaError: it is not a log that can be read.
    """
    group: _Group | None = None
    with log.open("rb") as stream, target.open("wb") as out:
        out.write(MAGIC)
        for event in _events(stream, name):
            if event.kind == _FORMAT:
                out.write(event.data)
            elif event.kind == _ENCRYPTION:
                raise EncajaError("the server encrypts its logs", name, "set encrypt_binlog = OFF and wait for a dump")
            elif event.kind == _GTID_LIST:
                _check_list(event, name, progress)
            elif event.kind == _GTID:
                _write(out, group, start, progress)
                group = _begin(event, name, progress)
                if event.at >= start and event.moment >= stop:
                    progress.stopped = True
                    return
            elif group is not None:
                group.add(event, database.encode())
        _write(out, group, start, progress)


def _begin(event: _Event, name: str, progress: Progress) -> _Group:
    number, domain, flags = struct.unpack_from("<QIB", event.data, _HEADER.size)
    before = progress.reached.get(domain)
    if before is not None and number != before + 1:
        raise LogGap(f"transaction {domain}-{number} follows on {domain}-{before}", f"{name}:{event.at}", progress.last)
    return _Group(domain, number, event.moment, event.at, bool(flags & _STANDALONE), [event])


def _check_list(event: _Event, name: str, progress: Progress) -> None:
    count = struct.unpack_from("<I", event.data, _HEADER.size)[0] & 0x0FFFFFFF
    listed: dict[int, int] = {}
    for index in range(count):
        domain, _, number = struct.unpack_from("<IIQ", event.data, _HEADER.size + 4 + 16 * index)
        listed[domain] = max(number, listed.get(domain, 0))
    for domain, number in progress.reached.items():
        if listed.get(domain) != number:
            raise LogGap(
                f"the log begins after transaction {domain}-{listed.get(domain, 0)}, and the one before it ends with "
                f"{domain}-{number}", name, progress.last,
            )  # fmt: skip
    progress.reached = listed


def _write(out: BinaryIO, group: _Group | None, start: int, progress: Progress) -> None:
    """Write a whole transaction of the database; half of one is what a killed server has not committed."""
    if group is None or not group.whole:
        return
    progress.reached[group.domain] = group.number
    if group.begin < start:
        return
    progress.last = max(progress.last, float(group.moment))
    if group.meant:
        progress.transactions += 1
        for event in group.events:
            out.write(event.data)
