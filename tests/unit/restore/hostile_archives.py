"""Archives that somebody crafted: each one is made by a function that writes its volumes into a folder."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from backup_archives import gzip_volume, tar_entry

Maker = Callable[[Path], None]
DUMP = b"SET NAMES 'utf8mb4';\n-- Finished: now"
DUMP_NAME = b"bitrix/backup/a.sql"


def header(name: bytes = b"x.php", **fields: bytes) -> bytes:
    """A member's header whose fields are as given, with a checksum that fits (unless ``checksum`` is given)."""
    places = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "kind": (156, 1), "link": (157, 100)}
    block = bytearray(512)
    for field, value in {"name": name, "mode": b"644", "size": b"0", "kind": b"0", **fields}.items():
        if field != "checksum":
            at, length = places[field]
            block[at : at + length] = value[:length].ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = fields.get("checksum", b"%o" % sum(block)).ljust(8, b"\0")
    return bytes(block)


def honest(*more: bytes) -> bytes:
    """A tar stream with a dump at its front, and then what is given."""
    return tar_entry(DUMP_NAME, DUMP) + b"".join(more)


def long_name(name: bytes) -> bytes:
    return header(b"././@LongLink", kind=b"L", size=b"%o" % len(name)) + name + bytes(-len(name) % 512)


def packed(data: Iterable[bytes], declared: int | None, last: int = 0) -> bytes:
    """A volume that declares a number of unpacked bytes, or none, whatever it holds."""
    empty = zlib.compressobj(wbits=-15)
    nothing = empty.compress(b"") + empty.flush() + bytes(8)
    extra = b"" if declared is None else b"LN" + struct.pack("<H", last) + b"BX" + struct.pack("<I", declared)
    front = b"\x1f\x8b\x08\x04\0\0\0\0\0\x03" + struct.pack("<H", len(extra)) + extra + nothing
    member = zlib.compressobj(1, wbits=31)
    return front + b"".join(member.compress(piece) for piece in data) + member.flush()


def of_stream(stream: bytes, name: str = "a.tar.gz") -> Maker:
    """One volume that holds a stream."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(gzip_volume(stream) if name.endswith(".gz") else stream)

    return make


def of_files(**files: bytes) -> Maker:
    """Files by name; ``__`` in a name stands for a dot."""

    def make(folder: Path) -> None:
        for name, data in files.items():
            (folder / name.replace("__", ".")).write_bytes(data)

    return make


def of_bomb(pieces: Callable[[], Iterable[bytes]], declared: int | None, last: int = 0) -> Maker:
    """A volume that is packed only when it is wanted."""

    def make(folder: Path) -> None:
        (folder / "a.tar.gz").write_bytes(packed(pieces(), declared, last))

    return make


def zeros(count: int) -> Iterable[bytes]:
    return (bytes(1 << 20) for _ in range(count >> 20))


def linked(name: str, target: str) -> Maker:
    """A volume, or a folder, that is a link."""

    def make(folder: Path) -> None:
        if name != "a.tar.gz":
            of_stream(honest())(folder)
        (folder / name).symlink_to(target)

    return make


def piped(folder: Path) -> None:
    """A volume that is a pipe, which nobody writes to."""
    (folder / "a.tar").write_bytes(honest())
    os.mkfifo(folder / "a.tar.1")


def sparse(folder: Path) -> None:
    """A last volume that is one hole of the size of a slot."""
    (folder / "a.tar").write_bytes(honest())
    with (folder / "a.tar.1").open("wb") as file:
        file.truncate(1 << 30)


def empty_members(folder: Path) -> None:
    """A volume of very many members that hold nothing."""
    member = zlib.compressobj(wbits=31)
    (folder / "a.tar.gz").write_bytes(gzip_volume(honest()) + member.flush() * 200_000)


def tiny_members(folder: Path) -> None:
    """A dump whose one statement comes byte by byte, each in a member of its own."""
    member = zlib.compressobj(wbits=31)
    one = member.compress(b"a") + member.flush()
    stream = header(DUMP_NAME, size=b"%o" % (1 << 17))
    (folder / "a.tar.gz").write_bytes(gzip_volume(stream) + one * (1 << 17))


def nested_tree(depth: int) -> bytes:
    return b"/".join([b"a"] * depth) + b"/x"


SIZES = {
    "-1000": b"-1000", "-10000": b"-10000", "-7": b"-7", "-512": b"-512", "1_0": b"1_0", "+7": b"+7", "0o17": b"0o17",
    "8": b"8", "0x10": b"0x10", "1 0": b"1 0", "1e3": b"1e3", "spaces-in": b"1\0 1", "letters": b"abc",
    "arabic": "\u0661".encode(), "dot": b"7.", "minus": b"-",
    "negative-256": b"\xff" + bytes(10) + b"\x01", "huge-256": b"\x80" + b"\xff" * 11,
    "max-256": b"\x80\0\0\0\x3f" + b"\xff" * 7, "beyond": b"777777777777",
}  # fmt: skip
"""Sizes that no archive has."""

HOSTILE: dict[str, Maker] = {
    **{f"size {name}": of_stream(honest(header(size=size), bytes(512))) for name, size in SIZES.items()},
    **{
        f"size {name} in the dump": of_stream(header(DUMP_NAME, size=SIZES[name]) + bytes(512))
        for name in ("-1000", "-10000", "-512", "1_0", "huge-256", "beyond")
    },
    **{
        f"size {name} in a tar": of_stream(honest(header(size=SIZES[name]), bytes(512)), "a.tar")
        for name in ("-1000", "-10000", "-512", "1_0", "huge-256", "beyond")
    },
    "size -512 of a long name": of_stream(honest(header(kind=b"L", size=b"-512"), bytes(512))),
    "size 1 GiB of a long name": of_stream(honest(header(kind=b"L", size=b"10000000000"), bytes(4096))),
    "mode -1": of_stream(honest(header(mode=b"-1"))),
    "checksum 1_0": of_stream(honest(header(checksum=b"1_0"))),
    "checksum negative": of_stream(honest(header(checksum=b"-100"))),
    "name out of the tree": of_stream(honest(tar_entry(b"../escaped", b"x"))),
    "name out of the tree, later": of_stream(honest(tar_entry(b"a/../../escaped", b"x"))),
    "absolute name": of_stream(honest(tar_entry(b"/tmp/encaja-escaped", b"x"))),
    "long name out of the tree": of_stream(honest(tar_entry(b"a/" * 60 + b"../" * 61 + b"escaped", b"x"))),
    "no name": of_stream(honest(header(b""))),
    "nothing as long name": of_stream(honest(long_name(b"\0" * 10), header())),
    "long name of long names": of_stream(honest(*(long_name(b"x" * 200) for _ in range(2000)))),
    "symbolic link": of_stream(honest(header(b"l", kind=b"2", link=b"/etc"), tar_entry(b"l/x", b"x"))),
    "hard link": of_stream(honest(header(b"l", kind=b"1", link=b"/etc/passwd"))),
    "device": of_stream(honest(header(b"l", kind=b"3"))),
    "pipe": of_stream(honest(header(b"l", kind=b"6"))),
    "pax header": of_stream(honest(header(b"l", kind=b"x", size=b"14"), b"20 size=-10000\n".ljust(512, b"\0"))),
    "sparse member": of_stream(honest(header(b"l", kind=b"S"))),
    "file as folder": of_stream(honest(tar_entry(b"a", b"x"), tar_entry(b"a/b", b"x"))),
    "folder as file": of_stream(honest(tar_entry(b"a/b", b"x"), tar_entry(b"a", b"x"))),
    "the tree itself as file": of_stream(honest(tar_entry(b"./.", b"x"))),
    "name too long for a file": of_stream(honest(tar_entry(b"x" * 300, b"x"))),
    "folders too deep": of_stream(honest(long_name(nested_tree(1000)), header())),
    "path too long": of_stream(honest(long_name(nested_tree(3000)), header())),
    "cut in a member": of_stream(honest(header(size=b"2000"), bytes(512))),
    "cut in a header": of_files(a__tar__gz=gzip_volume(honest(header()[:256]))),
    "data after the end": of_stream(honest(bytes(1024), tar_entry(b"x", b"x"))),
    "nothing but zeros": of_bomb(lambda: [honest(), *zeros(64 << 20)], len(honest()) + (64 << 20)),
    "bomb of 2 GiB that declares little": of_bomb(lambda: zeros(2 << 30), 1024),
    "bomb of 2 GiB that declares nothing": of_bomb(lambda: zeros(2 << 30), None),
    "bomb in a bomb": of_files(a__tar__gz=packed([packed(zeros(64 << 20), 512)], 512)),
    "unfinished": of_files(a__tar__gz=packed([honest()], 0x30303030)),
    "declares more than it holds": of_files(a__tar__gz=packed([honest()], 1 << 20)),
    "declares 65,536 volumes": of_files(a__tar__gz=packed([honest()], len(honest()), 65535)),
    "cut in its member": of_files(a__tar__gz=gzip_volume(honest())[:-9]),
    "garbage after its member": of_files(a__tar__gz=gzip_volume(honest()) + b"garbage"),
    "only a header": of_files(a__tar__gz=b"\x1f\x8b\x08"),
    "empty": of_files(a__tar__gz=b""),
    "a web page": of_files(a__tar__gz=b"<html>log in</html>"),
    "a volume that refers to itself": linked("a.tar.gz", "a.tar.gz"),
    "a volume that refers to the first": linked("a.tar.gz.1", "a.tar.gz"),
    "a volume that is the null device": linked("a.tar.gz", "/dev/null"),
    "a volume that never ends": linked("a.tar.gz", "/dev/zero"),
    "a tar numbered up to 65,535": of_files(a__tar=honest(), a__tar__65535=honest()),
    "a tar of holes": sparse,
    "a tar whose first volume is missing": of_files(a__tar__7=honest()),
    "a tar of odd length": of_files(a__tar=honest() + b"x"),
    "an encrypted one that is not": of_files(a__enc=honest()),
    "an encrypted one of nothing": of_files(a__enc__gz=gzip_volume(b"")),
    "an encrypted one of another version": of_files(
        a__enc=(bytes(100) + b"Bitrix Encrypted File".ljust(90, b"\0") + b"9.9").ljust(1024, b"\0")
    ),
    "a statement byte by byte": tiny_members,
}  # fmt: skip
"""Archives that have to be refused, by name."""

HARMLESS: dict[str, Maker] = {
    "a volume numbered 2,000,000,000": of_files(a__tar=honest(), a__tar__2000000000=honest()),
    "a volume numbered with 200 digits": of_files(**{"a__tar": honest(), "a__tar__" + "9" * 200: honest()}),
    "a volume numbered 65,536 of gzip": of_files(a__tar__gz=gzip_volume(honest()), a__tar__gz__65536=b""),
    "a folder that holds itself": linked("folder", "."),
    "a pipe as a volume": piped,
    "200,000 members of nothing": empty_members,
    "folders in folders in folders": of_stream(
        honest(*(long_name(nested_tree(200).replace(b"a", b"%d" % number)) + header() for number in range(100)))
    ),
    "names of control characters": of_stream(honest(tar_entry(b"\x1b[2J\n\r\x07", b"x"))),
    "the same file 2,000 times": of_stream(honest(*(tar_entry(b"x", b"x") for _ in range(2000)))),
}
"""Archives of which what is sound can be unpacked, and nothing else."""
