"""Whether there is room for a restore, computed before it starts."""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from encaja.restore.archive import crypt, gzips, sqldump, tars
from encaja.restore.archive.tree import safe_name
from encaja.restore.errors import TargetNotReady

_DATABASE_FACTOR = 1.6
"""Bytes of InnoDB files per byte of dump, keys included; measured between 0.9 (text) and 1.5 (many keys)."""
_RESERVE = 256 << 20


@dataclass(frozen=True)
class Need:
    """Bytes that a folder has to take."""

    what: str
    folder: Path
    bytes: int


def dump_size(first_bytes: bytes) -> int:
    """Bytes of the dump's parts whose headers are among the archive's first (decrypted) tar bytes."""
    total, position = 0, 0
    while position + tars.BLOCK <= len(first_bytes):
        try:
            header = tars.parse_header(first_bytes[position : position + tars.BLOCK], position)
        except tars.TarError:
            break
        name = safe_name(header.member.name)
        if header.kind == b"0" and sqldump.DUMP_NAME.fullmatch(name) and not sqldump.AFTER_CONNECT_NAME.fullmatch(name):
            total += header.member.size
        position += tars.BLOCK + header.member.size + -header.member.size % tars.BLOCK
    return total


def needs(
    *, unpacked: int, dump: int, volumes_room: int, tree: Path, volumes: Path, spool: Path, database: Path | None
) -> list[Need]:
    """What goes where.

    Args:
        unpacked: bytes of the unpacked archive.
        dump: bytes of the dump in it.
        volumes_room: bytes of volumes still to come; negative when volumes give room back while they are consumed.
        tree: folder of the new tree.
        volumes: folder of the volumes.
        spool: folder of the dump's statements to be loaded.
        database: folder of the database, when it is on this machine.
    """
    result = [
        Need("site tree", tree, max(0, unpacked - dump)),
        Need("volumes", volumes, volumes_room),
        Need("statements to be loaded", spool, dump),
    ]
    if database:
        result.append(Need("database", database, int(dump * _DATABASE_FACTOR)))
    return result


def check_space(wanted: list[Need], *, low_disk: bool = False) -> None:
    """Compare what is needed with what is free, file system by file system.

    Args:
        wanted: what goes where.
        low_disk: volumes are deleted as they are consumed already, so the message does not propose it.

    Raises:
        TargetNotReady: it does not fit; the message says where and how much.
    """
    groups: dict[int, list[Need]] = defaultdict(list)
    for need in wanted:
        folder = need.folder
        while not folder.exists():
            folder = folder.parent
        groups[folder.stat().st_dev].append(Need(need.what, folder, need.bytes))
    for group in groups.values():
        status = os.statvfs(group[0].folder)
        free = status.f_bavail * status.f_frsize
        needed = sum(need.bytes for need in group) + _RESERVE
        if needed > free:
            parts = ", ".join(f"{need.what} {need.bytes / 2**30:.1f} GiB" for need in group if need.bytes)
            hint = "free space" + ("" if low_disk else ", or restore with low disk use (consumed volumes are deleted)")
            raise TargetNotReady(
                f"{needed / 2**30:.1f} GiB are needed ({parts}), {free / 2**30:.1f} GiB are free",
                str(group[0].folder),
                hint,
            )


def unpack_prefix(data: bytes, *, compressed: bool, decryptor: crypt.Decryptor | None) -> bytes:
    """The first tar bytes of an archive, from the first stored bytes of its first volume."""
    plain = b""
    if not compressed:
        plain = data
    else:
        with suppress(zlib.error):  # a damaged head is found when its volume is proven
            for piece in gzips.GzipDecoder().feed(data):
                plain += piece
    if decryptor is None:
        return plain
    body = plain[crypt.HEADER_LENGTH :]
    return decryptor.update(body[: len(body) // 16 * 16])
