"""The dangers of the time lag, from a carry-over that was never thought of to one that is proven."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.portal import carry_over_state, checks_case, verify

SINCE, FROZEN = "2026-03-01T18:00:00+01:00", "2026-03-03T20:00:00+01:00"
Told = tuple[str, str, str]


def stamp(ago: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() - ago, UTC).isoformat(timespec="seconds")


def proof(**differing: Any) -> dict[str, Any]:
    return {"since": SINCE, "frozen": FROZEN, "carried": 140, "missing": 0, "doubled": 0, "differences": 0,
            "stragglers": [], **differing}  # fmt: skip


class Box:
    """A portal on a host, and what a carry-over has left beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree = folder / "carry-over", folder / "trees" / "one"
        for made in (self.folder, self.tree):
            made.mkdir(parents=True)
        self.root = folder / "www"
        self.root.symlink_to(self.tree)
        self.went_live(3600)
        self.notes: dict[str, Any] = {}
        self.options: dict[tuple[str, str], str] = {}

    def went_live(self, ago: float) -> None:
        os.utime(self.root, (time.time() - ago,) * 2, follow_symlinks=False)

    def leave(self, name: str, **status: Any) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps({"updated": stamp(), "error": None, **status}))

    def told(self) -> tuple[Told, Told]:
        """State, severity and evidence of both checks."""
        portal = SimpleNamespace(
            root=self.root, database=SimpleNamespace(value=lambda _: "2026-03-01 18:20:00"), has=lambda *_: True,
            option=lambda *key: self.options.get(key, ""), state=lambda: self.notes,
        )  # fmt: skip
        scene = verify.Scene(portal, SimpleNamespace(domain="crm.acme.es"), Path(), carry_over=self.folder)  # type: ignore[arg-type]
        chosen = [check for check in checks_case.CHECKS if check.id in {"case-03-time-lag", "case-04-still-in-cloud"}]
        lag, cloud = (verify.run_check(check, scene) for check in chosen)
        return tuple((str(item["state"]), str(item["severity"]), str(item["evidence"])) for item in (lag, cloud))  # type: ignore[return-value]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    employees = [SimpleNamespace(employee=True), SimpleNamespace(employee=True), SimpleNamespace(employee=False)]
    monkeypatch.setattr(checks_case.users, "read_users", lambda _: employees)
    monkeypatch.setattr(checks_case.background_work, "dump_begun", lambda _: "2026-03-01 18:30:05")
    return Box(tmp_path)


def test_without_a_carry_over_both_are_there_and_fail_nothing(box: Box) -> None:
    for released in (False, True):
        box.notes = {"released": released}
        lag, cloud = box.told()
        assert lag[:2] == cloud[:2] == ("found", "warning")
        assert "backup of 2026-03-01 18:30:05, newest record of 2026-03-01 18:20:00" in lag[2]
        assert "2 employees" in cloud[2]
        assert "not followed" in cloud[2]


def test_prepared_is_not_carried(box: Box) -> None:
    (box.folder / "prepared.json").write_text(json.dumps({"since": SINCE}))
    lag, _ = box.told()
    assert lag[:2] == ("found", "warning")
    assert f"prepared since {SINCE}, but nothing has been carried" in lag[2]


def test_followed_is_not_finished_and_after_the_release_an_error(box: Box) -> None:
    box.leave("follow", behind=2.0, stragglers=0)
    lag, cloud = box.told()
    assert lag[:2] == cloud[:2] == ("found", "warning")
    assert "2.0 s behind" in lag[2]
    assert "followed until" in cloud[2]
    box.notes["released"] = True
    assert box.told()[0][:2] == ("found", "error")


def test_a_comparison_without_a_freeze_proves_nothing(box: Box) -> None:
    box.leave("reconcile", ended=stamp(), result=proof(frozen=""))
    lag, cloud = box.told()
    assert (lag[0], cloud[0]) == ("found", "found")
    assert "without a difference; the rest comes at the freeze" in lag[2]


def test_drained_and_reconciled_cures_both(box: Box) -> None:
    box.leave("once", ended=stamp(60), result=proof(differences=3, missing=3))
    box.leave("reconcile", ended=stamp(30), result=proof())
    box.leave("follow", behind=1.0, stragglers=0)
    box.notes["seen"] = {"case-03-time-lag": "before", "case-04-still-in-cloud": "before"}
    lag, cloud = box.told()
    assert (lag[0], cloud[0]) == ("cured", "cured")
    for words in ("backup of 2026-03-01 18:30:05", "140 records", SINCE, FROZEN, "none missing"):
        assert words in lag[2]
    assert f"no record was written in the cloud after the freeze of {FROZEN}" in cloud[2]


def test_what_is_missing_fails_whenever_it_is_known(box: Box) -> None:
    box.leave("once", ended=stamp(60), result=proof())
    box.leave("reconcile", ended=stamp(30), result=proof(differences=4, missing=2, doubled=1))
    lag, _ = box.told()
    assert lag[:2] == ("found", "error")
    assert "2 missing, 1 doubled, 4 differences" in lag[2]


def test_people_who_wrote_after_the_freeze_are_named_once(box: Box) -> None:
    late = [{"entity": "lead", "cloud": "7", "at": FROZEN, "by": name} for name in ("Ana", "Luis", "Ana")]
    box.leave("once", ended=stamp(), result=proof(stragglers=late))
    box.leave("follow", behind=1.0, stragglers=5)
    lag, cloud = box.told()
    assert lag[0] == "ok"  # they are carried
    assert cloud[0] == "people"
    assert "5 records" in cloud[2]
    assert cloud[2].endswith(": Ana, Luis")


@pytest.mark.parametrize(
    ("follow", "words"),
    [
        (None, "no carry-over follows it"),
        ({"updated": "2026-03-04T00:00:00+00:00"}, "no carry-over follows it"),  # of the portal that was here before
        ({"error": "the cloud does not answer"}, "the cloud does not answer"),
    ],
)
def test_after_the_freeze_somebody_has_to_look(box: Box, follow: dict[str, Any] | None, words: str) -> None:
    box.leave("once", ended=stamp(), result=proof())
    if follow is not None:
        box.leave("follow", behind=1.0, stragglers=0, **follow)
    lag, cloud = box.told()
    assert (lag[0], cloud[0]) == ("ok", "people")
    assert words in cloud[2]


def test_one_that_follows_no_more_is_told(box: Box) -> None:
    box.leave("once", ended=stamp(1800), result=proof())
    box.leave("follow", behind=1.0, stragglers=0, updated=stamp(1200))
    assert "the cloud is not followed any more: the last status is of" in box.told()[1][2]


def test_a_carry_over_that_broke_off_is_told(box: Box) -> None:
    box.leave("once", error="the webhook is refused")
    lag, _ = box.told()
    assert lag[:2] == ("found", "warning")
    assert "did not finish: the webhook is refused" in lag[2]


def switched(box: Box) -> None:
    box.root.unlink()
    box.root.symlink_to(box.tree.with_name("two"))
    box.tree.with_name("two").mkdir()
    box.went_live(7200)


@pytest.mark.parametrize("restored", [lambda box: box.went_live(0), switched])
def test_what_was_carried_into_another_restore_does_not_count(box: Box, restored: Callable[[Box], None]) -> None:
    box.leave("once", ended=stamp(1800), result=proof())
    box.leave("follow", updated=stamp(1800), behind=1.0, stragglers=0)
    (box.folder / "portal").write_text(f"{box.tree}\n")
    assert box.told()[0][0] == "ok"
    restored(box)
    assert [item[:2] for item in box.told()] == [("found", "warning")] * 2


def test_a_copy_has_no_lag_of_its_own(box: Box) -> None:
    box.options["main", "encaja_neutralised"] = "Y"
    assert [item[0] for item in box.told()] == ["ok", "ok"]


def test_what_cannot_be_read_is_told(box: Box) -> None:
    (box.folder / "once.json").write_text("{")
    lag, _ = box.told()
    assert lag[0] == "found"
    assert "could not be checked" in lag[2]


def test_the_state_lies_where_the_role_puts_it() -> None:
    project = Path(__file__).parents[3]
    defaults = (project / "roles/carry_over/defaults/main.yml").read_text()
    assert f"carry_over_state: {carry_over_state.FOLDER}\n" in defaults
