"""The vendor's tar dialect: pre-POSIX headers, bare octal numbers, GNU long names, no end-of-archive blocks."""

from __future__ import annotations

import struct

from .errors import BackupWriterError

BLOCK = 512
"""Bytes in a tar block."""

NAME_FIELD = 100
"""Bytes of a path that fit into a header."""

LONGEST_PATH = 512
"""Bytes in the longest path that the format can hold: a long name has one block."""

LONG_LINK = b"././@LongLink"

_FIELDS = struct.Struct("100s 8s 8s 8s 12s 12s 8s c 355x")
_CHECKSUM_AT = 148
_BLANK_CHECKSUM = b" " * 8


def padding(size: int) -> bytes:
    """The NUL bytes that fill up the last block of `size` bytes of content."""
    return bytes(-size % BLOCK)


def entry_header(path: bytes, *, mode: int, uid: int, gid: int, size: int, mtime: int, directory: bool) -> bytes:
    """The header blocks of one file or directory.

    A path over 100 bytes gets a long-name header (its size does not count a closing NUL) and one block of name first.
    A directory has size 0, and a closing slash where its name fits into the header: a long name goes without one.
    """
    path = path.rstrip(b"/")
    if directory:
        size = 0
    if len(path) > LONGEST_PATH:
        shown = path.decode("utf-8", "replace")
        raise BackupWriterError(f"Path is too long: {shown} has {len(path)} bytes, the format holds {LONGEST_PATH}")
    closing = b"/" if directory and len(path) <= NAME_FIELD else b""
    entry = _header((path + closing)[:NAME_FIELD], mode, uid, gid, size, mtime, b"5" if directory else b"0")
    if len(path) <= NAME_FIELD:
        return entry
    return _header(LONG_LINK, mode, uid, gid, len(path), mtime, b"L") + path + padding(len(path)) + entry


def _header(name: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, kind: bytes) -> bytes:
    header = bytearray(
        _FIELDS.pack(
            name,
            _octal(mode & 0o777, 8),
            _octal(uid, 8),
            _octal(gid, 8),
            _octal(size, 12),
            _octal(mtime, 12),
            _BLANK_CHECKSUM,
            kind,
        )
    )
    header[_CHECKSUM_AT : _CHECKSUM_AT + 8] = _octal(sum(header), 8).ljust(8, b"\0")
    return bytes(header)


def _octal(number: int, width: int) -> bytes:
    digits = b"%o" % max(number, 0)
    if len(digits) > width:
        raise BackupWriterError(f"Number {number} does not fit into {width} octal digits of a tar header")
    return digits
