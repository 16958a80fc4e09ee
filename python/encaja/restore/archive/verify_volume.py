"""Proving one volume on arrival, by everything that its form and its server say about it."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from encaja.restore.archive import crypt, gzips, tars
from encaja.restore.archive.naming import VolumeName
from encaja.restore.archive.sqldump import AFTER_CONNECT_NAME, DUMP_NAME
from encaja.restore.errors import BackupError, BadVolume

FRONT = (b"bitrix/.config.php",)
"""What may stand before the dump (main 26.250: left over from the vendor's cloud)."""
_MD5_TAG = re.compile(r'"([0-9a-fA-F]{32})"')


class Stopped(Exception):  # noqa: N818
    """Verifying was stopped; nothing is known about the volume."""


class DigestMismatch(BadVolume):
    """The content is not what the server's tag says.

    Args:
        number: the volume's number.
        where: its file.
        md5: digest of what arrived.
    """

    def __init__(self, number: int, where: str, md5: str) -> None:
        super().__init__(number, "its MD5 is not the one in the server's ETag", where)
        self.md5 = md5


@dataclass(frozen=True)
class Expected:
    """What is known of a volume beforehand.

    Attributes:
        number: its number.
        last: whether it is the last one.
        size: stored bytes.
        slot: unpacked bytes of every volume but the last.
        sha256: digest from a listing.
        etag: the server's tag; an MD5 when it looks like one and the content agrees.
        count: number of volumes of the archive.
        rejected_md5: digest of the content that was rejected for its tag: the same content twice is not a bad transfer.
    """

    number: int
    last: bool
    size: int | None
    slot: int | None
    sha256: str | None
    etag: str | None
    count: int
    rejected_md5: str | None


def common_size(sizes: Iterable[int]) -> int | None:
    """The size that most volumes have; of two as frequent ones the larger, because transfers lose bytes."""
    counted = Counter(sizes)
    return max(counted, key=lambda size: (counted[size], size)) if counted else None


def prove(name: VolumeName, file: Path, expected: Expected, stopped: Callable[[], bool]) -> None:
    """Prove a volume.

    Args:
        name: any volume's name of the archive.
        file: where the volume is.
        expected: what is known of it.
        stopped: asked often; true breaks the proof off.

    Raises:
        BadVolume: it is damaged.
        Stopped: verifying was stopped.
    """
    number, where = expected.number, str(file)
    size = file.stat().st_size
    if expected.size is not None and size != expected.size:
        raise BadVolume(number, f"{size} bytes arrived, the server announced {expected.size}", where)

    def step(_: int) -> None:
        if stopped():
            raise Stopped

    if name.compressed:
        unpacked = gzips.prove_volume(file, number, step)
        _check_count(file, expected)
    else:
        unpacked = size
        if not size or size % tars.BLOCK:
            raise BadVolume(number, f"{size} bytes, no multiple of 512", where)
    if expected.slot is not None and (unpacked > expected.slot or (unpacked < expected.slot and not expected.last)):
        raise BadVolume(number, f"holds {unpacked} unpacked bytes, the others {expected.slot}", where)
    if expected.sha256 and _digest(file, "sha256") != expected.sha256:
        raise BadVolume(number, "its SHA-256 is not the expected one", where)
    tag = _MD5_TAG.fullmatch(expected.etag or "")
    if tag:
        md5 = _digest(file, "md5")
        if md5 not in (tag[1].lower(), expected.rejected_md5):
            raise DigestMismatch(number, where, md5)


def _check_count(file: Path, expected: Expected) -> None:
    """No checksum covers the number of volumes: it has to be the same in two transfers."""
    with file.open("rb") as source:
        header = gzips.read_header(source.read(gzips.HEADER_LENGTH))
    if expected.number == 0 and header and header.size is not None and (header.last or 0) + 1 != expected.count:
        raise BadVolume(0, f"speaks of {(header.last or 0) + 1} volumes, before it was {expected.count}", str(file))


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def unpack_head(name: VolumeName, head: bytes) -> bytes:
    """The archive's first 512 bytes, from the first stored bytes of its first volume; b"" when they are damaged."""
    if not name.compressed:
        return head[: crypt.HEADER_LENGTH]
    block = b""
    try:
        for piece in gzips.GzipDecoder().feed(head):
            block += piece
            if len(block) >= crypt.HEADER_LENGTH:
                break
    except zlib.error:
        return b""
    return block[: crypt.HEADER_LENGTH]


def check_first_block(name: VolumeName, block: bytes, where: str) -> None:
    """Refuse what is not an archive at all (a log-in page, another file).

    Raises:
        BackupError: it is none.
    """
    hint = "check the link or the folder; the first volume of the vendor's backup is needed"
    if len(block) < tars.BLOCK:
        raise BackupError(f"this is not a {name.suffix} archive", where, hint)
    if name.encrypted:
        crypt.check_header(block, where)
        return
    try:
        tars.parse_header(block, 0)
    except tars.TarError as error:
        raise BackupError(f"this is not a {name.suffix} archive ({error.reason})", where, hint) from error


def check_front(tar: bytes, where: str) -> None:
    """Refuse a tar that is not the backup of a portal: its dump comes first.

    Args:
        tar: the archive's first tar bytes.
        where: the archive, for messages.

    Raises:
        BackupError: something else comes first.
    """
    position = 0
    while position + tars.BLOCK <= len(tar):
        header = tars.parse_header(tar[position : position + tars.BLOCK], position)
        name = header.member.name.removeprefix(b"./")
        if DUMP_NAME.fullmatch(name) and not AFTER_CONNECT_NAME.fullmatch(name):
            return
        if name not in FRONT and not AFTER_CONNECT_NAME.fullmatch(name):
            shown = name.decode(errors="replace")
            raise BackupError(
                f"the archive has no dump at its front, but {shown!r}",
                where,
                "this is no full backup of a portal; take one with its database",
            )
        position += tars.BLOCK + header.member.size + -header.member.size % tars.BLOCK
