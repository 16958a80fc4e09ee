"""Which restore a portal stands on, and when nothing may pass on it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.portal import checks_case, restored, verify


class Box:
    """A host whose restore ``s1`` is made and live."""

    def __init__(self, folder: Path) -> None:
        self.trees, self.root, self.work = folder / "trees", folder / "www", folder / "work"
        self.job = folder / "restore.json"
        self.job.write_text(json.dumps({"stamp": "s1", "work": str(self.work)}))
        for name in ("s1", "old"):
            (self.trees / name / "bitrix").mkdir(parents=True)
        self.record("s1")
        self.journal("s1", "done")
        self.live("s1")

    def record(self, tree: str, **changes: str) -> None:
        content = {"stamp": "s1", "archive": "a.tar.gz", "run": "r1", "database": "portal_s1", "host": "box",
                   "restored": "2026-03-01T18:00:00+00:00", **changes}  # fmt: skip
        (self.trees / tree / restored.RECORD).write_text(json.dumps(content))

    def journal(self, stamp: str, phase: str, run: str = "r1") -> None:
        (self.work / stamp).mkdir(parents=True, exist_ok=True)
        (self.work / stamp / "journal.json").write_text(json.dumps({"phase": phase, "run": run}))

    def live(self, tree: str) -> None:
        self.root.unlink(missing_ok=True)
        self.root.symlink_to(f"trees/{tree}")

    def look(self, database: str = "portal_s1", *, is_copy: bool = False, wanted: str = "") -> restored.Restored:
        return restored.look(self.root, database, is_copy=is_copy, wanted=wanted, job=self.job)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_restored_portal_names_its_restore(box: Box) -> None:
    found = box.look()
    assert found.fault == ""
    assert "restore s1 of a.tar.gz, made on box at 2026-03-01T18:00:00+00:00, database portal_s1" in found.evidence
    assert found.report["stamp"] == "s1"


@pytest.mark.parametrize("phase", ["stream", "finish", "switch"])
def test_an_unfinished_restore_lets_nothing_pass_on_the_portal_before(box: Box, phase: str) -> None:
    (box.trees / "s1" / restored.RECORD).unlink()
    box.journal("s1", phase)
    box.live("old")
    assert f"restore s1 is not finished (it stands at '{phase}'); live is {box.trees}/old" in box.look().fault


def test_a_restore_that_was_named_and_never_begun(box: Box) -> None:
    box.live("old")
    assert "restore s2 was not made on this host" in box.look(wanted="s2").fault


def test_after_a_way_back_only_on_purpose(box: Box) -> None:
    box.live("old")
    assert "which comes from no restore of the kit and not from restore s1" in box.look().fault
    assert box.look(wanted="any").fault == ""
    assert "not restored by the kit" in box.look(wanted="any").evidence


def test_another_restores_tree_and_another_database(box: Box) -> None:
    box.record("old", stamp="s0")
    box.live("old")
    assert "comes from restore s0 and not from restore s1" in box.look().fault
    box.live("s1")
    assert "uses database other, restore s1 loaded portal_s1" in box.look("other").fault
    box.journal("s1", "done", run="r2")
    assert "another run of restore s1" in box.look().fault


def test_the_record_holds_where_the_journal_was_cleared_away(box: Box) -> None:
    (box.work / "s1" / "journal.json").unlink()
    assert box.look().fault == ""


def test_a_copy_tells_of_its_source_and_a_portal_that_was_never_restored_passes(box: Box) -> None:
    box.record("old", stamp="of-production")
    box.live("old")
    copy = box.look("portal", is_copy=True)
    assert copy.fault == "" and "a copy of restore of-production" in copy.evidence
    box.job.unlink()
    (box.trees / "old" / restored.RECORD).unlink()
    assert box.look().fault == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stamp": "s1"}'])
def test_a_record_that_cannot_be_used_is_none(box: Box, text: str) -> None:
    (box.trees / "s1" / restored.RECORD).write_text(text)
    assert restored.read_record(box.root) == {}
    assert box.look().fault


def test_verifying_shows_it_or_finds_it(box: Box) -> None:
    def told() -> tuple[Any, Any]:
        portal = SimpleNamespace(
            root=box.root, database=SimpleNamespace(name="portal_s1"), option=lambda *_: "", state=dict
        )
        scene = verify.Scene(portal, SimpleNamespace(), Path(), restore_job=box.job)  # type: ignore[arg-type]
        (check,) = [check for check in checks_case.CHECKS if check.id == "portal-restore"]
        result = verify.run_check(check, scene)
        return result["state"], result["evidence"]

    assert told()[0] == "ok" and "restore s1 of a.tar.gz" in told()[1]
    box.live("old")
    assert told()[0] == "found" and "run playbooks/restore.yml" in told()[1]
