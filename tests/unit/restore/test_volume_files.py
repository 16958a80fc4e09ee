"""The files of volumes while they arrive, and what of them is said to be there, with the power cut in between."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.restore.errors import BackupError
from encaja.restore.fetch.fetcher import Fetcher
from encaja.restore.fetch.plan import Volume
from encaja.restore.fetch.state import FILE_NAME, FetchState, VolumeState, gaps, load_state, merge
from encaja.restore.fetch.volume_files import PartFile


def volume(folder: Path, number: int = 0) -> Volume:
    return Volume(number, VolumeState("partial", 100), PartFile(folder / f"v.{number}"))


def fetcher(folder: Path, *volumes: Volume) -> Any:
    """A fetcher with these volumes that saves for real."""
    made: Any = Fetcher.__new__(Fetcher)
    made._volumes = {one.number: one for one in volumes}
    made._condition, made._saving = threading.Condition(), threading.Lock()
    made._state, made._directory = FetchState("a.tar", 2), folder
    return made


def said(folder: Path) -> list[list[int]]:
    """The intervals that a run after a power cut would believe."""
    file = folder / FILE_NAME
    return json.loads(file.read_text())["volumes"]["0"]["done"] if file.exists() else []


def test_bytes_count_as_here_only_once_they_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = volume(tmp_path)
    made = fetcher(tmp_path, one)
    one.part.write(one.part.open(), b"x" * 40, 0)
    one.state.done = [(0, 40)]
    made._write_state()
    assert said(tmp_path) == [], "they are not forced to the disk yet"
    seen: list[list[list[int]]] = []
    sync = os.fdatasync

    def force(number: int) -> None:
        seen.append(said(tmp_path))
        one.state.done = [(0, 60)]  # more arrives meanwhile
        sync(number)

    monkeypatch.setattr(os, "fdatasync", force)
    made._save()
    assert seen == [[]], "first the bytes, then the note"
    assert said(tmp_path) == [[0, 40]], "what arrived meanwhile is not on the disk"
    assert one.state.done == [(0, 60)]


def test_what_was_started_over_meanwhile_is_not_said_to_be_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = volume(tmp_path)
    made = fetcher(tmp_path, one)
    one.part.open()
    one.state.done = [(0, 40)]
    monkeypatch.setattr(os, "fdatasync", lambda _: one.restart())
    made._save()
    assert said(tmp_path) == []


def test_a_volume_without_an_open_file_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    one = volume(tmp_path)
    one.synced = [(0, 10)]
    made = fetcher(tmp_path, one)
    made._save()
    assert said(tmp_path) == [[0, 10]]


def test_a_proven_volume_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = volume(tmp_path)
    made = fetcher(tmp_path, one)
    made.name, made._stopping = SimpleNamespace(compressed=True), False
    made._slot = lambda: None
    made._source = SimpleNamespace(sha256=lambda _: None)
    made._fail = lambda error: seen.append(repr(error))
    one.part.write(one.part.open(), b"x", 0)
    seen: list[str] = []
    sync = os.fsync

    def force(number: int) -> None:
        target = Path(f"/proc/self/fd/{number}").readlink()
        seen.append(f"sync {target.name.partition('.json')[0]} {one.part.final.exists()} {one.state.state}")
        sync(number)

    def proof(*_: Any) -> None:
        seen.append(f"proof {one.part.final.exists()}")

    monkeypatch.setattr(os, "fsync", force)
    monkeypatch.setattr("encaja.restore.fetch.fetcher.verify_volume.prove", proof)
    made._prove(one)
    assert seen[:2] == ["sync v.0.part False partial", "proof False"]
    assert (one.state.state, one.part.final.read_bytes(), one.part.path.exists()) == ("good", b"x", False)
    assert json.loads((tmp_path / FILE_NAME).read_text())["volumes"]["0"]["state"] == "good"


def test_a_proof_of_what_was_started_over_gives_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = volume(tmp_path)
    made = fetcher(tmp_path, one)
    made.name, made._stopping = SimpleNamespace(compressed=True), False
    made._slot = lambda: None
    made._source = SimpleNamespace(sha256=lambda _: None)
    one.part.write(one.part.open(), b"x", 0)
    monkeypatch.setattr("encaja.restore.fetch.fetcher.verify_volume.prove", lambda *_: one.restart())
    made._prove(one)
    assert one.state.state == "partial" and not one.part.final.exists()


def test_room_is_reserved_before_anything_arrives(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "v")
    part.allocate(0, 1000)
    assert (part.path.stat().st_size, part.path.stat().st_mode & 0o777) == (1000, 0o600)
    part.allocate(0, 500)
    assert part.path.stat().st_size == 500
    part.close()
    part.close()


def test_a_full_disk_is_told_with_the_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    part = PartFile(tmp_path / "v")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BackupError, match="no room for volume 3 of 7 bytes: No space left"):
        part.allocate(3, 7)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(BackupError):
        part.write(part.open(), b"x", 0)
    part.close()


def test_a_write_that_is_taken_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = PartFile(tmp_path / "v")
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: write(descriptor, bytes(data)[:3], at))
    part.write(part.open(), b"0123456789", 5)
    assert part.path.read_bytes() == b"\0" * 5 + b"0123456789"
    part.close()


def test_what_is_discarded_may_still_be_written_to_and_is_gone(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "v")
    old = part.open()
    part.final.write_bytes(b"old")
    part.discard()
    assert list(tmp_path.iterdir()) == []
    part.write(old, b"late", 0)
    new = part.open()
    assert new != old and part.path.read_bytes() == b""
    part.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(old)
    part.close()


def test_a_detached_descriptor_is_the_takers(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "v")
    assert (part.detach(), part.duplicate()) == (None, None)
    descriptor = part.open()
    assert part.open() == descriptor
    twin = part.duplicate()
    assert twin is not None and twin != descriptor
    os.close(twin)
    assert part.detach() == descriptor
    part.close()
    os.close(descriptor)


def test_a_state_that_is_cut_off_is_none_and_one_of_another_archive_is_refused(tmp_path: Path) -> None:
    state = FetchState("a.tar", 2, 512, "00", {0: VolumeState("partial", 10, "tag", [(0, 5)], 1, "md5", "why", 7)})
    state.save(tmp_path)
    assert load_state(tmp_path, "a.tar") == state
    with pytest.raises(BackupError, match=r"holds a\.tar, the link leads to a\.tar\.gz"):
        load_state(tmp_path, "a.tar.gz")
    text = (tmp_path / FILE_NAME).read_text()
    (tmp_path / FILE_NAME).write_text(text[:-3])
    assert load_state(tmp_path, "b.tar") == FetchState("b.tar")


@pytest.mark.parametrize(
    ("intervals", "merged", "missing"),
    [
        ([], [], [(0, 4), (4, 8), (8, 10)]),
        ([(0, 10)], [(0, 10)], []),
        ([(3, 5), (0, 3)], [(0, 5)], [(5, 9), (9, 10)]),
        ([(0, 6), (2, 4)], [(0, 6)], [(6, 10)]),
        ([(4, 4), (9, 10)], [(9, 10)], [(0, 4), (4, 8), (8, 9)]),
        ([(8, 99)], [(8, 99)], [(0, 4), (4, 8)]),
    ],
)
def test_intervals_and_what_is_missing_between_them(
    intervals: list[tuple[int, int]], merged: list[tuple[int, int]], missing: list[tuple[int, int]]
) -> None:
    assert (merge(intervals), gaps(intervals, 10, 4)) == (merged, missing)
