"""Whether a backup can be restored from where the inventory says it is: reachable, complete, and how big.

The host reads the first bytes (it is the one that will fetch); what they mean is decided here, by the code that
restores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from encaja.errors import EncajaError
from encaja.restore.archive import gzips, verify_volume
from encaja.restore.archive.naming import VolumeName
from encaja.restore.errors import BackupError
from encaja.restore.fetch.links import Link, read_index

HEAD_BYTES = 1 << 16
"""Bytes of the first volume that are needed: they hold the format's header, with the number of volumes."""
SAMPLE = 12
_NEW_LINK = "get a new link from the vendor's support and set encaja_backup_source"


@dataclass(frozen=True)
class Look:
    """What was found: number of volumes, bytes of all (0 for unknown), and faults (what, hint)."""

    volumes: int = 0
    size: int = 0
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def said(self) -> str:
        """One line of text."""
        if not self.volumes:
            return "nothing known"
        return f"{self.volumes} volume{'s' if self.volumes > 1 else ''}, about {self.size / 1e9:.2f} GB"


def _refused(error: EncajaError) -> Look:
    return Look(faults=((error.what, error.hint or "see docs/restore.md"),))


def check_link(url: str) -> Look | None:
    """What is wrong with an address, before any request; None where nothing is."""
    try:
        Link(url)
    except EncajaError as error:
        return _refused(error)
    return None


def judge_link(
    url: str, *, status: int, error: str, head: bytes, first_size: int, index: str = "", volumes: int = 0
) -> Look:
    """What a link leads to.

    Args:
        url: address of the first volume.
        status: the server's answer; 0 for none.
        error: why there was none.
        head: the first bytes.
        first_size: bytes of the first volume; 0 for unknown.
        index: the page of the volumes' folder, for forms that do not say how many there are.
        volumes: their number, where the inventory gives it.
    """
    link = Link(url)
    if not status:
        return Look(faults=((f"{link.where} cannot be reached: {error}", "give the host access to that server"),))
    if status >= 400:
        return Look(faults=((f"{link.where} does not lead to the backup (HTTP {status})", _NEW_LINK),))
    try:
        verify_volume.check_first_block(link.name, verify_volume.unpack_head(link.name, head), link.where)
        header = gzips.read_header(head) if link.name.compressed else None
    except BackupError as fault:
        return Look(faults=((f"{link.where} is no backup: {fault.what}", _NEW_LINK),))
    count = (header.last or 0) + 1 if header and header.size is not None else volumes
    entries = {} if count else read_index(index, link.folder, link.name)
    missing = sorted(set(range(max(entries, default=-1) + 1)) - set(entries))
    if missing:
        named = ", ".join(str(link.name.volume(number)) for number in missing[:3])
        return Look(faults=((f"volumes are missing at {link.folder}: {named}", "have the vendor make a new backup"),))
    count = count or len(entries)
    if not count:
        what = f"{link.where} does not say how many volumes it has, and there is no list of them"
        return Look(faults=((what, "set restore_volumes or restore_listing"),))
    return Look(count, count * first_size)


def sampled(volumes: int) -> list[int]:
    """The volumes whose sizes are asked for: the first and the last among them. Texts shrink more than pictures do."""
    if volumes <= SAMPLE:
        return list(range(volumes))
    return sorted({round(number * (volumes - 1) / (SAMPLE - 1)) for number in range(SAMPLE)})


def judge_volumes(url: str, look: Look, answers: Mapping[int, tuple[int, int]]) -> Look:
    """The finding, with what the server answered for some volumes (number: status and size)."""
    link = Link(url)
    lost = [number for number, (status, _) in answers.items() if not status or status >= 400]
    if lost:
        named = ", ".join(str(link.name.volume(number)) for number in lost[:3])
        what = f"of {look.volumes} volumes the server does not give {named}"
        return replace(look, faults=((what, "have the vendor make a new backup, or get a new link"),))
    return replace(look, size=round(look.volumes * sum(size for _, size in answers.values()) / len(answers)))


def judge_folder(folder: str, files: Mapping[str, int], head: bytes) -> Look:
    """What a folder holds.

    Args:
        folder: its path.
        files: sizes by file name.
        head: the first bytes of the first volume.
    """
    archives: dict[str, dict[int, int]] = {}
    for name, size in files.items():
        parsed = VolumeName.parse(name)
        if parsed:
            archives.setdefault(parsed.archive, {})[parsed.number] = size
    if not archives:
        return Look(faults=((f"no backup in {folder}", "copy its volumes there, or set encaja_backup_source"),))
    if len(archives) > 1:
        what = f"{len(archives)} archives in {folder}: {', '.join(sorted(archives))}"
        return Look(faults=((what, "leave one of them there"),))
    archive, sizes = next(iter(archives.items()))
    first = VolumeName.require(archive)
    if 0 not in sizes:
        return Look(faults=((f"the first volume is missing in {folder}: {archive}", "copy it there"),))
    try:
        verify_volume.check_first_block(first, verify_volume.unpack_head(first, head), f"{folder}/{archive}")
        header = gzips.read_header(head) if first.compressed else None
    except BackupError as fault:
        return Look(faults=((f"{folder}/{archive} is no backup: {fault.what}", "copy it again"),))
    count = (header.last or 0) + 1 if header and header.size is not None else max(sizes) + 1
    missing = [str(first.volume(number)) for number in range(count) if number not in sizes]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = f"{len(missing)} of {count} volumes are missing in {folder}: {', '.join(missing[:3])}{more}"
        return Look(count, sum(sizes.values()), ((what, "copy them there"),))
    return Look(count, sum(sizes.values()))


def first_of(files: Sequence[str]) -> str:
    """The first volume among file names; empty without one."""
    return next((name for name in sorted(files) if (parsed := VolumeName.parse(name)) and not parsed.number), "")
