"""An archive in a folder: what it is, what is missing, and which volumes are bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from encaja.restore.archive import crypt, gzips, tars
from encaja.restore.archive.doubles import are_doubles
from encaja.restore.archive.naming import VolumeSet
from encaja.restore.archive.stream import first_block
from encaja.restore.archive.verify_volume import common_size
from encaja.restore.errors import BackupError, BadVolume

_FORMS = {
    ".tar": "tar",
    ".tar.gz": "tar, compressed",
    ".enc": "tar, encrypted",
    ".enc.gz": "tar, encrypted and compressed",
}


@dataclass(frozen=True)
class Description:
    """What the volumes say about themselves.

    Attributes:
        name: name of the first volume.
        form: the archive's form in words.
        encrypted: whether a password is needed.
        present: number of volumes that are there.
        expected: number of volumes the archive has; None where the form does not say.
        missing: numbers of the volumes that are not there.
        stored_bytes: bytes of the volumes that are there.
        unpacked_bytes: unpacked bytes of the volumes that are there, as their headers say; None where they do not say.
        sizes: stored bytes by volume number.
        problems: what is already wrong.
    """

    name: str
    form: str
    encrypted: bool
    present: int
    expected: int | None
    missing: list[int]
    stored_bytes: int
    unpacked_bytes: int | None
    sizes: dict[int, int]
    problems: list[str]


@dataclass
class Verdict:
    """What was found about one volume: ``good``, ``bad`` or ``missing``, and why."""

    number: int
    name: str
    state: str
    reason: str = ""
    unpacked_bytes: int | None = None


@dataclass
class Verification:
    """What was found about an archive."""

    name: str
    volumes: list[Verdict]
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every volume is good and none is missing."""
        return not self.problems and all(verdict.state == "good" for verdict in self.volumes)


def _header(path: Path) -> gzips.VolumeHeader | None:
    with path.open("rb") as source:
        return gzips.read_header(source.read(gzips.HEADER_LENGTH))


def expected_volumes(volumes: VolumeSet) -> int | None:
    """How many volumes the archive has, as its first one says; None where its form does not say."""
    if not volumes.first.compressed or 0 not in volumes.volumes:
        return None
    header = _header(volumes.volumes[0])
    if header is None or header.size is None:
        return None
    return (header.last or 0) + 1


def describe(volumes: VolumeSet) -> Description:
    """Describe an archive from the volumes' names, sizes and headers, without unpacking it."""
    expected = expected_volumes(volumes)
    top = max(max(volumes.volumes) + 1, expected or 0)
    sizes = {number: path.stat().st_size for number, path in volumes.volumes.items()}
    problems: list[str] = []
    unpacked: int | None = 0
    for number, path in volumes.volumes.items():
        if not volumes.first.compressed:
            unpacked = None if unpacked is None else unpacked + sizes[number]
            continue
        header = _header(path)
        if header is None:
            problems.append(f"volume {number} is not a gzip file")
        elif header.unfinished:
            problems.append(f"volume {number} was never finished by its writer")
        if header is None or header.size is None:
            unpacked = None
        elif unpacked is not None:
            unpacked += header.size
    if expected is not None and max(volumes.volumes) >= expected:
        problems.append(f"{max(volumes.volumes) + 1} volumes, but the first one says {expected}")
    if volumes.first.encrypted and 0 in volumes.volumes:
        try:
            crypt.check_header(first_block(volumes.first, volumes.volumes[0]))
        except BackupError as error:
            problems.append(error.what)
    return Description(
        name=str(volumes.first),
        form=_FORMS[volumes.first.suffix],
        encrypted=volumes.first.encrypted,
        present=len(volumes.volumes),
        expected=expected,
        missing=[number for number in range(top) if number not in volumes.volumes],
        stored_bytes=sum(sizes.values()),
        unpacked_bytes=unpacked,
        sizes=sizes,
        problems=problems,
    )


def _member_size(block: bytes, offset: int) -> tuple[int, str]:
    """Size of the member that a header announces, or why it is no header."""
    try:
        header = tars.parse_header(block, offset)
    except tars.TarError as error:
        return 0, error.reason
    known = header.kind in (b"0", b"\0", b"5", b"L")
    return header.member.size, "" if known else f"a member of type {header.kind!r}"


class _RawArchive:
    """Random access to the tar stream of volumes without gzip, across missing and short ones."""

    def __init__(self, volumes: VolumeSet, slot: int, password: str | None) -> None:
        self._volumes = volumes
        self._slot = slot
        self._shift = crypt.HEADER_LENGTH if volumes.first.encrypted else 0
        self._decryptor = (
            crypt.open_header(first_block(volumes.first, volumes.path(0)), password, str(volumes.path(0)))
            if volumes.first.encrypted
            else None
        )
        self._opened: tuple[Path, BinaryIO] | None = None
        top = max(volumes.volumes)
        self.length = top * slot + volumes.volumes[top].stat().st_size - self._shift

    def volume_of(self, offset: int) -> int:
        return (offset + self._shift) // self._slot

    def block(self, offset: int) -> bytes | None:
        """One tar block; None where its volume is missing or too short."""
        number, inside = divmod(offset + self._shift, self._slot)
        path = self._volumes.volumes.get(number)
        if path is None:
            return None
        if self._opened is None or self._opened[0] != path:
            self.close()
            self._opened = path, path.open("rb")
        source = self._opened[1]
        source.seek(inside)
        data = source.read(tars.BLOCK)
        if len(data) < tars.BLOCK:
            return None
        return self._decryptor.update(data) if self._decryptor else data

    def close(self) -> None:
        """Let go of the volume that was read last."""
        if self._opened:
            self._opened[1].close()
            self._opened = None

    def bad_headers(self) -> Iterator[tuple[int, str]]:
        """Walk from header to header; after a bad one continue at the next block that is one."""
        offset, lost = 0, False
        while offset < self.length:
            block = self.block(offset)
            if block is None:
                lost = True
                offset = (self.volume_of(offset) + 1) * self._slot - self._shift
                continue
            if not any(block):
                offset += tars.BLOCK
                continue
            size, reason = _member_size(block, offset)
            if reason:
                if not lost:
                    yield self.volume_of(offset), f"tar header at byte {offset % self._slot}: {reason}"
                lost = True
                offset += tars.BLOCK
                continue
            lost = False
            offset += tars.BLOCK + size + -size % tars.BLOCK
        if offset > self.length:
            yield self.volume_of(self.length - 1), "the archive ends in the middle of a file"


def _common_size(sizes: dict[int, int]) -> int | None:
    """The size that volumes before the last one have to have."""
    return common_size(size for number, size in sizes.items() if number != max(sizes))


def _check_sizes(verdicts: dict[int, Verdict], last: int) -> None:
    """Every volume but the last holds the same number of unpacked bytes, and the last one no more."""
    sizes = {
        number: v.unpacked_bytes for number, v in verdicts.items() if v.state == "good" and v.unpacked_bytes is not None
    }
    if last not in sizes:
        sizes[last] = 0
    common = _common_size(sizes)
    if common is None:
        return
    for number, size in sizes.items():
        if (number < last and size != common) or size > common:
            verdicts[number].state = "bad"
            verdicts[number].reason = f"holds {size} unpacked bytes, the others {common}"


def _prove_compressed(
    volumes: VolumeSet, verdicts: dict[int, Verdict], progress: Callable[[int], None], threads: int
) -> None:
    def prove(number: int) -> None:
        verdict = verdicts[number]
        try:
            verdict.unpacked_bytes = gzips.prove_volume(volumes.volumes[number], number)
            verdict.state = "good"
        except BadVolume as error:
            verdict.state, verdict.reason = "bad", error.reason
        progress(volumes.volumes[number].stat().st_size)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(prove, volumes.volumes))


def _prove_raw(
    volumes: VolumeSet, verdicts: dict[int, Verdict], password: str | None, progress: Callable[[int], None]
) -> None:
    for number, path in volumes.volumes.items():
        size = path.stat().st_size
        verdicts[number].unpacked_bytes = size
        if not size or size % tars.BLOCK:
            verdicts[number].state, verdicts[number].reason = "bad", f"{size} bytes, no multiple of 512"
        progress(size)
    sizes = {number: verdict.unpacked_bytes or 0 for number, verdict in verdicts.items() if verdict.state != "missing"}
    slot = _common_size(sizes) or max(sizes.values())
    if 0 not in volumes.volumes:
        return
    with closing(_RawArchive(volumes, slot, password)) as archive:
        for number, reason in archive.bad_headers():
            verdict = verdicts.get(number)
            if verdict and verdict.state == "good":
                verdict.state, verdict.reason = "bad", reason


def verify(
    volumes: VolumeSet,
    password: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
    threads: int = 2,
) -> Verification:
    """Verify every volume of an archive as far as its form allows.

    With gzip: checksums and lengths of all members, the size field, equal sizes, the number of volumes. Without:
    sizes and the tar headers (nothing in the format covers the content of files there).

    Args:
        volumes: the archive.
        password: needed for ``.enc`` (its tar headers are encrypted) and checked for ``.enc.gz`` when given.
        progress: called with stored bytes as they are done.
        threads: volumes verified at a time.
    """
    expected = expected_volumes(volumes)
    top = max(max(volumes.volumes) + 1, expected or 0)
    verdicts = {
        number: Verdict(number, str(volumes.first.volume(number)), "good" if number in volumes.volumes else "missing")
        for number in range(top)
    }
    result = Verification(str(volumes.first), list(verdicts.values()))
    if volumes.first.encrypted and 0 in volumes.volumes and (password is not None or not volumes.first.compressed):
        block = first_block(volumes.first, volumes.volumes[0])
        if len(block) == crypt.HEADER_LENGTH:
            crypt.open_header(block, password, str(volumes.volumes[0]))
    if volumes.first.compressed:
        _prove_compressed(volumes, verdicts, progress, threads)
    else:
        _prove_raw(volumes, verdicts, password, progress)
    _check_sizes(verdicts, top - 1)
    for number, path in volumes.volumes.items():
        before = volumes.volumes.get(number - 1)
        if before and verdicts[number].state == "good" and are_doubles(volumes.first, path, before):
            verdicts[number].state, verdicts[number].reason = "bad", f"it holds the same as volume {number - 1}"
    for verdict in verdicts.values():
        if verdict.state == "missing":
            verdict.reason = "not there"
    if expected is not None and max(volumes.volumes) >= expected:
        result.problems.append(f"{max(volumes.volumes) + 1} volumes, but the first one says {expected}")
    return result
