"""The restore's checkpoints, with the power cut at each barrier: what the journal says is on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.restore import journal as journals
from encaja.restore import pipeline as pipelines
from encaja.restore.errors import BadVolume
from encaja.restore.journal import Journal, load_journal
from encaja.restore.pipeline import Pipeline


class Scene:
    """A pipeline whose parts only note what they are asked, in one order; three volumes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, low_disk: bool = False) -> None:
        self.order: list[str] = []
        self.bad: list[int] = []
        self.journal = Journal(folder / "journal.json", "a.tar", "run")
        self.tables = ["a"]
        made: Any = Pipeline.__new__(Pipeline)
        made._journal, made._low_disk, made.number = self.journal, low_disk, 0
        made._source = SimpleNamespace(
            count=3,
            wait=self._wait,
            reject=lambda number, reason: self.order.append(f"reject {number} {reason}"),
            consumed=lambda number, delete: self.order.append(f"consumed {number} {delete}"),
        )
        made._spool = SimpleNamespace(
            commit=lambda ended: self.order.append(f"commit {ended}"), drop=lambda one: self.order.append(f"drop {one}")
        )
        made._router = SimpleNamespace(
            dump_ended=False,
            resume=lambda _, pending: self.order.append(f"resume {pending or 'from the beginning'}"),
            save_pending=lambda name: self.order.append(f"save {name}"),
            forget_pending=lambda name: self.order.append(f"forget {name}"),
            state=dict,
        )
        made._loaders = SimpleNamespace(take_done=self._take_done)
        made._beat = lambda *_: None
        made._read = self._read
        made._reader = SimpleNamespace(state=dict)
        self.pipeline = made
        save = Journal.save

        def saved(journal: Journal) -> None:
            point, durable = journal.checkpoint or {}, journal.durable or {}
            self.order.append(f"journal {point.get('volume')} durable {durable.get('volume')}")
            save(journal)

        monkeypatch.setattr(Journal, "save", saved)
        monkeypatch.setattr(pipelines, "TarReader", lambda *_: SimpleNamespace(state=dict))
        monkeypatch.setattr(os, "sync", lambda: self.order.append("sync"))

    def _wait(self, number: int, beat: Any) -> Path:
        beat()
        return Path(f"{number}")

    def _read(self, path: Path) -> None:
        self.order.append(f"read {path}")
        if int(path.name) in self.bad:
            self.bad.remove(int(path.name))
            raise BadVolume(int(path.name), "damaged", "x")

    def _take_done(self) -> list[str]:
        done, self.tables = self.tables, []
        return done


def test_each_volume_is_shown_then_noted_then_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.pipeline.run()
    assert scene.order == [
        "resume from the beginning",
        "read 0", "commit False", "save pending-1.bin", "journal 1 durable None", "consumed 0 False",
        "read 1", "commit False", "save pending-2.bin", "journal 2 durable None", "forget pending-1.bin",
        "consumed 1 False",
        "read 2", "commit False", "save pending-3.bin", "journal 3 durable None", "forget pending-2.bin",
        "consumed 2 False",
    ]  # fmt: skip


def test_nothing_is_deleted_before_what_replaces_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch, low_disk=True)
    scene.pipeline.run()
    first = scene.order[1:8]
    assert first == [
        "read 0", "commit False", "save pending-1.bin", "journal 1 durable None", "sync", "journal 1 durable 1",
        "drop a",
    ]  # fmt: skip
    assert scene.order[8] == "consumed 0 True"
    second = scene.order[9:]
    assert "forget pending-1.bin" not in second[: second.index("sync")], "the durable checkpoint needs it"


def test_the_bytes_that_a_durable_checkpoint_needs_are_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.pipeline.number = 1
    scene.pipeline._checkpoint()
    scene.pipeline._make_durable()
    scene.order.clear()
    for number in (2, 3):
        scene.pipeline.number = number
        scene.pipeline._checkpoint()
    assert [text for text in scene.order if text.startswith("forget")] == ["forget pending-2.bin"]
    assert (scene.journal.durable or {})["pending"] == "pending-1.bin"


def test_a_checkpoint_that_is_taken_again_keeps_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.pipeline.number = 2
    scene.pipeline._checkpoint()
    scene.pipeline._checkpoint()
    assert not any(text.startswith("forget") for text in scene.order)


def test_a_bad_volume_takes_everything_back_to_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.bad = [1, 1]
    scene.pipeline.run()
    at = scene.order.index("read 1")
    assert scene.order[at : at + 6] == [
        "read 1", "reject 1 damaged", "resume pending-1.bin", "read 1", "reject 1 damaged", "resume pending-1.bin",
    ]  # fmt: skip
    assert scene.order.count("commit False") == 3, "nothing of a bad volume is shown to the loaders"


@pytest.mark.parametrize(("same_boot", "volume"), [(True, 2), (False, 1)])
def test_after_a_restart_of_the_machine_only_what_is_durable_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_boot: bool, volume: int
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    for number in (1, 2):
        scene.pipeline.number = number
        scene.pipeline._checkpoint()
        if number == 1:
            scene.pipeline._make_durable()
    if not same_boot:
        monkeypatch.setattr(journals, "boot_id", lambda: "another start")
    kept = load_journal(scene.journal.path)
    assert kept is not None
    point = kept.resume_point()
    assert point is not None and point["volume"] == volume
    kept.durable = None
    point = kept.resume_point()
    assert (point or {}).get("volume") == (2 if same_boot else None), "else from the beginning"
