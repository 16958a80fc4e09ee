"""The list of a tree's files with the state of each, made in the same way on both sides of a copy."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from encaja.errors import EncajaError

EXCLUDED: Final = (
    "bitrix/backup",
    "bitrix/cache",
    "bitrix/html_pages",
    "bitrix/managed_cache",
    "bitrix/stack_cache",
    "bitrix/tmp",
)
"""Directories whose content is not copied: caches, archives and what is temporary. Source: portal.md 1.2."""
PARTIAL: Final = ".encaja-partial"
Manifest = dict[str, str]
"""Path to what is known of it: type, mode, size, time of the last change, target of a link, digest of the content."""


def tree_name(text: str) -> str:
    """The name of a tree, which the other side gave.

    Raises:
        EncajaError: it is none, and could lead elsewhere.
    """
    if text in ("", ".", "..") or not text.isprintable() or "/" in text:
        raise EncajaError("that is not the name of a tree", repr(text[:40]), "see which tree the source's www leads to")
    return text


def entries(tree: Path, contents: bool = False) -> Iterator[tuple[str, str]]:
    """Every file, directory and link of a tree with its state.

    Args:
        tree: the portal's document root.
        contents: read every file, and add the digest of its content.
    """
    excluded = {str(tree / name) for name in EXCLUDED}
    waiting = [str(tree)]
    above = len(str(tree)) + 1
    while waiting:
        folder = waiting.pop()
        try:
            found = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        for entry in found:
            if entry.name == PARTIAL:
                continue
            known = _known(entry, contents)
            if known is None:
                continue
            yield entry.path[above:], known
            if entry.is_dir(follow_symlinks=False) and entry.path not in excluded:
                waiting.append(entry.path)


def _known(entry: os.DirEntry[str], contents: bool) -> str | None:
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return f"l {Path(entry.path).readlink()}"
        mode = f"{stat.S_IMODE(status.st_mode):o}"
        if stat.S_ISDIR(status.st_mode):
            return f"d {mode}"
        digest = f" {_digest(entry.path)}" if contents and stat.S_ISREG(status.st_mode) else ""
    except FileNotFoundError:
        return None
    return f"f {mode} {status.st_size} {int(status.st_mtime)}{digest}"


def _digest(path: str) -> str:
    with open(path, "rb") as stream:  # noqa: PTH123 - called a million times
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def pack(found: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """The manifest as bytes: path and state of each entry, each ended by a zero byte."""
    for path, known in found:
        yield os.fsencode(path) + b"\0" + os.fsencode(known) + b"\0"


def unpack(text: bytes) -> Manifest:
    """The manifest that ``pack`` made.

    Raises:
        EncajaError: it is cut off.
    """
    *found, left = text.split(b"\0")
    if left or len(found) % 2:
        raise EncajaError("is cut off", "the source's list of files", "run it again")
    parts = [os.fsdecode(part) for part in found]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison: entries alike, entries that changed at the source, and faults."""

    alike: int
    moved_on: int
    faults: list[str]


def compare(source: Mapping[str, str], copy: Mapping[str, str], before: Mapping[str, str], since: int) -> Comparison:
    """Compare a copy with its source, which is in use.

    Args:
        source: the source now.
        copy: the copy.
        before: the source when copying began; what was there then and is gone now may be in the copy.
        since: the source's time, in seconds, when copying began; what changed later may differ.
    """
    alike = moved_on = 0
    faults = []
    for path in sorted({*source, *copy}):
        there, here = source.get(path), copy.get(path)
        if there == here:
            alike += 1
        elif _moved_on(path, there, here, before, since):
            moved_on += 1
        else:
            said = "is missing" if here is None else "is not in the source" if there is None else "differs"
            faults.append(f"{path} {said}")
    return Comparison(alike, moved_on, faults)


def _moved_on(path: str, there: str | None, here: str | None, before: Mapping[str, str], since: int) -> bool:
    """Whether a difference comes from what happened at the source since copying began."""
    if there is None:
        return path in before or _time(here) >= since
    return there != before.get(path) or _time(there) >= since


def _time(known: str | None) -> int:
    try:
        return int(known.split(" ")[3]) if known and known.startswith("f ") else -1
    except (IndexError, ValueError):
        return -1
