"""The tar dialect of the archive, read from a stream that may stop and continue anywhere.

v7 headers without magic, plain octal numbers, ``L`` members for names over 100 bytes (their size does not count the
NUL),
no end-of-archive blocks, no links; ustar prefixes and GNU archives are accepted too (main 26.250, ``CTar``;
restore.php).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

from encaja.restore.errors import BackupError

BLOCK = 512
_ZERO_BLOCK = bytes(BLOCK)
_LONGEST_NAME = 4096
"""Bytes; the writer aborts at a path of more than 512, and Linux knows none of more than this."""
_LARGEST = 1 << 62
_MOST_PADDING = 1 << 20
"""Bytes of zeros after the end; GNU tar fills up to its record of 10 KiB."""
_OCTAL = re.compile(rb"[\0 ]*([0-7]*)[\0 ]*")


class TarError(BackupError):
    """The stream is not a tar archive at a place where it has to be.

    Args:
        offset: byte in the tar stream at which the bad block begins.
        reason: what is wrong with it.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"tar: {reason} at byte {offset}", "", "the volume that holds this byte is bad")
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True)
class Member:
    """One entry: its raw name, size in bytes, permission bits, and whether it is a directory."""

    name: bytes
    size: int
    mode: int
    directory: bool


class Sink(Protocol):
    """Takes the members as they come."""

    def begin(self, member: Member) -> None:
        """A member begins."""

    def data(self, piece: memoryview) -> None:
        """The next bytes of the member; the memory is only good during the call."""

    def end(self) -> None:
        """The member is complete."""


@dataclass(frozen=True)
class Header:
    """A checked header block: the member and its type flag."""

    member: Member
    kind: bytes


def _number(field: bytes, offset: int, what: str) -> int:
    if field[0] == 0x80:  # GNU's base 256 for what octal cannot hold; 0xff would be a negative one
        number = int.from_bytes(field[1:], "big")
        if number <= _LARGEST:
            return number
    elif octal := _OCTAL.fullmatch(field):
        return int(octal[1] or b"0", 8)
    raise TarError(offset, f"{what} is not a number")


def parse_header(block: bytes, offset: int) -> Header:
    """Parse and check one header block.

    Args:
        block: 512 bytes.
        offset: where it begins, for messages.

    Raises:
        TarError: checksum wrong or fields that cannot be.
    """
    checksum = _number(block[148:156], offset, "the checksum")
    if sum(block) - sum(block[148:156]) + 256 != checksum:
        raise TarError(offset, "wrong header checksum")
    name = block[:100].split(b"\0", 1)[0]
    if block[257:262] == b"ustar" and block[262:263] == b"\0" and block[345]:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    kind = block[156:157]
    if not name:
        raise TarError(offset, "a member without a name")
    size = 0 if kind == b"5" else _number(block[124:136], offset, "the size")
    return Header(Member(name, size, _number(block[100:108], offset, "the mode") & 0o777, kind == b"5"), kind)


class TarReader:
    """Push parser: bytes in, members out to a sink; its state can be saved between any two calls.

    Args:
        sink: takes the members.
        state: what ``state()`` of an earlier reader returned; the sink gets no ``begin`` for a member already started.
    """

    def __init__(self, sink: Sink, state: dict[str, object] | None = None) -> None:
        self._sink = sink
        saved = state or {}
        self.offset = int(str(saved.get("offset", 0)))
        self._pending = bytes.fromhex(str(saved.get("pending", "")))
        self._remaining = int(str(saved.get("remaining", 0)))
        self._padding = int(str(saved.get("padding", 0)))
        self._open = bool(saved.get("open", False))
        self._long = bytearray.fromhex(str(saved["long"])) if saved.get("long") is not None else None
        self._name = bytes.fromhex(str(saved["name"])) if saved.get("name") is not None else None
        ended = saved.get("ended", 0)
        self._ended = ended if isinstance(ended, int) else 0

    def state(self) -> dict[str, object]:
        """The whole state as plain values for JSON."""
        return {
            "offset": self.offset,
            "pending": self._pending.hex(),
            "remaining": self._remaining,
            "padding": self._padding,
            "open": self._open,
            "long": None if self._long is None else self._long.hex(),
            "name": None if self._name is None else self._name.hex(),
            "ended": self._ended,
        }

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream.

        Raises:
            TarError: a header that is none.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end:
            if self._remaining:
                taken = min(self._remaining, end - position)
                piece = view[position : position + taken]
                if self._long is not None:
                    self._long += piece
                else:
                    self._sink.data(piece)
                self._remaining -= taken
                position += taken
                self.offset += taken
                if not self._remaining:
                    self._complete()
                continue
            if self._padding:
                taken = min(self._padding, end - position)
                self._padding -= taken
                position += taken
                self.offset += taken
                continue
            if end - position < BLOCK:
                self._pending = bytes(view[position:])
                return
            self._header(data[position : position + BLOCK])
            position += BLOCK
            self.offset += BLOCK

    def finish(self) -> None:
        """Say that the stream is over.

        Raises:
            TarError: it ends inside a member or header.
        """
        if self._remaining or self._padding or self._pending or self._long is not None or self._name is not None:
            raise TarError(self.offset, "the archive ends in the middle of a file")

    def _header(self, block: bytes) -> None:
        if block == _ZERO_BLOCK:
            self._ended += BLOCK
            if self._ended > _MOST_PADDING:
                raise TarError(self.offset, "nothing but zeros after the end of the archive")
            return
        if self._ended:
            raise TarError(self.offset, "data after the end of the archive")
        header = parse_header(block, self.offset)
        member = header.member
        if header.kind == b"L":
            if not 0 < member.size <= _LONGEST_NAME:
                raise TarError(self.offset, "a long name of impossible length")
            self._long = bytearray()
        elif header.kind in (b"0", b"\0", b"5"):
            if self._name is not None:
                member = replace(member, name=self._name)
                self._name = None
            if member.name.endswith(b"/"):  # old archives mark a folder so; a cut long name may end so by chance
                member = replace(member, size=0, directory=True)
            self._sink.begin(member)
            self._open = True
        elif header.kind in (b"1", b"2"):
            raise BackupError(
                f"a link in the archive: {member.name!r}", "", "the vendor's archives have none; do not trust this one"
            )
        else:
            raise BackupError(
                f"a member of type {header.kind!r} at byte {self.offset}",
                "",
                "this tar was not made by the vendor's backup",
            )
        self._remaining = member.size
        self._padding = -member.size % BLOCK
        if not self._remaining:
            self._complete()

    def _complete(self) -> None:
        if self._long is not None:
            self._name = bytes(self._long).split(b"\0", 1)[0]
            self._long = None
        elif self._open:
            self._open = False
            self._sink.end()
